"""Read the body of a response: complete, or an error body as far as it arrives."""

from __future__ import annotations

from typing import Protocol

from acechat._core.response import Response
from acechat.errors import ProtocolError, TransportError

__all__ = ["read_body", "read_error_body"]

_MAX_ERROR_BODY = 64 * 1024
"""Bytes of an error body that are read; the rest explains nothing."""


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
