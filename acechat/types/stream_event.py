"""What happens in a stream, as structs made for ``match``."""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from acechat.types.chunk import ToolCallDelta
from acechat.types.completion import FinishReason
from acechat.types.usage import Usage

__all__ = ["Finished", "ReasoningDelta", "StreamEvent", "TextDelta"]


class TextDelta(Struct, frozen=True, gc=False):
    """The next characters of the answer."""

    text: str
    index: int = 0
    """Which choice: 0 unless *n* were asked for."""


class ReasoningDelta(Struct, frozen=True, gc=False):
    """The next characters of the model's thoughts."""

    text: str
    index: int = 0
    """Which choice: 0 unless *n* were asked for."""


class Finished(Struct, frozen=True):
    """The whole answer came; nothing follows."""

    reason: FinishReason | None
    """Why the first choice ended."""

    usage: Usage | None


StreamEvent: TypeAlias = TextDelta | ReasoningDelta | ToolCallDelta | Finished
"""One thing that happens in a stream."""
