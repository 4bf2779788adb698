"""The content of a turn, and how its response is requested and shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from msgspec import Struct

from acechat import ChatOptions, ImagePart, TextPart

if TYPE_CHECKING:
    from acechat import AsyncClient, Output

__all__ = ["DisplayOptions", "Tools", "UserInput"]

UserInput: TypeAlias = Sequence[str | TextPart | ImagePart]
"""Content parts of one user message."""


class Tools(Struct, frozen=True):
    """Functions that the model may call, and the client that runs them."""

    client: AsyncClient
    functions: Sequence[Any]


class DisplayOptions(Struct, frozen=True, kw_only=True):
    """Options of a turn: request fields, and how to show the response."""

    stream: bool = True
    json: bool = False
    reasoning: bool = False
    usage: bool = False
    extract: bool = False
    """Show only the last code block."""
    timeout: float | None = None
    """Seconds for the complete response; None: the client's default."""
    output_type: Output[Any] | None = None
    """The response is a value of this type, shown as JSON."""
    tools: Tools | None = None
    options: ChatOptions = {}

    @property
    def streams(self) -> bool:
        """Whether the request is for a stream: output is validated when it is complete."""
        return self.stream and self.output_type is None
