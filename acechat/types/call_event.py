"""What observers are told: what happens to a call, and nothing that is said in it."""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from acechat.types.completion import FinishReason
from acechat.types.usage import Cost, Usage

__all__ = ["AttemptFailed", "CallEvent", "CallFailed", "CallFinished", "FirstToken", "RequestSent"]


class RequestSent(Struct, frozen=True, kw_only=True):
    """An attempt is about to be written to the network; its turn has come."""

    call: int
    """The number of the call, counted in this process; all events of one call share it."""

    attempt: int
    """1 for the first."""

    elapsed: float
    """Seconds since the call began."""

    model: str
    """The model that is asked; empty where none is, as in `AsyncClient.models`."""

    method: str
    path: str
    """After the API's root."""

    request_bytes: int


class FirstToken(Struct, frozen=True, kw_only=True):
    """The first content of a stream arrived; from here on nothing is sent again."""

    call: int
    attempt: int
    elapsed: float
    """Seconds since the call began, failed attempts included."""

    model: str
    trace_id: str | None


class AttemptFailed(Struct, frozen=True, kw_only=True):
    """One attempt failed; the call may go on."""

    call: int
    attempt: int
    elapsed: float
    """Seconds since the call began."""

    took: float
    """Seconds that the attempt took."""

    model: str

    failure: str
    """As in `Attempt.failure`."""

    error: str
    """The name of the error's class. Its text may quote what was said."""

    status: int | None
    """HTTP status; None where there was none."""

    code: str | None
    """The service's word for it."""

    trace_id: str | None
    may_be_billed: bool

    retry_in: float | None
    """Seconds until the next attempt; None if this was the last."""


class CallFinished(Struct, frozen=True, kw_only=True):
    """The whole answer came. The last event of its call."""

    call: int
    attempts: int
    """How many were made, the one that succeeded included."""

    elapsed: float
    """Seconds that the call took."""

    first_token: float | None
    """Seconds until the first content of a stream; None for an answer that came at once."""

    model: str
    """The model that answered."""

    status: int | None
    trace_id: str | None
    finish_reason: FinishReason | None
    usage: Usage | None
    """Tokens; None where the service does not tell."""

    response_bytes: int

    @property
    def cost(self) -> Cost | None:
        """What the call was charged; None where the service does not tell."""
        return self.usage.cost if self.usage else None


class CallFailed(Struct, frozen=True, kw_only=True):
    """The call ended without a whole answer. The last event of its call."""

    call: int
    attempts: int
    elapsed: float
    model: str

    failure: str
    """As in `Attempt.failure`; ``"cancelled"`` if the caller left or was cancelled; ``"raised"``
    for what acechat did not raise, such as an exception of a middleware."""

    error: str | None
    """The name of the error's class; None if the caller left."""

    status: int | None
    code: str | None
    trace_id: str | None

    may_be_billed: bool
    """Whether the service may have charged for any of the attempts."""


CallEvent: TypeAlias = RequestSent | FirstToken | AttemptFailed | CallFinished | CallFailed
"""One thing that happens to a call."""
