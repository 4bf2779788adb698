"""A task that owns what must be entered and left by the same task.

anyio's task groups and cancel scopes, of which mcp is made, belong to the task that enters them,
and must be left in the reverse order. With a task for each connection, any task may open and close
any of them, in any order.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any, Generic, TypeVar

from anyio import CancelScope, current_time

__all__ = ["Owner"]

_T = TypeVar("_T")
_V = TypeVar("_V")

_CLOSE_TIMEOUT = 5.0
"""Seconds for the end of a session over HTTP. A command has 2 s to end, then SIGTERM and 2 s."""


class Owner(Generic[_T]):
    """Runs *enter* in a task of its own, which leaves the stack when `close` is called.

    Args:
        enter: Gets this, and a stack into which it enters contexts.
        timeout: Seconds that it may take; None for no limit.
    """

    def __init__(
        self, enter: Callable[[Owner[_T], AsyncExitStack], Awaitable[_T]], timeout: float | None
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._pid = os.getpid()
        self._entered: asyncio.Future[_T] = self._loop.create_future()
        self._leaving = asyncio.Event()
        self._scope = CancelScope()
        self._task = self._loop.create_task(self._own(enter, timeout), name="acechat mcp")

    @property
    def alive(self) -> bool:
        """Whether it neither has ended nor is about to, in this process."""
        if self._pid != os.getpid() or not self._loop.is_running():
            return False
        return not self._leaving.is_set()

    async def open(self) -> _T:
        """Return the result of *enter*.

        Raises:
            TimeoutError: *enter* took too long.
            ConnectionAbortedError: `close` was called meanwhile.
        """
        try:
            return await self._entered
        except BaseException:
            await self._end()
            raise

    async def close(self) -> None:
        """Leave the contexts; return when they are left."""
        if self._pid == os.getpid() and self._loop.is_running():
            await self.run(self._end)

    async def run(self, function: Callable[[], Coroutine[Any, Any, _V]]) -> _V:
        """Run *function* in the loop of the owner, which need not be the caller's."""
        if asyncio.get_running_loop() is self._loop:
            return await function()
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(function(), self._loop))

    async def _end(self) -> None:
        self._leaving.set()
        if not self._entered.done() or self._entered.cancelled():  # *enter* may still run
            self._scope.cancel()
        try:
            await asyncio.wait({self._task})
        except asyncio.CancelledError:
            await asyncio.wait({self._task})  # bounded: see _CLOSE_TIMEOUT
            raise

    async def _own(
        self, enter: Callable[[Owner[_T], AsyncExitStack], Awaitable[_T]], timeout: float | None
    ) -> None:
        failure: Exception | None = None
        try:
            with self._scope as scope:
                scope.deadline = math.inf if timeout is None else current_time() + timeout
                async with AsyncExitStack() as stack:
                    value = await enter(self, stack)
                    scope.deadline = math.inf
                    if not self._entered.done():  # else its caller was cancelled
                        self._entered.set_result(value)
                        await self._leaving.wait()
                    scope.deadline = current_time() + _CLOSE_TIMEOUT
        except Exception as error:  # noqa: BLE001 - mcp raises groups of anything
            failure = error  # after *enter*, calls report that the connection is closed
        finally:
            if not self._entered.done():
                if self._leaving.is_set():
                    failure = ConnectionAbortedError("closed while it was opened")
                elif self._scope.cancel_called:  # whatever was raised then
                    failure = TimeoutError(f"no response within {timeout:g} s")
                if failure is None:  # cancelled with its loop
                    self._entered.cancel()
                else:
                    self._entered.set_exception(failure)
                    self._entered.exception()  # retrieved, even if the caller is cancelled now
            self._leaving.set()
