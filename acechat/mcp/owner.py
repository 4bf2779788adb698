"""A task that owns contexts which must be entered and left by the same task.

mcp uses anyio's task groups and cancel scopes. These belong to the task that enters them and must
be left in the reverse order. With a task for each connection, any task may open and close
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

from acechat import ConfigurationError

__all__ = ["Owner"]

_T = TypeVar("_T")
_V = TypeVar("_V")

_CLOSE_TIMEOUT = 5.0
"""Seconds to end an HTTP session. mcp gives a command 2 s, then SIGTERM and another 2 s."""


class Owner(Generic[_T]):
    """Runs *enter* in its own task, which leaves the contexts when `close` is called.

    States: entering → open (*enter* returned) → leaving (`close`) → ended. Failure of *enter*, its
    time limit and cancellation of `open` lead from entering to leaving.

    Args:
        enter: Called with this object and a stack, on which it enters contexts.
        timeout: Time limit of *enter* in seconds; None for no limit.

    Raises:
        ConfigurationError: No asyncio loop is running.
    """

    def __init__(
        self, enter: Callable[[Owner[_T], AsyncExitStack], Awaitable[_T]], timeout: float | None
    ) -> None:
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            raise ConfigurationError(
                "`async with mcp.connect(...)` needs a running asyncio event loop; under trio, "
                "use `with mcp.connect(...)` in a thread: trio.to_thread.run_sync"
            ) from None
        self._pid = os.getpid()
        self._entered: asyncio.Future[_T] = self._loop.create_future()
        self._leaving = asyncio.Event()
        self._scope = CancelScope()
        self._task = self._loop.create_task(self._own(enter, timeout), name="acechat mcp")

    @property
    def alive(self) -> bool:
        """Whether it is entering or open, in this process."""
        if self._pid != os.getpid() or not self._loop.is_running():
            return False
        return not self._leaving.is_set()

    async def open(self) -> _T:
        """Return the result of *enter*.

        Raises:
            TimeoutError: *enter* took too long.
            ConnectionAbortedError: `close` was called before *enter* returned.
        """
        try:
            return await self._entered
        except BaseException:
            await self._end()
            raise

    async def close(self) -> None:
        """Leave the contexts and wait until that is done."""
        if self._pid == os.getpid() and self._loop.is_running():
            await self.run(self._end)

    async def run(self, function: Callable[[], Coroutine[Any, Any, _V]]) -> _V:
        """Run *function* in the owner's event loop, which may be that of another thread."""
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
                    if not self._entered.done():  # otherwise its caller was cancelled
                        self._entered.set_result(value)
                        await self._leaving.wait()
                    scope.deadline = current_time() + _CLOSE_TIMEOUT
        except Exception as error:  # noqa: BLE001 - mcp raises groups of anything
            failure = error  # after *enter*, calls report that the connection is closed
        finally:
            if not self._entered.done():
                if self._leaving.is_set():
                    failure = ConnectionAbortedError("closed before it was open")
                elif self._scope.cancel_called:  # the deadline; any exception may have been raised
                    failure = TimeoutError(f"no response within {timeout:g} s")
                if failure is None:  # cancelled with its loop
                    self._entered.cancel()
                else:
                    self._entered.set_exception(failure)
                    self._entered.exception()  # retrieved, even if the caller is cancelled now
            self._leaving.set()
