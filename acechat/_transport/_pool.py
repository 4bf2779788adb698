"""Connections: what belongs to one event loop of one process."""

from __future__ import annotations

import asyncio
import os
import select
import sys
import weakref
from collections.abc import AsyncGenerator, Awaitable
from contextlib import suppress
from contextvars import ContextVar
from functools import partial
from types import AsyncGeneratorType
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.tracing import Trace

from acechat._config import Timeout
from acechat._transport._failures import timed_out
from acechat.errors import ClientClosedError

if TYPE_CHECKING:
    from acechat._transport._direct import Direct
    from acechat._transport._response import Response

__all__ = ["Connector", "Pool", "Wire", "abandoned", "wire"]

_T = TypeVar("_T")


class Wire:
    """What is known about the connection that one request travels on."""

    __slots__ = ("fresh", "reused", "sent", "transport")

    def __init__(self) -> None:
        self.fresh = False
        """Whether it must not be a connection that was used before."""

        self.reused = False
        self.sent = False
        """Whether anything may have been written."""

        self.transport: asyncio.Transport | None = None

    def renew(self) -> None:
        """Begin again, on a connection that nobody has used."""
        self.fresh = True
        self.transport = None

    def cut(self) -> None:
        """Drop the connection, and with it what of the request was not written yet.

        Closing alone would wait until the server has read what it may never read.
        """
        if self.transport is not None:
            self.transport.abort()


wire: ContextVar[Wire] = ContextVar("acechat_wire")
"""The connection of the request that this task is sending."""


class Reader(Protocol):
    """Who reads a body while it arrives."""

    kept: bytes
    """What had arrived unread when the connection broke; aiohttp would raise first."""

    def arrived(self) -> None:
        """Take note of bytes, or of the end."""


class Handler(ResponseHandler):
    """aiohttp's own, without what costs a stream as much as its decoding does.

    It tells the reader of a body at once that something has come: to wait for it with aiohttp takes
    two coroutines more for each read.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._held_back = False
        self._unread = b""
        self.reader: Reader | None = None

    def listen(self, reader: Reader) -> bytes:
        """Tell *reader* from now on; return what was left when the connection broke before."""
        self.reader = reader
        return self._unread

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.reader is not None:
            self.reader.arrived()

    def connection_lost(self, exc: BaseException | None) -> None:
        body, reader = self._payload, self.reader
        if body is not None and body.exception() is None and not body.is_eof():
            self._unread = body.read_nowait()
            if reader is not None:
                reader.kept = self._unread
        super().connection_lost(exc)
        if reader is not None:
            reader.arrived()

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
        self._factory = cast("partial[ResponseHandler]", partial(Handler, loop=self._loop))
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
        mine = wire.get()
        while True:
            mine.reused = True
            connection = await super().connect(req, traces, timeout)
            protocol, transport = connection.protocol, connection.transport
            if isinstance(protocol, Handler):
                protocol.reader = None  # who asked before may still have the end of it to read
            unasked = mine.reused and transport is not None and _holds_bytes(transport)
            unfit = unasked or (mine.reused and mine.fresh)
            if protocol is None or not (protocol.should_close or unfit):
                mine.transport = transport
                mine.sent = True
                return connection
            # Bytes arrived while the connection was idle: they answer nothing that was asked.
            connection.close()

    async def _create_connection(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> ResponseHandler:
        wire.get().reused = False
        # aiohttp's own limit is per address and leaves out the look-up of the host.
        async with asyncio.timeout(timeout.sock_connect):
            return await super()._create_connection(req, traces, timeout)


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


class Pool:
    """What belongs to one event loop of one process.

    Args:
        session: What sends requests.
        connector: That of *session*; None where both are the caller's own.
        slots: The most requests at a time; None for no limit.
    """

    def __init__(
        self, session: aiohttp.ClientSession, connector: Connector | None, slots: int | None
    ) -> None:
        self.pid: int = os.getpid()
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self.session = session
        self.connector = connector
        self.direct: dict[tuple[str, str], Direct] = {}
        """What sends to each method and path."""

        self.slots: asyncio.Semaphore | None = (
            asyncio.Semaphore(slots) if slots is not None else None
        )
        self.closed: bool = False
        self.waits: set[asyncio.Timeout] = set()
        self.responses: set[Response] = set()
        self.draining: set[Response] = set()
        self._ending = asyncio.Lock()
        self._closer = cast("AsyncGeneratorType[None, None]", self._close_with_the_loop())
        self._finalizer: weakref.finalize[..., object] | None = None
        for pool in [pool for pool in list(_open) if pool.loop.is_closed()]:
            pool.forget()  # its loop ended without a word
        _open.add(self)

    async def start(self, owner: object) -> None:
        """Arrange for the end of the loop, and for that of *owner*."""
        self._finalizer = weakref.finalize(owner, self.abandon)
        self._finalizer.atexit = False
        await anext(self._closer)

    @property
    def usable(self) -> bool:
        """Whether it belongs to this process, and is open."""
        return not self.closed and self.pid == os.getpid()

    async def within(
        self, awaitable: Awaitable[_T], at: float | None, phase: str, timeout: Timeout, line: Wire
    ) -> _T:
        """Await, until the limit *phase* passes at the time *at* of the loop's clock.

        *line* tells whether a request had been sent by then.

        Raises:
            RequestTimeoutError: It passed.
            ClientClosedError: The pool was closed meanwhile.
        """
        scope = asyncio.timeout_at(at)
        self.waits.add(scope)
        try:
            async with scope:
                return await awaitable
        except TimeoutError:
            if not scope.expired():
                raise
        finally:
            self.waits.discard(scope)
        raise ClientClosedError if self.closed else timed_out(phase, timeout, sent=line.sent)

    async def close(self) -> None:
        """End what is under way, with `ClientClosedError`, and close the connections."""
        self.closed = True
        for scope in list(self.waits):
            with suppress(RuntimeError):  # it is expiring by itself
                scope.reschedule(0.0)  # long ago, on any loop's clock
        for response in list(self.responses):
            if response.open:
                response.abort(ClientClosedError())
        await self._end()
        if not self._closer.ag_running:  # else the loop ends at this very moment
            await self._closer.aclose()

    def abandon(self) -> None:
        """Close, from any thread, what the garbage collector found."""
        if self.usable and not self.loop.is_closed():
            with suppress(RuntimeError):  # closed meanwhile
                self.loop.call_soon_threadsafe(self._close_soon)

    def _close_soon(self) -> None:
        closing = self.loop.create_task(self.close())
        _closing.add(closing)
        closing.add_done_callback(_closing.discard)

    def forget(self) -> None:
        """Let go of connections without touching them."""
        self.closed = True
        self._let_go()
        if self.connector is not None and not self.session.closed:
            self.session.detach()

    async def _close_with_the_loop(self) -> AsyncGenerator[None, None]:
        """Close the session when the loop ends without a close() of the client.

        `asyncio.run` closes the generators that are still open before it closes the loop.
        """
        try:
            yield
        finally:
            self.closed = True
            await self._end()

    async def _end(self) -> None:
        """Close the connections; return when that is done, whoever does it."""
        self._let_go()
        async with self._ending:
            for response in list(self.draining):  # their answers are whole
                response.hang_up()
            if self.connector is not None:
                await self.session.close()

    def _let_go(self) -> None:
        """Be forgotten by all that would close it."""
        _open.discard(self)
        if self._finalizer is not None:
            self._finalizer.detach()


_open: set[Pool] = set()
"""All pools that have not been closed: the garbage collector must not find one that is open."""

_closing: set[asyncio.Task[None]] = set()
"""Those that close what nobody closed."""

_inherited: list[Pool] = []


async def abandoned() -> None:
    """Wait until what nobody closed in this loop is closed."""
    loop = asyncio.get_running_loop()
    if mine := [closing for closing in _closing if closing.get_loop() is loop]:
        await asyncio.wait(mine)


def _after_fork() -> None:
    """Let go, in a forked child, of what is its parent's."""
    try:
        here = asyncio.get_running_loop()
    except RuntimeError:
        here = None
    for pool in list(_open):
        pool.forget()
        _inherited.append(pool)
        if pool.loop is not here:
            # It runs in no thread of this process; what it would complain about is the parent's.
            pool.loop.set_exception_handler(lambda _loop, _context: None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
