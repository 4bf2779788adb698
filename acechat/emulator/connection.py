"""Write to, frame and break the connection of a request."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import web

__all__ = ["ClientGoneError", "Framing", "hang_up", "reset", "write"]

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


_OWN = {"connection", "keep-alive", "transfer-encoding", "upgrade", "trailer"}
"""Headers about one connection: this one ends with the response."""


class Framing:
    """How the end of a body is told: by its length, a last chunk, or the end of the connection.

    Args:
        headers: Those of the response, in lower case.
    """

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers
        self.chunked: bool = "chunked" in headers.get("transfer-encoding", "").lower()

    def head(self, status: int) -> bytes:
        """Write the status line and the headers."""
        try:
            phrase = HTTPStatus(status).phrase
        except ValueError:
            phrase = ""
        lines = [f"HTTP/1.1 {status} {phrase}", "connection: close"]
        lines += [f"{name}: {told}" for name, told in self._headers.items() if name not in _OWN]
        if self.chunked:
            lines.append("transfer-encoding: chunked")
        return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape")

    def piece(self, data: bytes) -> bytes:
        """Write a piece of the body that is not empty."""
        return b"%x\r\n%s\r\n" % (len(data), data) if self.chunked else data

    def end(self) -> bytes:
        """Write the end."""
        return b"0\r\n\r\n" if self.chunked else b""
