"""The messages of a conversation, and their parts.

Format: docs/api.md#messages. A message received from the service can be appended to
the history and sent back unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from msgspec import Struct

__all__ = [
    "AssistantMessage",
    "CacheControl",
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
"""Characters of a URL shown in a repr: a data URL has millions."""


class CacheControl(Struct, frozen=True, omit_defaults=True, tag_field="type", tag="ephemeral"):
    """Marks the end of a prefix that the service may cache."""

    ttl: str | None = None
    """Lifetime of the entry, ``"5m"`` or ``"1h"``; None for the service's default, 5 minutes."""


class TextPart(Struct, frozen=True, omit_defaults=True, tag_field="type", tag="text"):
    """Text beside images in one message. `acechat.text` makes one that the service may cache."""

    text: str
    cache_control: CacheControl | None = None


class ImageURL(Struct, frozen=True, omit_defaults=True):
    """URL of an image, or its bytes as a data URL."""

    url: str
    """An ``https:`` URL, which the service downloads, or a ``data:`` URL with base64."""

    detail: str | None = None
    """``"auto"``, ``"low"`` or ``"high"``; None for the service's default, ``"auto"``."""

    def __repr__(self) -> str:
        shown = self.url if len(self.url) <= _SHOWN else f"{self.url[:_SHOWN]}…"
        return f"ImageURL({shown!r}, {len(self.url)} characters, detail={self.detail!r})"


class ImagePart(Struct, frozen=True, omit_defaults=True, tag_field="type", tag="image_url"):
    """An image in a message. `acechat.image` makes one from a file, bytes or a URL."""

    image_url: ImageURL
    cache_control: CacheControl | None = None

    def _repr_html_(self) -> str:
        """Return HTML for notebooks."""
        from acechat._display.html import image_html

        return image_html(self.image_url.url)


ContentPart: TypeAlias = TextPart | ImagePart
"""Text or an image; the content of a message may be a list of these."""


class FunctionCall(Struct, frozen=True):
    """Name and arguments of a function that the model calls."""

    name: str = ""

    arguments: str = "{}"
    """A JSON object as text, as the model wrote it: validate before use."""


class ToolCall(Struct, frozen=True):
    """One tool call requested by the model."""

    id: str = ""
    """Value for `ToolMessage.tool_call_id` in the message with the result."""

    type: str = "function"
    function: FunctionCall = FunctionCall()


class SystemMessage(
    Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="role", tag="system"
):
    """The system prompt: instructions for the complete conversation."""

    content: str | list[ContentPart]
    name: str | None = None

    @property
    def role(self) -> Literal["system"]:
        """The author of the message."""
        return "system"


class UserMessage(
    Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="role", tag="user"
):
    """A message of the user: text and images."""

    content: str | list[ContentPart]
    name: str | None = None

    @property
    def role(self) -> Literal["user"]:
        """The author of the message."""
        return "user"


class AssistantMessage(
    Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="role", tag="assistant"
):
    """A message of the model, in a completion or in the history of a request."""

    content: str | None = None
    """Text; None if the model only calls tools."""

    reasoning_content: str | None = None
    """Reasoning, of models that return it (docs/api.md#completion-variants); None if not
    reported."""

    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    name: str | None = None

    @property
    def role(self) -> Literal["assistant"]:
        """The author of the message."""
        return "assistant"


class ToolMessage(
    Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="role", tag="tool"
):
    """The result of a tool call."""

    content: str | list[ContentPart]

    tool_call_id: str
    """The `ToolCall.id` of the call."""

    @property
    def role(self) -> Literal["tool"]:
        """The author of the message."""
        return "tool"


Message: TypeAlias = SystemMessage | UserMessage | AssistantMessage | ToolMessage
"""Any message of a conversation."""

MessageLike: TypeAlias = Message | Mapping[str, Any]
"""A message as a struct, or as a dict in the format of the API."""
