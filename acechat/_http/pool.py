"""The connection pool of one event loop in one process."""

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
    """A response whose connection the pool closes when it closes."""

    @property
    def open(self) -> bool:
        """Whether the body is being read."""
        ...

    def abort(self, failure: AceChatError | None = None) -> None:
        """Close the connection; pending and later reads raise *failure*."""

    def close(self) -> None:
        """Close the connection of a complete response."""


class Pool:
    """The sessions, connections and open responses of one event loop in one process.

    States:

    * open: takes requests; listed in ``_open``, so that a fork or the end of its loop finds it
    * closing: `closed` is set; waits, responses and connections end, under the lock ``_ending``.
      Entered by `close`, by `abandon` if the transport is collected, or by the end of the loop.
    * closed: the connections are closed
    * detached: belongs to a closed loop or to the parent of a fork; its connections are not touched

    Args:
        session: The session that sends requests.
        connector: The connector of *session*; None if both belong to the caller.
        slots: Maximum number of concurrent requests; None for no limit.
    """

    def __init__(
        self, session: aiohttp.ClientSession, connector: Connector | None, slots: int | None
    ) -> None:
        self.pid: int = os.getpid()
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self.session = session
        self.connector = connector
        self.traced: bool = bool(session.trace_configs)
        """Whether a tool that added a `aiohttp.TraceConfig` must see the requests."""

        self.direct: dict[tuple[str, str], DirectSender] = {}
        """The sender for each method and path."""

        self.slots: asyncio.Semaphore | None = (
            asyncio.Semaphore(slots) if slots is not None else None
        )
        self.closed: bool = False
        self.waits: set[asyncio.Timeout] = set()
        """Deadlines of the tasks that wait for a slot, a connection or the head of a response."""

        self.responses: set[PooledResponse] = set()
        """Responses that are being read."""

        self.draining: set[PooledResponse] = set()
        """Complete responses whose body has not ended yet."""

        self._ending = asyncio.Lock()
        self._closer = cast("AsyncGeneratorType[None, None]", self._close_with_the_loop())
        self._finalizer: weakref.finalize[..., object] | None = None
        for pool in [pool for pool in list(_open) if pool.loop.is_closed()]:
            pool.detach()  # its loop was closed without closing async generators
        _open.add(self)

    async def start(self, owner: object) -> None:
        """Close this pool when its loop ends or *owner* is collected."""
        self._finalizer = weakref.finalize(owner, self.abandon)
        self._finalizer.atexit = False
        await anext(self._closer)

    @property
    def usable(self) -> bool:
        """Whether it is open and belongs to this process."""
        return not self.closed and self.pid == os.getpid()

    async def run_with_deadline(
        self,
        awaitable: Awaitable[_T],
        at: float | None,
        phase: str,
        timeout: Timeout,
        state: ConnectionState,
    ) -> _T:
        """Await *awaitable* until the deadline.

        Args:
            awaitable: The operation.
            at: The deadline on the loop's clock; None for no limit.
            phase: The field of *timeout* that sets the deadline, for the error.
            timeout: The limits of the call.
            state: The connection of the request, for the error.

        Raises:
            RequestTimeoutError: The deadline passed.
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
        raise timeout_error(phase, timeout, sent=state.sent, looking_up=state.looking_up)

    async def close(self) -> None:
        """End pending requests with `ClientClosedError` and close the connections."""
        self.closed = True
        for scope in list(self.waits):
            with suppress(RuntimeError):  # it is expiring already
                scope.reschedule(0.0)  # in the past on any loop's clock
        for response in list(self.responses):
            if response.open:
                response.abort(ClientClosedError())
        await self._end()
        if not self._closer.ag_running:  # else the loop is closing it now
            await self._closer.aclose()

    def abandon(self) -> None:
        """Schedule `close`, from any thread: the owner was collected."""
        if self.usable and not self.loop.is_closed():
            with suppress(RuntimeError):  # the loop was closed meanwhile
                self.loop.call_soon_threadsafe(self._close_soon)

    def _close_soon(self) -> None:
        closing = self.loop.create_task(self.close())
        _closing.add(closing)
        closing.add_done_callback(_closing.discard)

    def detach(self) -> None:
        """Mark the pool as closed without touching its connections."""
        self.closed = True
        self._unregister()
        if self.connector is not None and not self.session.closed:
            self.session.detach()

    async def _close_with_the_loop(self) -> AsyncGenerator[None, None]:
        """Close the session if the loop ends before the client is closed.

        `asyncio.run` closes open async generators before it closes the loop.
        """
        try:
            yield
        finally:
            self.closed = True
            await self._end()

    async def _end(self) -> None:
        """Close the connections, or wait until a concurrent call has closed them."""
        self._unregister()
        async with self._ending:
            for response in list(self.draining):  # their responses are complete
                response.close()
            if self.connector is not None:
                await self.session.close()

    def _unregister(self) -> None:
        """Remove the pool from ``_open`` and cancel its finalizer."""
        _open.discard(self)
        if self._finalizer is not None:
            self._finalizer.detach()


_open: set[Pool] = set()
"""All open pools. The reference keeps an open pool from being collected."""

_closing: set[asyncio.Task[None]] = set()
"""Tasks that close the pools of collected transports."""

_inherited: list[Pool] = []
"""Pools of the parent process, kept so that their connections are never collected."""


async def abandoned() -> None:
    """Wait until the abandoned pools of the running loop are closed."""
    loop = asyncio.get_running_loop()
    if mine := [closing for closing in _closing if closing.get_loop() is loop]:
        await asyncio.wait(mine)


def _after_fork() -> None:
    """Detach the pools of the parent in a forked child."""
    try:
        here = asyncio.get_running_loop()
    except RuntimeError:
        here = None
    for pool in list(_open):
        pool.detach()
        _inherited.append(pool)
        if pool.loop is not here:
            # The loop runs in no thread of this process; its errors concern the parent.
            pool.loop.set_exception_handler(lambda _loop, _context: None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
