"""What is said: the messages of a conversation and the parts that one is made of.

Source: the contract, 1.3. A message that the service sent can be appended to the history and sent
back as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from msgspec import Struct

__all__ = [
    "AssistantMessage",
    "ContentPart",
    "FunctionCall",
    "ImagePart",
    "ImageURL",
    "Message",
    "MessageLike",
    "SystemMessage",
    "TextPart",
    "ToolCall",
    "ToolMessage",
    "UserMessage",
]

_SHOWN = 64
"""Characters of a URL that a repr shows: an image in a data URL has millions."""


class TextPart(Struct, frozen=True, tag_field="type", tag="text"):
    """A piece of text beside images in one message."""

    text: str


class ImageURL(Struct, frozen=True, omit_defaults=True):
    """Where an image is, or the image itself as a data URL."""

    url: str
    """An ``https:`` URL, which the service downloads, or a ``data:`` URL with base64."""

    detail: str | None = None
    """``"auto"``, ``"low"`` or ``"high"``; None leaves it to the service (``"auto"``)."""

    def __repr__(self) -> str:
        shown = self.url if len(self.url) <= _SHOWN else f"{self.url[:_SHOWN]}…"
        return f"ImageURL({shown!r}, {len(self.url)} characters, detail={self.detail!r})"


class ImagePart(Struct, frozen=True, tag_field="type", tag="image_url"):
    """An image in a message. `acechat.image` makes one from a file, bytes or a URL."""

    image_url: ImageURL


ContentPart: TypeAlias = TextPart | ImagePart
"""What one message may hold a list of."""


class FunctionCall(Struct, frozen=True):
    """The function that the model wants called."""

    name: str = ""

    arguments: str = "{}"
    """A JSON object, as text, as the model wrote it: validate before use."""


class ToolCall(Struct, frozen=True):
    """One call of a tool that the model asks for."""

    id: str = ""
    """What the `ToolMessage` with the result must name."""

    type: str = "function"
    function: FunctionCall = FunctionCall()


class SystemMessage(
    Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="role", tag="system"
):
    """Instructions that hold for the whole conversation."""

    content: str | list[ContentPart]
    name: str | None = None

    @property
    def role(self) -> Literal["system"]:
        """Who speaks."""
        return "system"


class UserMessage(
    Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="role", tag="user"
):
    """What the user says and shows."""

    content: str | list[ContentPart]
    name: str | None = None

    @property
    def role(self) -> Literal["user"]:
        """Who speaks."""
        return "user"


class AssistantMessage(
    Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="role", tag="assistant"
):
    """What the model said: in a completion, or as history in a request."""

    content: str | None = None
    """The answer. None where the model only calls tools."""

    reasoning_content: str | None = None
    """The thoughts of a thinking model, if it shows them (contract, 2.2 B)."""

    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    name: str | None = None

    @property
    def role(self) -> Literal["assistant"]:
        """Who speaks."""
        return "assistant"


class ToolMessage(
    Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="role", tag="tool"
):
    """The result of a tool that the model asked for."""

    content: str | list[ContentPart]

    tool_call_id: str
    """The `ToolCall.id` that this answers."""

    @property
    def role(self) -> Literal["tool"]:
        """Who speaks."""
        return "tool"


Message: TypeAlias = SystemMessage | UserMessage | AssistantMessage | ToolMessage
"""One entry of a conversation."""

MessageLike: TypeAlias = Message | Mapping[str, Any]
"""A message as a struct, or as the API's own JSON."""
