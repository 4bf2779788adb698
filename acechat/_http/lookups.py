"""Host lookups in threads that neither a full executor nor a silent name server can block.

asyncio resolves hosts in the loop's default executor. An application that keeps it busy delays each
new connection, and closing the loop waits for the timeout of the system's resolver.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ParamSpec, TypeVar

__all__ = ["look_up"]

_P = ParamSpec("_P")
_T = TypeVar("_T")

_MAX_THREADS = 16
"""Concurrent lookups in this process; others wait in a queue."""


class _Threads:
    """Daemon threads, started on demand, that end when the queue is empty."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue: deque[Callable[[], None]] = deque()
        self._running = 0

    def submit(self, job: Callable[[], None]) -> None:
        """Run *job*, which must not raise, in a thread.

        Raises:
            OSError: No thread can be started, as at the exit of the interpreter.
        """
        with self._lock:
            self._queue.append(job)
            if self._running == _MAX_THREADS:
                return
            self._running += 1
        try:
            # A daemon: neither closing the loop nor the exit of the interpreter waits for it.
            threading.Thread(target=self._run, name="acechat-lookup", daemon=True).start()
        except RuntimeError as error:
            with self._lock:
                self._running -= 1
                with suppress(ValueError):  # another thread has taken it
                    self._queue.remove(job)
            raise OSError(f"cannot start a thread for the host lookup: {error}") from None

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._queue:
                    self._running -= 1
                    return
                job = self._queue.popleft()
            job()


_threads = _Threads()


def _after_fork() -> None:
    """Replace the threads, because those of the parent do not exist in this process."""
    global _threads  # noqa: PLW0603
    _threads = _Threads()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


async def look_up(function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Run *function* in a thread and return its result; cancellation abandons the lookup."""
    loop = asyncio.get_running_loop()
    found: asyncio.Future[_T] = loop.create_future()

    def job() -> None:
        if found.cancelled():
            return
        value: Any = None
        failure: BaseException | None = None
        try:
            value = function(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001 - it is raised where it is awaited
            failure = error
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, value, failure)

    def settle(value: _T, failure: BaseException | None) -> None:
        if found.done():
            return
        if failure is None:
            found.set_result(value)
        else:
            found.set_exception(failure)

    _threads.submit(job)
    return await found
