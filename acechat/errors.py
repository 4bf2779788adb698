"""What can go wrong, as a tree.

* `AceChatError`: everything that acechat raises on purpose, but `TypeError` for a wrong call

  * `ConfigurationError`: refused here, before anything was sent
  * `BudgetExceededError`: refused here, because it would cost too much
  * `TransportError`: no whole answer came over the network

    * `ConnectError`: no connection; nothing was sent
    * `RequestTimeoutError`: a limit of `Timeout` passed
    * `ClientClosedError`: the client was closed before or during the call
    * `StreamInterruptedError`: the connection broke in the middle of a stream

  * `ProtocolError`: something came that is no answer

    * `StreamTruncatedError`: the stream ended before the answer did

      * `StreamInterruptedError`: as above; it is both

  * `OutputError`: the answer has not the form that was asked for
  * `ToolError`: a tool failed
  * `MaxTurnsError`: a run reached its limit before the model answered
  * `APIError`: the service refused; its subclasses say why

Errors store facts and make their text from them, so that they survive pickling and copying.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from acechat.types.attempt import Attempt

if TYPE_CHECKING:
    import os

    from acechat.types import ChatCompletion, RunResult, ToolCall
    from acechat.types.attempt import SavedExchanges

__all__ = [
    "APIError",
    "APINotImplementedError",
    "AccountDisabledError",
    "AceChatError",
    "Attempt",
    "AuthenticationError",
    "BadRequestError",
    "BudgetExceededError",
    "ClientClosedError",
    "ConfigurationError",
    "ConnectError",
    "ContentModerationError",
    "GatewayTimeoutError",
    "InsufficientBalanceError",
    "MaxTurnsError",
    "NotFoundError",
    "OutputError",
    "OverloadedError",
    "PaymentRequiredError",
    "PermissionDeniedError",
    "ProtocolError",
    "RateLimitError",
    "RequestTimeoutError",
    "RequestTooLargeError",
    "ServerError",
    "StreamInterruptedError",
    "StreamTruncatedError",
    "TokenMismatchError",
    "ToolError",
    "TransportError",
]


class AceChatError(Exception):
    """Base of all errors of acechat; never raised itself."""

    retryable: bool = False
    """Whether the same request may succeed later."""

    trace_id: str | None = None
    """What the service's support asks for; None where no answer carried one."""

    attempts: tuple[Attempt, ...] = ()
    """What was tried, this failure included. Empty where nothing was sent."""

    partial: ChatCompletion | None = None
    """What of an answer had arrived in a stream; None outside of streams, but for `OutputError`."""

    cassette: SavedExchanges | None = None
    """What went over the wire, without the token. It travels in pickles, *max_record_bytes* large
    at most for each attempt. None where nothing was asked or recorded."""

    run: RunResult | None = None
    """What of a run had happened, the turn that failed included; None outside of runs."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write what went over the wire to a file, which ``acechat emulate --replay`` plays.

        It holds the prompt, with its pictures, and the answer, but never the token.

        Raises:
            RuntimeError: Nothing was recorded.
            OSError: The file cannot be written.
        """
        if self.cassette is None:
            raise RuntimeError(
                "nothing was recorded: the error comes from no call, or max_record_bytes is 0"
            )
        self.cassette.save(path)

    def __reduce__(self) -> tuple[Callable[..., AceChatError], tuple[Any, ...]]:
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(cls: type[AceChatError], args: tuple[Any, ...], facts: dict[str, Any]) -> AceChatError:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(facts)
    return error


class ConfigurationError(AceChatError, ValueError):
    """What was asked for cannot be sent; nothing was."""


class BudgetExceededError(AceChatError):
    """A call was not made, because it would have passed a budget."""


class OutputError(AceChatError):
    """The answer has not the form that was asked for; it was paid for all the same.

    Args:
        message: What is wrong, and where: ``Expected `int`, got `str` - at `$.days```.
        text: The answer's JSON, or its text where no JSON was found.
        completion: The answer; its usage counts those before it that did not fit, either.
    """

    def __init__(
        self, message: str, *, text: str = "", completion: ChatCompletion | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.text = text
        self.completion = completion
        self.partial: ChatCompletion | None = completion

    def __str__(self) -> str:
        return f"the answer has not the form that was asked for: {self.message}"


class ToolError(AceChatError):
    """A tool failed, and ``raise_tool_errors=True`` asked for this; the cause is its exception.

    *call* is what the model had asked for.
    """

    def __init__(self, call: ToolCall, reason: str) -> None:
        super().__init__(reason)
        self.call = call

    def __str__(self) -> str:
        return f"the tool {self.call.function.name!r} failed: {self.reason}"


class MaxTurnsError(AceChatError):
    """The model still called tools when a run reached *max_turns*.

    *run* holds all of it: ``client.run(messages=error.run.messages, ...)`` goes on.
    """

    def __init__(self, max_turns: int) -> None:
        super().__init__(f"{max_turns}")
        self.max_turns = max_turns

    def __str__(self) -> str:
        return f"the model has not answered within {self.max_turns} turns (max_turns)"


class TransportError(AceChatError):
    """No whole answer came over the network."""

    retryable: bool = True

    ending: str = "cut"
    """How the connection ended: ``"cut"`` is closed too early; ``"reset"``; or ``"malformed"``,
    where something came that is no HTTP."""


class ConnectError(TransportError):
    """No connection to the service was made, so nothing was sent.

    *final* is True where trying again cannot help, as with a certificate that is not trusted.
    """

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final
        self.retryable: bool = not final


class RequestTimeoutError(TransportError, TimeoutError):
    """A limit of `Timeout` passed.

    *phase* is ``"connect"``, ``"first_token"``, ``"idle"`` or ``"total"``; *limit* is that limit,
    in seconds; *looking_up* is the host whose address was not known by then, if that was missing.
    """

    def __init__(
        self, phase: str, limit: float, *, sent: bool = True, looking_up: str = ""
    ) -> None:
        super().__init__(f"{phase} {limit}")
        self.phase = phase
        self.limit = limit
        self.sent: bool = sent and phase != "connect"
        """Whether the request was sent: then the service may still be working on it."""

        self.looking_up: str = looking_up

    def __str__(self) -> str:
        what = _PHASES[self.phase] if self.sent else _PHASES["connect"]
        if not self.sent and self.looking_up:
            what = f"no address of the host {self.looking_up} was found"
        elif not self.sent and self.phase != "connect":
            what = "no turn, or no connection, to send the request"
        return f"{what} within {self.limit:g} s (Timeout.{self.phase})"


_PHASES = {
    "connect": "no connection",
    "first_token": "no answer began",
    "idle": "no more of the answer came",
    "total": "the call did not end",
}


class ClientClosedError(TransportError):
    """The client was closed before or during the call."""

    retryable: bool = False

    def __init__(self) -> None:
        super().__init__("the client is closed; make a new one")


class ProtocolError(AceChatError):
    """Something came that is no answer; *body* holds the first 500 bytes of it."""

    def __init__(self, reason: str, *, body: bytes = b"", status: int | None = None) -> None:
        super().__init__(reason)
        self.body: bytes = body[:500]
        self.status = status

    def __str__(self) -> str:
        if not self.body:
            return self.reason
        return f"{self.reason}: {self.body[:120].decode(errors='replace')!r}"


class StreamTruncatedError(ProtocolError):
    """The stream ended before the answer did; *partial* holds what had arrived.

    A stream is whole when ``data: [DONE]`` came, or when it ended cleanly after a finish reason
    for every choice. Anything else is this error, however quietly the network ended it.
    """

    retryable: bool = True

    def __init__(self, reason: str, *, chunks: int, received: int, elapsed: float = 0.0) -> None:
        super().__init__(reason)
        self.chunks = chunks
        """Events that had arrived."""
        self.received = received
        """Bytes that had arrived."""
        self.elapsed = elapsed
        """Seconds from the call to the end."""

    def __str__(self) -> str:
        return (
            f"{self.reason} after {self.chunks} events and {self.received} bytes, "
            "before the answer was whole"
        )


class StreamInterruptedError(StreamTruncatedError, TransportError):
    """The connection broke in the middle of a stream; *partial* holds what had arrived."""


_FINAL = (401, 403)
"""Statuses of a token that is not accepted: the same request cannot succeed later."""


class APIError(AceChatError):
    """The service refused the request, or gave up on it.

    Args:
        status: HTTP status. None for an error inside a stream that had begun well.
        code: The service's word for it, such as ``"invalid_token"`` (contract, 3.2).
        message: The service's sentence about it.
        trace_id: What the service's support asks for.
        retry_after: Seconds that the service asks to wait.
        should_retry: The value of the service's ``x-should-retry`` header; it decides `retryable`,
            except that a 401 or 403 is never retryable.
        body: The first 64 KiB of what it sent.
    """

    retryable: bool = False

    def __init__(
        self,
        status: int | None,
        code: str | None,
        message: str,
        *,
        trace_id: str | None = None,
        retry_after: float | None = None,
        should_retry: bool | None = None,
        body: bytes = b"",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.trace_id = trace_id
        self.retry_after = retry_after
        self.body = body
        if status in _FINAL:
            self.retryable = False
        elif should_retry is not None:
            self.retryable = should_retry

    def __str__(self) -> str:
        name = " ".join(part for part in (self.status and f"HTTP {self.status}", self.code) if part)
        text = f"{name}: {self.message}" if name else self.message
        return f"{text} (trace {self.trace_id})" if self.trace_id else text


class BadRequestError(APIError):
    """The request is malformed or asks for what cannot be (400, 422 and other 4xx)."""


class APINotImplementedError(BadRequestError):
    """The service has no such function (``api_not_implemented``)."""


class RequestTooLargeError(BadRequestError):
    """The request has too many bytes (413)."""


class AuthenticationError(APIError):
    """The token is missing, wrong or expired (401)."""


class TokenMismatchError(APIError):
    """The token belongs to another of AceData's services (``token_mismatched``)."""


class PermissionDeniedError(APIError):
    """The token may not do this (403)."""


class InsufficientBalanceError(PermissionDeniedError):
    """The balance or quota is used up (``used_up``); top up at https://platform.acedata.cloud."""


class AccountDisabledError(PermissionDeniedError):
    """The application has been disabled (``disabled``)."""


class ContentModerationError(PermissionDeniedError):
    """The content was refused (``forbidden``)."""


class PaymentRequiredError(APIError):
    """The service wants to be paid for this call (402); *body* holds its offer."""


class NotFoundError(APIError):
    """No such address or model (404)."""


class RateLimitError(APIError):
    """Too many requests (429); *retry_after* tells how long to wait, if the service does."""

    retryable: bool = True


class ServerError(APIError):
    """The service failed (5xx)."""

    retryable: bool = True


class OverloadedError(ServerError):
    """The service or the model behind it is busy (503, 529, ``busy``).

    `RateLimit` and *fallback_models* take a `ServerError` with the code ``api_error`` for one, too.
    """


class GatewayTimeoutError(ServerError):
    """The service waited too long for the model (504, 524, ``timeout``); it may be billed."""
