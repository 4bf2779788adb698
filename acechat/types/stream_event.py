"""Events of a stream, as structs for ``match``."""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from acechat.types.chunk import ToolCallDelta
from acechat.types.completion import FinishReason
from acechat.types.usage import Usage

__all__ = ["Finished", "ReasoningDelta", "StreamEvent", "TextDelta"]


class TextDelta(Struct, frozen=True, gc=False):
    """The next characters of the text."""

    text: str
    index: int = 0
    """Index of the choice; 0 unless *n* > 1 was requested."""


class ReasoningDelta(Struct, frozen=True, gc=False):
    """The next characters of the reasoning."""

    text: str
    index: int = 0
    """Index of the choice; 0 unless *n* > 1 was requested."""


class Finished(Struct, frozen=True):
    """The completion is complete; the last event."""

    reason: FinishReason | None
    """Reason for the end of the first choice; None if not reported."""

    usage: Usage | None
    """Tokens used; None if not reported."""


StreamEvent: TypeAlias = TextDelta | ReasoningDelta | ToolCallDelta | Finished
"""Any event of a stream."""
