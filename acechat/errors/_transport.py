"""Errors of the network and of responses that are not valid."""

from __future__ import annotations

from acechat.errors._base import AceChatError

__all__ = [
    "ClientClosedError",
    "ConnectError",
    "ProtocolError",
    "RequestTimeoutError",
    "StreamInterruptedError",
    "StreamTruncatedError",
    "TransportError",
]


class TransportError(AceChatError):
    """No complete response arrived over the network.

    Attributes:
        ending: How the connection ended: ``"cut"`` (closed too early), ``"reset"``, or
            ``"malformed"`` (the bytes received are not HTTP).
    """

    retryable: bool = True
    ending: str = "cut"


class ConnectError(TransportError):
    """No connection to the service was established, so nothing was sent.

    Args:
        reason: Description of the failure, in one line.
        final: Whether a retry cannot help, for example after an untrusted certificate.
    """

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final
        self.retryable: bool = not final


class RequestTimeoutError(TransportError, TimeoutError):
    """A limit of `Timeout` passed.

    Args:
        phase: ``"connect"``, ``"first_token"``, ``"idle"`` or ``"total"``.
        limit: The limit of this phase, in seconds.
        sent: Whether the request was sent; the service may then still be working on it. Always
            False in the phase ``"connect"``.
        looking_up: The host whose address lookup had not ended; empty if it had.
    """

    def __init__(
        self, phase: str, limit: float, *, sent: bool = True, looking_up: str = ""
    ) -> None:
        super().__init__(f"{phase} {limit}")
        self.phase = phase
        self.limit = limit
        self.sent: bool = sent and phase != "connect"
        self.looking_up: str = looking_up

    def __str__(self) -> str:
        problem = _PROBLEMS[self.phase] if self.sent else _PROBLEMS["connect"]
        if not self.sent and self.looking_up:
            problem = f"no address found for host {self.looking_up}"
        elif not self.sent and self.phase != "connect":
            problem = "no free slot or connection for the request"
        return f"{problem} within {self.limit:g} s (Timeout.{self.phase})"


_PROBLEMS = {
    "connect": "no connection",
    "first_token": "no response",
    "idle": "no further content",
    "total": "call not complete",
}
"""By phase, for requests that were sent."""


class ClientClosedError(TransportError):
    """The client was closed before or during the call."""

    retryable: bool = False

    def __init__(self) -> None:
        super().__init__("the client is closed; make a new one")


class ProtocolError(AceChatError):
    """The response is not valid.

    Args:
        reason: Description of the defect, in one line.
        body: The bytes received; the error keeps the first 500.
        status: HTTP status; None if not known.
    """

    def __init__(self, reason: str, *, body: bytes = b"", status: int | None = None) -> None:
        super().__init__(reason)
        self.body: bytes = body[:500]
        self.status = status

    def __str__(self) -> str:
        if not self.body:
            return self.reason
        return f"{self.reason}: {self.body[:120].decode(errors='replace')!r}"


class StreamTruncatedError(ProtocolError):
    """The stream ended before the response was complete; *partial* holds the part received.

    A stream is complete if ``data: [DONE]`` arrived, or if it ended cleanly after a finish reason
    for every choice. Any other end raises this error, even a clean close of the connection.

    Args:
        reason: Description of the end, in one line.
        chunks: Number of events received.
        received: Number of bytes received.
        elapsed: Seconds from the call to the end.
    """

    retryable: bool = True

    def __init__(self, reason: str, *, chunks: int, received: int, elapsed: float = 0.0) -> None:
        super().__init__(reason)
        self.chunks = chunks
        self.received = received
        self.elapsed = elapsed

    def __str__(self) -> str:
        problem, separator, advice = self.reason.partition("; ")
        return (
            f"{problem} after {self.chunks} events and {self.received} bytes, "
            f"before the response was complete{separator}{advice}"
        )


class StreamInterruptedError(StreamTruncatedError, TransportError):
    """The connection broke in the middle of a stream; *partial* holds the part received."""
