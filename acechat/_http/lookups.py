"""Look up hosts in threads that neither a full executor nor a silent name server can hold up.

asyncio looks hosts up in the loop's default executor. An application that keeps that busy delays
each new connection, and the end of the loop waits until the system's resolver gives up.
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

_MOST_THREADS = 16
"""Look-ups at a time in this process; others wait for one of these to end."""


class _Threads:
    """Daemon threads, started when needed, that end when no look-up is waiting."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[Callable[[], None]] = deque()
        self._running = 0

    def submit(self, job: Callable[[], None]) -> None:
        """Run *job*, which must not raise, in a thread.

        Raises:
            OSError: The system, or the interpreter at its exit, starts no thread.
        """
        with self._lock:
            self._waiting.append(job)
            if self._running == _MOST_THREADS:
                return
            self._running += 1
        try:
            # As a daemon: neither the loop's end nor the interpreter's waits for it.
            threading.Thread(target=self._run, name="acechat-lookup", daemon=True).start()
        except RuntimeError as error:
            with self._lock:
                self._running -= 1
                with suppress(ValueError):  # another thread has taken it
                    self._waiting.remove(job)
            raise OSError(f"no thread to look it up in: {error}") from None

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._running -= 1
                    return
                job = self._waiting.popleft()
            job()


_threads = _Threads()


def _after_fork() -> None:
    """Begin with new threads: those of the parent are not in this process."""
    global _threads  # noqa: PLW0603
    _threads = _Threads()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


async def look_up(function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Return the result of *function*, called in a thread; a cancelled look-up is abandoned."""
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
