"""A stream, told again to whoever reads it from us: events in, bytes out, without I/O.

What is written is what OpenAI's clients read: ``data: {…}``, an empty line, and ``data: [DONE]`` at
the end of a whole answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from acechat._credentials import Token
from acechat.errors import (
    AceChatError,
    APIError,
    BudgetExceededError,
    ConnectError,
    ProtocolError,
    RequestTimeoutError,
    StreamTruncatedError,
)

__all__ = ["DONE", "KEEP_ALIVE", "encode_error", "encode_events", "headers_of"]

DONE = b"data: [DONE]\n\n"
"""Follows a whole answer, and nothing else."""

KEEP_ALIVE = b": keep-alive\n\n"
"""A comment, which readers skip."""

_HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",  # nginx would keep the events until it has a page full of them
}


def headers_of(trace_id: str | None) -> Mapping[str, str]:
    """Return the headers of a response that tells a stream."""
    if trace_id and trace_id.isascii() and trace_id.isprintable():
        return {**_HEADERS, "X-Trace-Id": trace_id}
    return _HEADERS


def encode_events(events: Iterable[bytes], token: Token) -> bytes:
    """Return *events* as they go over the wire, each with the very data that came.

    Args:
        events: The data of each.
        token: Is taken out, should the service echo it.
    """
    told = [b"data: %s\n\n" % data.replace(b"\n", b"\ndata: ") for data in events if data.strip()]
    return token.redact(b"".join(told))


def encode_error(error: AceChatError) -> bytes:
    """Return the event that tells *error*, in OpenAI's words.

    It holds the service's own sentence, code and trace id, and nothing of the bodies: they are
    between the service and us.
    """
    told = {
        "message": _message(error),
        "type": "upstream_error",
        "param": None,
        "code": _code(error),
        "trace_id": error.trace_id,
    }
    return b"event: error\ndata: %s\n\n" % msgspec.json.encode({"error": told})


def _message(error: AceChatError) -> str:
    if isinstance(error, StreamTruncatedError | RequestTimeoutError):
        return str(error)
    return error.message if isinstance(error, APIError) else error.reason


def _code(error: AceChatError) -> str:
    if isinstance(error, APIError):
        return error.code or "api_error"
    if isinstance(error, RequestTimeoutError):
        return "timeout"
    if isinstance(error, ConnectError):
        return "connection_failed"
    if isinstance(error, BudgetExceededError):
        return "budget_exceeded"
    if isinstance(error, ProtocolError) and not isinstance(error, StreamTruncatedError):
        return "bad_response"
    return "stream_truncated"
