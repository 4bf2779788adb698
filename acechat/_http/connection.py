"""One connection: its state for a request, its reader, and the connector that opens it.

States of a connection, seen from aiohttp's pool:

* idle: in the pool for up to 15 s, the keep-alive time
* in use: `Connector.connect` took it from the pool (``ConnectionState.reused``) or opened it
* draining: the response is complete but the end of its body has not arrived, see `AiohttpResponse`
* closed: by either side, or because bytes arrived while it was idle
"""

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
    """The connection of one request, and how much of the request may have been sent on it."""

    __slots__ = ("fresh", "handler", "looking_up", "reused", "sent", "size", "transport")

    def __init__(self) -> None:
        self.size = 0
        """Lower bound of the bytes that aiohttp writes; 0 if `ConnectionHandler` counts them."""

        self.fresh = False
        """Whether a new connection is required."""

        self.reused = False
        """Whether an earlier request used the connection."""

        self.sent = False
        """Whether any of the request may have been written."""

        self.looking_up = ""
        """The host name that is being resolved; empty otherwise."""

        self.transport: asyncio.Transport | None = None
        self.handler: ConnectionHandler | None = None

    def renew(self) -> None:
        """Prepare to send again on a new connection."""
        self.fresh = True
        self.sent = False
        self.transport = self.handler = None

    @property
    def unsent(self) -> bool:
        """Whether a reused connection was closed before the server can have read the request."""
        return self.reused and self.handler is not None and self.handler.unsent

    def abort(self) -> None:
        """Close the connection and discard the unwritten rest of the request.

        ``close()`` would wait until the server has read that rest, possibly for ever.
        """
        if self.transport is not None:
            self.transport.abort()


current_connection: ContextVar[ConnectionState] = ContextVar("acechat_wire")
"""Connection of the request that the current task is sending."""


class Reader(Protocol):
    """The reader of a response body."""

    unread: bytes
    """Bytes received before the connection broke, which aiohttp would discard with its error."""

    def data_ready(self) -> None:
        """Handle the arrival of bytes or of the end."""


class _Queue(list[Any]):
    """A deque in 64 instead of 760 bytes; it rarely holds more than the head of one response."""

    __slots__ = ()

    def popleft(self) -> object:
        return self.pop(0)


class ConnectionHandler(ResponseHandler):
    """aiohttp's protocol with less CPU time per read: its own takes as long as decoding a stream.

    Calls the reader of a body as soon as data arrives. Waiting with aiohttp takes two more
    coroutines for each read.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._buffer = cast("Any", _Queue())
        self._paused = False
        self._unread = b""
        self.reader: Reader | None = None
        self.request_size = 0
        """Bytes of the request given to the transport; 0 before that."""

        self._ended_unread = False  # the server closed before it read the request
        self._poll: select.poll | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        sock = transport.get_extra_info("socket")
        if sock is not None:
            _keep_alive(sock)

    @property
    def unsent(self) -> bool:
        """Whether the server cannot have read any of the request before the connection ended."""
        return not self.request_size or self._ended_unread

    def request_written(self, size: int) -> None:
        """Record that a request of *size* bytes was written; 0 before it is."""
        self.request_size = size
        self._ended_unread = False

    def eof_received(self) -> None:
        # Each TCP segment acknowledges all bytes that the server's kernel has received. If its FIN
        # acknowledges none of the request, the server closed the connection before the request
        # arrived. A reset proves nothing: Linux ignores the acknowledgement in it, so a server that
        # read the request and failed at once looks the same.
        if self.request_size and self.transport is not None:
            self._ended_unread = _unacknowledged(self.transport) >= self.request_size
        super().eof_received()

    def set_reader(self, reader: Reader) -> bytes:
        """Call *reader* from now on; return the unread bytes of a connection that is broken."""
        self.reader = reader
        return self._unread

    def has_unread_data(self) -> bool:
        """Return True if data has arrived that the event loop has not read yet."""
        sock = self.transport.get_extra_info("socket") if self.transport is not None else None
        if sock is None or sock.fileno() < 0:
            return False
        if sys.platform == "win32":
            return bool(select.select([sock], [], [], 0)[0])
        if self._poll is None:  # unlike select(), it works for file descriptors over 1023
            self._poll = select.poll()
            self._poll.register(sock, select.POLLIN)
        return bool(self._poll.poll(0))

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.reader is not None:
            self.reader.data_ready()

    def connection_lost(self, exc: BaseException | None) -> None:
        body, reader = self._payload, self.reader
        if body is not None and body.exception() is None and not body.is_eof():
            self._unread = body.read_nowait()
            if reader is not None:
                reader.unread = self._unread
        super().connection_lost(exc)
        if reader is not None:
            reader.data_ready()

    def pause_reading(self) -> None:
        self._paused = True
        super().pause_reading()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Resume only if paused; aiohttp calls this after each HTTP chunk."""
        if self._paused:
            self._paused = False
            super().resume_reading(resume_parser)


_UNLIMITED = aiohttp.ClientTimeout(total=None, sock_connect=None)


class Connector(aiohttp.TCPConnector):
    """Records the connection that a request gets, and limits the total time of connecting.

    A forked child must not touch inherited connections: sockets and selector are shared, so closing
    them there would unregister them in the parent.
    """

    pid = 0
    """Id of the process that opened the connections."""

    def adopt(self) -> None:
        """Store the process id and install `ConnectionHandler` as the protocol."""
        self.pid = os.getpid()
        self._factory = cast(
            "partial[ResponseHandler]", partial(ConnectionHandler, loop=self._loop)
        )
        # asyncio allocates 256 KiB for each read, which glibc maps and unmaps each time: half of
        # the CPU time of a live stream (measured). Freeing a larger block raises its threshold.
        bytes(2**20)

    def _release(
        self, key: ConnectionKey, protocol: ResponseHandler, *, should_close: bool = False
    ) -> None:
        if self.pid != os.getpid():
            return
        transport = protocol.transport
        super()._release(key, protocol, should_close=should_close)
        if transport is not None and transport.is_closing():
            transport.abort()  # close() waits for unwritten bytes, possibly for ever

    def __del__(self, _warnings: object = None) -> None:
        """Do nothing: the pool closes the connections, in its thread and process."""

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> aiohttp.connector.Connection:
        state = current_connection.get()
        while True:
            state.reused = True
            connection = await super().connect(req, traces, timeout)
            protocol, transport = connection.protocol, connection.transport
            if isinstance(protocol, ConnectionHandler):
                protocol.reader = None  # the previous response may still read its end
                protocol.request_written(state.size)
                state.handler = protocol
            has_data = (
                state.reused
                and isinstance(protocol, ConnectionHandler)
                and protocol.has_unread_data()
            )
            unusable = has_data or (state.reused and state.fresh)
            if protocol is None or not (protocol.should_close or unusable):
                state.transport = transport
                state.sent = True
                return connection
            # Bytes that arrived while the connection was idle belong to no request.
            connection.close()

    async def _resolve_host(
        self, host: str, port: int, traces: Sequence[Trace] | None = None
    ) -> list[ResolveResult]:
        state = current_connection.get()
        state.looking_up = host
        found = await super()._resolve_host(host, port, traces)
        state.looking_up = ""
        return found

    async def _create_connection(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> ResponseHandler:
        current_connection.get().reused = False
        # aiohttp's own limit is per address and does not include the host lookup.
        async with asyncio.timeout(timeout.sock_connect):
            return await super()._create_connection(req, traces, _UNLIMITED)


_PROBES = [
    (level, number, value)
    for level, name, value in (
        (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
        (socket.IPPROTO_TCP, "TCP_KEEPIDLE", 60),
        (socket.IPPROTO_TCP, "TCP_KEEPALIVE", 60),  # TCP_KEEPIDLE on macOS
        (socket.IPPROTO_TCP, "TCP_KEEPINTVL", 15),
    )
    if (number := getattr(socket, name, None)) is not None
]
"""TCP keep-alive, in seconds: routers drop connections that are silent for some minutes."""


def _keep_alive(sock: socket.socket) -> None:
    """Enable TCP keep-alive for silent periods, such as reasoning without events."""
    with suppress(OSError):  # not TCP, or closed
        for option in _PROBES:
            sock.setsockopt(*option)


def _unacknowledged(transport: asyncio.Transport) -> int:
    """Return the number of written bytes that the peer has not acknowledged (Linux only).

    0 on other systems, where no request counts as unread.
    """
    sock = transport.get_extra_info("socket")
    if sys.platform != "linux" or sock is None or sock.fileno() < 0:
        return 0
    import fcntl
    import termios

    try:
        count = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4))
    except OSError:  # not TCP
        return 0
    return int.from_bytes(count, sys.byteorder) + transport.get_write_buffer_size()
