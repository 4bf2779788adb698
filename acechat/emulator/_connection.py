"""The connection of a request, below HTTP: what no library sends on purpose."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys

from aiohttp import web

__all__ = ["ClientGoneError", "hang_up", "reset", "write"]

_FLUSH_POLL = 0.001
"""Seconds."""

_RESET_ON_CLOSE = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
"""A ``struct linger``: on, 0 seconds."""


class ClientGoneError(ConnectionError):
    """The client closed the connection."""


def write(request: web.Request, data: bytes) -> None:
    """Write *data* as it is, HTTP framing included.

    Raises:
        ClientGoneError: It is.
    """
    if request.transport is None or request.transport.is_closing():
        raise ClientGoneError
    request.transport.write(data)


def hang_up(request: web.Request) -> None:
    """Close the connection after what was written."""
    if request.transport:
        request.transport.close()


async def reset(request: web.Request) -> None:
    """Break the connection after what was written: the client gets a TCP reset."""
    # What was planned before is to arrive, and a transport tells nobody when it is empty.
    transport = request.transport
    while transport and transport.get_write_buffer_size():  # noqa: ASYNC110 - as above
        await asyncio.sleep(_FLUSH_POLL)
    if transport:
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        transport.abort()
