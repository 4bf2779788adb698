"""Events of a call, passed to observers. They contain no text of prompts or completions."""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from acechat.types.completion import FinishReason
from acechat.types.usage import Cost, Usage

__all__ = ["AttemptFailed", "CallEvent", "CallFailed", "CallFinished", "FirstToken", "RequestSent"]


class RequestSent(Struct, frozen=True, kw_only=True):
    """An attempt is about to be written to the network, after any wait for a free slot."""

    call: int
    """Number of the call in this process, from 1; the same in all events of the call."""

    attempt: int
    """Number of the attempt, from 1."""

    elapsed: float
    """Seconds since the call began."""

    model: str
    """The requested model; empty for endpoints without one, as in `AsyncClient.models`."""

    method: str
    """HTTP method."""

    path: str
    """Path relative to the base URL of the API."""

    request_bytes: int
    """Size of the request body, in bytes."""


class FirstToken(Struct, frozen=True, kw_only=True):
    """The first content of a stream arrived; the call is not retried from here on."""

    call: int
    attempt: int
    elapsed: float
    """Seconds since the call began, failed attempts included."""

    model: str
    trace_id: str | None


class AttemptFailed(Struct, frozen=True, kw_only=True):
    """An attempt failed; the call may continue with another one."""

    call: int
    attempt: int
    elapsed: float
    """Seconds since the call began."""

    took: float
    """Duration of the attempt, in seconds."""

    model: str

    failure: str
    """As in `Attempt.failure`."""

    error: str
    """Class name of the exception. Its text is left out, because it may quote the prompt."""

    status: int | None
    """HTTP status; None if no response arrived."""

    code: str | None
    """The service's error code; None if not reported."""

    trace_id: str | None
    may_be_billed: bool

    retry_in: float | None
    """Seconds until the next attempt; None if this was the last."""


class CallFinished(Struct, frozen=True, kw_only=True):
    """The complete response arrived. The last event of its call."""

    call: int
    attempts: int
    """Number of attempts, the successful one included."""

    elapsed: float
    """Duration of the call, in seconds."""

    first_token: float | None
    """Seconds until the first content of a stream; None for a response that was not streamed."""

    model: str
    """The model named in the response."""

    status: int | None
    trace_id: str | None
    finish_reason: FinishReason | None
    usage: Usage | None
    """Tokens used; None if not reported, and for a response of the cache."""

    response_bytes: int
    """Size of the response body, in bytes."""

    @property
    def cost(self) -> Cost | None:
        """The charge for the call; None if not reported."""
        return self.usage.cost if self.usage else None


class CallFailed(Struct, frozen=True, kw_only=True):
    """The call ended without a complete response. The last event of its call."""

    call: int
    attempts: int
    elapsed: float
    model: str

    failure: str
    """As in `Attempt.failure`; ``"cancelled"`` if the caller was cancelled or closed the stream;
    ``"raised"`` for exceptions that are not of acechat, such as those of a middleware."""

    error: str | None
    """Class name of the exception; None if the caller closed the stream."""

    status: int | None
    code: str | None
    trace_id: str | None

    may_be_billed: bool
    """Whether the service may have charged for any of the attempts."""


CallEvent: TypeAlias = RequestSent | FirstToken | AttemptFailed | CallFinished | CallFailed
"""Any event of a call."""
