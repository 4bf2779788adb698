"""One event of a stream, and the pieces of an answer in it.

Source: the contract, 2.4. ``gc=False``: a frozen struct that was decoded from JSON cannot be part
of a cycle, and the collector need not look at the hundred thousand that a long stream makes
(measured: half the time and a quarter of the collections when they are kept).
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from acechat.types.usage import Usage

__all__ = [
    "ChatCompletionChunk",
    "ChunkChoice",
    "Delta",
    "FunctionCallDelta",
    "ToolCallDelta",
]


class FunctionCallDelta(Struct, frozen=True, gc=False):
    """A piece of a function call."""

    name: str | None = None

    arguments: str | None = None
    """The next characters of the JSON text of the arguments."""


class ToolCallDelta(Struct, frozen=True, gc=False):
    """A piece of a tool call.

    A new *id* opens a call. *index* may collide between calls and need not start at 0 (contract,
    2.4), so it only tells calls apart where there is no *id*.
    """

    index: int | None = None
    id: str | None = None
    type: str | None = None
    function: FunctionCallDelta | None = None


class Delta(Struct, frozen=True, gc=False, omit_defaults=True):
    """The next piece of an answer; ``str(delta)`` is its text."""

    content: str | None = None
    """The next characters of the answer."""

    role: str | None = None

    reasoning_content: str | None = None
    """The next characters of the model's thoughts."""

    reasoning: str | None = None
    """What some channels say instead of, or twice beside, *reasoning_content*."""

    tool_calls: list[ToolCallDelta] | None = None
    refusal: str | None = None

    # Named otherwise in JSON: the choice around the delta tells it, whatever the delta says.
    index: int = field(default=0, name="choice_index")
    """Which choice this belongs to: 0 unless *n* choices were asked for."""

    def __str__(self) -> str:
        return self.content or ""


_NOTHING = Delta()


class ChunkChoice(Struct, frozen=True, gc=False):
    """The news about one choice."""

    delta: Delta = _NOTHING
    index: int = 0

    finish_reason: str | None = None
    """Why the choice ended; None while it goes on. See `acechat.types.FinishReason`."""

    logprobs: Any = None


class ChatCompletionChunk(Struct, frozen=True, gc=False):
    """One event of a stream, as the service sent it."""

    choices: list[ChunkChoice]
    """Empty in the chunk that carries the usage, the last one before ``[DONE]``."""

    id: str = ""
    object: str = "chat.completion.chunk"

    created: int | None = None
    """When the answer began, in seconds since 1970."""

    model: str = ""
    system_fingerprint: str | None = None
    service_tier: str | None = None
    usage: Usage | None = None

    error: Any = None
    """What some gateways put beside *choices* when they fail; acechat raises it."""
