"""Connections: what belongs to one event loop of one process."""

from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import AsyncGenerator, Awaitable
from contextlib import suppress
from types import AsyncGeneratorType
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

import aiohttp

from acechat._http.connection import ConnectionState, Connector
from acechat._http.exceptions import timeout_error
from acechat._policy.values import Timeout
from acechat.errors import AceChatError, ClientClosedError

if TYPE_CHECKING:
    from acechat._http.direct import DirectSender

__all__ = ["Pool", "PooledResponse", "abandoned"]

_T = TypeVar("_T")


class PooledResponse(Protocol):
    """A response whose connection the pool has to end when it closes."""

    open: bool

    def abort(self, failure: AceChatError | None = None) -> None:
        """End the reading with *failure*, and close the connection."""

    def hang_up(self) -> None:
        """Close the connection of a complete response."""


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
        self.direct: dict[tuple[str, str], DirectSender] = {}
        """What sends to each method and path."""

        self.slots: asyncio.Semaphore | None = (
            asyncio.Semaphore(slots) if slots is not None else None
        )
        self.closed: bool = False
        self.waits: set[asyncio.Timeout] = set()
        self.responses: set[PooledResponse] = set()
        self.draining: set[PooledResponse] = set()
        self._ending = asyncio.Lock()
        self._closer = cast("AsyncGeneratorType[None, None]", self._close_with_the_loop())
        self._finalizer: weakref.finalize[..., object] | None = None
        for pool in [pool for pool in list(_open) if pool.loop.is_closed()]:
            pool.detach()  # its loop ended without a word
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

    async def run_with_deadline(
        self,
        awaitable: Awaitable[_T],
        at: float | None,
        phase: str,
        timeout: Timeout,
        line: ConnectionState,
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
        if self.closed:
            raise ClientClosedError
        raise timeout_error(phase, timeout, sent=line.sent, looking_up=line.looking_up)

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

    def detach(self) -> None:
        """Let go of connections without touching them."""
        self.closed = True
        self._unregister()
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
        self._unregister()
        async with self._ending:
            for response in list(self.draining):  # their answers are whole
                response.hang_up()
            if self.connector is not None:
                await self.session.close()

    def _unregister(self) -> None:
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
        pool.detach()
        _inherited.append(pool)
        if pool.loop is not here:
            # It runs in no thread of this process; what it would complain about is the parent's.
            pool.loop.set_exception_handler(lambda _loop, _context: None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
