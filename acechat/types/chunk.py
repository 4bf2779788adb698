"""One chunk of a stream, and the deltas in it.

Format: docs/api.md#streams. ``gc=False``: a frozen struct that was decoded from JSON cannot be part
of a reference cycle, so the garbage collector need not scan the hundred thousand structs of a long
stream (measured, when all are kept: half the time and a quarter of the collections).
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from acechat._hints import DELTA_ATTRIBUTES, hint_attributes
from acechat.types.usage import Usage

__all__ = [
    "ChatCompletionChunk",
    "ChunkChoice",
    "Delta",
    "FunctionCallDelta",
    "ToolCallDelta",
]


class FunctionCallDelta(Struct, frozen=True, gc=False):
    """A fragment of a function call."""

    name: str | None = None

    arguments: str | None = None
    """The next characters of the JSON text of the arguments."""


class ToolCallDelta(Struct, frozen=True, gc=False):
    """A fragment of a tool call.

    A new *id* starts a call. *index* may be the same for two calls and need not start at 0
    (docs/api.md#streams), so it only separates calls that have no *id*.
    """

    index: int | None = None
    id: str | None = None
    type: str | None = None
    function: FunctionCallDelta | None = None


@hint_attributes(DELTA_ATTRIBUTES)
class Delta(Struct, frozen=True, gc=False, omit_defaults=True):
    """The next fragment of a completion; ``str(delta)`` is its text."""

    content: str | None = None
    """The next characters of the text."""

    role: str | None = None

    reasoning_content: str | None = None
    """The next characters of the reasoning."""

    reasoning: str | None = None
    """Sent by some channels instead of *reasoning_content*, or as a copy of it."""

    tool_calls: list[ToolCallDelta] | None = None
    refusal: str | None = None

    # Another name in JSON: the value is that of the enclosing choice, not a field of the delta.
    index: int = field(default=0, name="choice_index")
    """Index of the choice; 0 unless *n* > 1 was requested."""

    def __str__(self) -> str:
        return self.content or ""


_NOTHING = Delta()


class ChunkChoice(Struct, frozen=True, gc=False):
    """The next fragment of one choice."""

    delta: Delta = _NOTHING
    index: int = 0

    finish_reason: str | None = None
    """Reason for the end of the choice, see `acechat.types.FinishReason`; None until then."""

    logprobs: Any = None

    error: None = None
    """None: acechat raises an error that a gateway reports in a choice."""


class ChatCompletionChunk(Struct, frozen=True, gc=False):
    """One chunk of a stream, as sent by the service."""

    choices: list[ChunkChoice]
    """Empty in the chunk that carries the usage, the last one before ``[DONE]``."""

    id: str = ""
    object: str = "chat.completion.chunk"

    created: int | None = None
    """Start of the completion, in seconds since 1970-01-01 UTC."""

    model: str = ""
    system_fingerprint: str | None = None
    service_tier: str | None = None
    usage: Usage | None = None

    error: Any = None
    """Error object that some gateways add beside *choices*; acechat raises it."""
