"""One connection: who reads what arrives on it, and how a request gets it."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from contextvars import ContextVar
from functools import partial
from typing import Any, Protocol, cast

import aiohttp
from aiohttp.abc import ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.tracing import Trace

__all__ = ["ConnectionHandler", "ConnectionState", "Connector", "current_connection"]


class ConnectionState:
    """What is known about the connection that one request travels on."""

    __slots__ = ("fresh", "handler", "looking_up", "reused", "sent", "size", "transport")

    def __init__(self) -> None:
        self.size = 0
        """Bytes that aiohttp writes, at least; 0 where they are counted when they are written."""

        self.fresh = False
        """Whether it must not be a connection that was used before."""

        self.reused = False
        self.sent = False
        """Whether anything may have been written."""

        self.looking_up = ""
        """The host whose address is not known yet."""

        self.transport: asyncio.Transport | None = None
        self.handler: ConnectionHandler | None = None

    def renew(self) -> None:
        """Begin again, on a connection that no request has used."""
        self.fresh = True
        self.sent = False
        self.transport = self.handler = None

    @property
    def unsent(self) -> bool:
        """Whether a kept connection was dead before the request could be read from it."""
        return self.reused and self.handler is not None and self.handler.unsent

    def cut(self) -> None:
        """Drop the connection, and with it what of the request was not written yet.

        Closing alone would wait until the server has read what it may never read.
        """
        if self.transport is not None:
            self.transport.abort()


current_connection: ContextVar[ConnectionState] = ContextVar("acechat_wire")
"""The connection of the request that this task is sending."""


class Reader(Protocol):
    """Who reads a body while it arrives."""

    kept: bytes
    """What had arrived unread when the connection broke; aiohttp would raise first."""

    def data_ready(self) -> None:
        """Take note of bytes, or of the end."""


class _Queue(list[Any]):
    """A deque that hardly ever holds more than the head of one response, in 64 bytes, not 760."""

    __slots__ = ()

    def popleft(self) -> object:
        return self.pop(0)


class ConnectionHandler(ResponseHandler):
    """aiohttp's own, without what costs a stream as much as its decoding does.

    It tells the reader of a body at once that something has come: to wait for it with aiohttp takes
    two coroutines more for each read.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._buffer = cast("Any", _Queue())
        self._held_back = False
        self._unread = b""
        self.reader: Reader | None = None
        self.request_size = 0
        """Bytes of the request, once they were given to the transport."""

        self._ended_unread = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        sock = transport.get_extra_info("socket")
        if sock is not None:
            _keep_alive(sock)

    @property
    def unsent(self) -> bool:
        """Whether the connection ended and the server cannot have read any of the request."""
        return not self.request_size or self._ended_unread

    def asks(self, size: int) -> None:
        """Take note of a request of *size* bytes; 0 while nothing was written."""
        self.request_size = size
        self._ended_unread = False

    def eof_received(self) -> None:
        # What a server sends acknowledges all that its kernel had received by then. If the end of
        # its stream acknowledges nothing of the request, then the server had closed the connection
        # before. A reset proves nothing: Linux does not read the acknowledgement in it, so a server
        # that read the request, and failed at once, looks the same.
        if self.request_size and self.transport is not None:
            self._ended_unread = _unacknowledged(self.transport) >= self.request_size
        super().eof_received()

    def set_reader(self, reader: Reader) -> bytes:
        """Tell *reader* from now on; return what was left when the connection broke before."""
        self.reader = reader
        return self._unread

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.reader is not None:
            self.reader.data_ready()

    def connection_lost(self, exc: BaseException | None) -> None:
        body, reader = self._payload, self.reader
        if body is not None and body.exception() is None and not body.is_eof():
            self._unread = body.read_nowait()
            if reader is not None:
                reader.kept = self._unread
        super().connection_lost(exc)
        if reader is not None:
            reader.data_ready()

    def pause_reading(self) -> None:
        self._held_back = True
        super().pause_reading()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Resume what was paused; aiohttp resumes, and parses nothing, after each HTTP chunk."""
        if self._held_back:
            self._held_back = False
            super().resume_reading(resume_parser)


class Connector(aiohttp.TCPConnector):
    """Notes which connection a request gets, and bounds everything that making one takes.

    What a forked child inherits it must not touch: the sockets and the selector are shared, so
    closing there would deafen the parent.
    """

    pid = 0
    """The process that opened the connections."""

    def adopt(self) -> None:
        """Note whose the connections are, and what takes their bytes."""
        self.pid = os.getpid()
        self._factory = cast(
            "partial[ResponseHandler]", partial(ConnectionHandler, loop=self._loop)
        )
        # asyncio allocates 256 KiB for each read, which glibc maps and unmaps each time: half of
        # what a live stream costs (measured). It maps none that is smaller than one freed before.
        bytes(2**20)

    def _release(
        self, key: ConnectionKey, protocol: ResponseHandler, *, should_close: bool = False
    ) -> None:
        if self.pid != os.getpid():
            return
        transport = protocol.transport
        super()._release(key, protocol, should_close=should_close)
        if transport is not None and transport.is_closing():
            transport.abort()  # closing waits until the server has read what it may never read

    def __del__(self, _warnings: object = None) -> None:
        """Do nothing: the pool closes, in its own thread, and the parent of a fork for itself."""

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> aiohttp.connector.Connection:
        mine = current_connection.get()
        while True:
            mine.reused = True
            connection = await super().connect(req, traces, timeout)
            protocol, transport = connection.protocol, connection.transport
            if isinstance(protocol, ConnectionHandler):
                protocol.reader = None  # who asked before may still have the end of it to read
                protocol.asks(mine.size)
                mine.handler = protocol
            unasked = mine.reused and transport is not None and _holds_bytes(transport)
            unfit = unasked or (mine.reused and mine.fresh)
            if protocol is None or not (protocol.should_close or unfit):
                mine.transport = transport
                mine.sent = True
                return connection
            # Bytes arrived while the connection was idle: they answer nothing that was asked.
            connection.close()

    async def _resolve_host(
        self, host: str, port: int, traces: Sequence[Trace] | None = None
    ) -> list[ResolveResult]:
        mine = current_connection.get()
        mine.looking_up = host
        found = await super()._resolve_host(host, port, traces)
        mine.looking_up = ""
        return found

    async def _create_connection(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> ResponseHandler:
        current_connection.get().reused = False
        # aiohttp's own limit is per address and leaves out the look-up of the host.
        async with asyncio.timeout(timeout.sock_connect):
            return await super()._create_connection(req, traces, timeout)


_PROBES = [
    (level, number, value)
    for level, name, value in (
        (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
        (socket.IPPROTO_TCP, "TCP_KEEPIDLE", 60),
        (socket.IPPROTO_TCP, "TCP_KEEPALIVE", 60),  # macOS's name of TCP_KEEPIDLE
        (socket.IPPROTO_TCP, "TCP_KEEPINTVL", 15),
    )
    if (number := getattr(socket, name, None)) is not None
]
"""TCP's probes, in seconds: routers forget a connection that is silent for some minutes."""


def _keep_alive(sock: socket.socket) -> None:
    """Probe while a model reasons in silence."""
    with suppress(OSError):  # it is not TCP, or closed
        for option in _PROBES:
            sock.setsockopt(*option)


def _unacknowledged(transport: asyncio.Transport) -> int:
    """Return how many of the bytes written the other side has not acknowledged; Linux counts them.

    Elsewhere, none: then no request counts as unread.
    """
    sock = transport.get_extra_info("socket")
    if sys.platform != "linux" or sock is None or sock.fileno() < 0:
        return 0
    import fcntl
    import termios

    try:
        answer = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4))
    except OSError:  # it is not TCP
        return 0
    return int.from_bytes(answer, sys.byteorder) + transport.get_write_buffer_size()


def _holds_bytes(transport: asyncio.BaseTransport) -> bool:
    """Whether something has arrived that the loop, being busy or stopped, has not read yet."""
    sock = transport.get_extra_info("socket")
    if sock is None or sock.fileno() < 0:
        return False
    if sys.platform == "win32":
        return bool(select.select([sock], [], [], 0)[0])
    poll = select.poll()  # unlike select(), for any number of files; 1.5 µs
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))
