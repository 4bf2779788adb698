"""`Waiter`: resumes the task that waits for data as soon as data arrives."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextvars import Context
from typing import Any

__all__ = ["Waiter"]


class Waiter:
    """Awaitable of one task at a time, for any number of waits, one after the other.

    `wake` resumes the task within the callback of the loop that received the data. A future would
    resume it in the next iteration of the loop, with another poll of all sockets: a fifth of the
    CPU time of a live event (measured).

    It has the interface of `asyncio.Future` that tasks use; see `asyncio.isfuture`.
    """

    __slots__ = ("_asyncio_future_blocking", "_callback", "_cancelled", "_context", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._asyncio_future_blocking = False
        self._loop = loop
        self._callback: Callable[[Waiter], object] | None = None  # resumes the task
        self._context: Context  # of the task, while there is a callback
        self._cancelled: asyncio.CancelledError | None = None

    def __await__(self) -> Generator[Waiter]:
        self._asyncio_future_blocking = True
        yield self

    def wake(self) -> None:
        """Resume the waiting task, if there is one; at once unless a task is running."""
        callback = self._callback
        if callback is None:
            return
        if asyncio.current_task(self._loop) is not None:
            self.wake_soon()
            return
        self._callback = None
        try:
            self._context.run(callback, self)
        except (SystemExit, KeyboardInterrupt) as stop:
            # They must end the loop, not the transport that called this.
            self._loop.call_soon(_raise, stop)

    def wake_soon(self) -> None:
        """Resume the waiting task, if there is one, in the next iteration of the loop."""
        callback, self._callback = self._callback, None
        if callback is not None:
            self._loop.call_soon(callback, self, context=self._context)

    # What tasks call.

    def add_done_callback(self, callback: Callable[[Waiter], object], *, context: Context) -> None:
        self._callback = callback
        self._context = context

    def result(self) -> None:
        if self._cancelled is not None:
            cancelled, self._cancelled = self._cancelled, None
            raise cancelled

    def cancel(self, msg: Any = None) -> bool:
        if self._callback is None:
            return False
        self._cancelled = asyncio.CancelledError() if msg is None else asyncio.CancelledError(msg)
        self.wake_soon()
        return True

    def done(self) -> bool:
        return self._callback is None

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._loop


def _raise(error: BaseException) -> None:
    raise error
