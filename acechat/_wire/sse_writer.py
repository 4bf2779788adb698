"""Encode a received stream as server-sent events for another reader, without I/O.

The format is that of OpenAI's API: ``data: {…}`` and an empty line per event, and ``data: [DONE]``
at the end of a complete stream.
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
"""Ends a complete stream, and only that."""

KEEP_ALIVE = b": keep-alive\n\n"
"""A comment: SSE readers skip it, proxies see traffic."""

_HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",  # otherwise nginx buffers events until a page is full
}


def headers_of(trace_id: str | None) -> Mapping[str, str]:
    """Return the headers of the event-stream response.

    A *trace_id* that is not printable ASCII is left out.
    """
    if trace_id and trace_id.isascii() and trace_id.isprintable():
        return {**_HEADERS, "X-Trace-Id": trace_id}
    return _HEADERS


def encode_events(events: Iterable[bytes], token: Token) -> bytes:
    """Encode *events* with their data unchanged but for the token.

    Args:
        events: The data of each event.
        token: Masked in the output, in case the service echoes it.
    """
    encoded = [
        b"data: %s\n\n" % data.replace(b"\n", b"\ndata: ") for data in events if data.strip()
    ]
    return token.redact(b"".join(encoded))


def encode_error(error: AceChatError) -> bytes:
    """Encode *error* as an ``error`` event in OpenAI's format.

    It contains the service's message, code and trace id, but no part of the request or response
    body, which may be confidential.
    """
    fields = {
        "message": _message(error),
        "type": "upstream_error",
        "param": None,
        "code": _code(error),
        "trace_id": error.trace_id,
    }
    return b"event: error\ndata: %s\n\n" % msgspec.json.encode({"error": fields})


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
