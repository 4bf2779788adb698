"""Read the body of a response: complete, or an error body as far as it arrives."""

from __future__ import annotations

import asyncio
from typing import Protocol

from acechat._core.response import Response
from acechat._wire.deltas import DeltaBatch
from acechat._wire.odd_json import is_event_stream
from acechat._wire.stream import ChatStreamProtocol
from acechat.errors import ProtocolError, TransportError

__all__ = ["read_body", "read_error_body", "receive_body", "receive_events"]

_MAX_ERROR_BODY = 64 * 1024
"""Bytes of an error body that are read; the rest explains nothing."""


_SLICE = 64 * 1024
"""Bytes of events that are decoded without a break for other tasks."""


class _Owner(Protocol):
    """The part of a `Call` that reading its response needs."""

    content: bool

    def idle_at(self) -> float | None: ...


async def read_body(response: Response, call: _Owner, limit: int) -> bytes:
    """Read the complete body of *response*, and set ``call.content`` when its first bytes arrive.

    Args:
        response: The response, which is finished, or aborted on failure.
        call: The call whose limits hold.
        limit: The maximum size, in bytes.

    Raises:
        ProtocolError: The body is larger than *limit*.
        TransportError: The connection broke, or a limit of `Timeout` passed.
    """
    chunks: list[bytes] = []
    size = 0
    phase, at = "first_token", response.first_token_at
    try:
        while data := await _read(response, phase, at):
            call.content = True
            size += len(data)
            if size > limit:
                raise ProtocolError(
                    f"response is larger than {limit} bytes (max_response_bytes)",
                    status=response.status,
                )
            chunks.append(data)
            phase, at = "idle", call.idle_at()
        response.finish()
    finally:
        if response.open:
            response.abort()
    return b"".join(chunks)


async def read_error_body(response: Response, call: _Owner) -> bytes:
    """Read up to 64 KiB of an error body.

    It does not raise `TransportError`, or `ProtocolError` for an unknown content coding: the status
    reports the error even if the body is truncated or unreadable.
    """
    chunks: list[bytes] = []
    size = 0
    phase, at = "first_token", response.first_token_at
    try:
        while size < _MAX_ERROR_BODY and (data := await _read(response, phase, at)):
            chunks.append(data)
            size += len(data)
            phase, at = "idle", call.idle_at()
        response.finish()
    except (TransportError, ProtocolError):
        pass
    finally:
        if response.open:
            response.abort()
    return b"".join(chunks)


async def _read(response: Response, phase: str, at: float | None) -> bytes:
    """Wait for the next bytes of the body, up to the limit *phase*; no bytes are its end."""
    while (data := response.read_nowait()) is None:
        await response.readable(phase, at)
    return data


async def receive_events(protocol: ChatStreamProtocol, body: bytes) -> DeltaBatch:
    """Give a complete *body* of events to *protocol*; other tasks run in between."""
    batch = DeltaBatch([], [])
    for at in range(0, len(body), _SLICE):
        if at:
            await asyncio.sleep(0)
        received = protocol.receive_data(body[at : at + _SLICE])
        batch.deltas.extend(received.deltas)
        batch.events.extend(received.events)
    return batch


async def receive_body(
    protocol: ChatStreamProtocol, body: bytes, kind: str, status: int
) -> DeltaBatch:
    """Accept a complete body whose content type, *kind*, is not that of a stream.

    Raises:
        AceChatError: The body contains an error or no complete completion.
    """
    if not is_event_stream(body, kind):
        return protocol.receive_body(body, kind, status)
    batch = await receive_events(protocol, body)
    rest = protocol.receive_eof()
    return DeltaBatch(batch.deltas + rest.deltas, batch.events + rest.events)
