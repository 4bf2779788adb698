"""The connection of a request: check its host, write, frame the body, close, reset.

A web page can let its name point to this computer (DNS rebinding) and read each response of a
server that does not look at ``Host``. Such an attack needs a name, so all addresses are accepted.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import struct
import sys
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

__all__ = ["ClientGoneError", "Framing", "close", "host_check", "reset", "write"]

_FLUSH_POLL = 0.001
"""Seconds."""


_RESET_ON_CLOSE = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
"""A ``struct linger``: on, 0 seconds."""


class ClientGoneError(ConnectionError):
    """The client closed the connection."""


def write(request: web.Request, data: bytes) -> None:
    """Write *data* unchanged, HTTP framing included.

    Raises:
        ClientGoneError: The client has closed the connection.
    """
    if request.transport is None or request.transport.is_closing():
        raise ClientGoneError
    request.transport.write(data)


def close(request: web.Request) -> None:
    """Close the connection after all written data was sent."""
    if request.transport:
        request.transport.close()


async def reset(request: web.Request) -> None:
    """Reset the connection (TCP RST) after all written data was sent."""
    # Data written before must arrive, and a transport has no event for an empty buffer.
    transport = request.transport
    while transport and transport.get_write_buffer_size():  # noqa: ASYNC110 - as above
        await asyncio.sleep(_FLUSH_POLL)
    if transport:
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        transport.abort()


_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "upgrade", "trailer"}
"""Hop-by-hop headers: this connection ends with the response."""


class Framing:
    """The framing of a response body: by length, in chunks, or until the connection closes.

    Args:
        headers: The response's headers, names in lower case.
    """

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers
        self.chunked: bool = "chunked" in headers.get("transfer-encoding", "").lower()

    def head(self, status: int) -> bytes:
        """Return the status line and the headers."""
        try:
            phrase = HTTPStatus(status).phrase
        except ValueError:
            phrase = ""
        lines = [f"HTTP/1.1 {status} {phrase}", "connection: close"]
        lines += [
            f"{name}: {value}" for name, value in self._headers.items() if name not in _HOP_BY_HOP
        ]
        if self.chunked:
            lines.append("transfer-encoding: chunked")
        return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape")

    def chunk(self, data: bytes) -> bytes:
        """Return *data*, a part of the body, with its framing. It must not be empty."""
        return b"%x\r\n%s\r\n" % (len(data), data) if self.chunked else data

    def end(self) -> bytes:
        """Return the end of the body."""
        return b"0\r\n\r\n" if self.chunked else b""


def host_check(hosts: Iterable[str]) -> Middleware:
    """Return a middleware that refuses requests for other names than ``localhost`` and *hosts*.

    Args:
        hosts: Names, without a port; ``"*"`` accepts all.
    """
    accepted = {"localhost", *(name.lower().strip("[]").removesuffix(".") for name in hosts)}

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        # Without the header, the request does not come from a browser.
        for value in request.headers.getall("Host", ()):
            if "*" not in accepted and not _is_accepted(value, accepted):
                message = (
                    "This server does not respond to the name in the Host header. "
                    "Start it with --allow-host NAME (hosts= of Service) to permit it."
                )
                return web.json_response(
                    {"error": {"code": "host_not_allowed", "message": message}},
                    status=HTTPStatus.MISDIRECTED_REQUEST,
                )
        return await handler(request)

    return check


def _is_accepted(value: str, names: set[str]) -> bool:
    try:
        host = (urlsplit(f"//{value}").hostname or "").removesuffix(".")
    except ValueError:
        return False
    if host in names:
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
