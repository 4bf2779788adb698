"""`LoopThread`: the event loop of a blocking client, started by the first call."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import ParamSpec, TypeVar

from acechat._sync.event_loop_thread import EventLoopThread
from acechat.errors import ClientClosedError

__all__ = ["LoopThread"]

_P = ParamSpec("_P")
_T = TypeVar("_T")


class LoopThread:
    """The event loop thread of one client, which a new one replaces in a forked child.

    Attributes:
        closed: Whether `stop` was called.
    """

    def __init__(self) -> None:
        self.closed: bool = False
        self._running = EventLoopThread()

    def run(self, function: Callable[_P, Awaitable[_T]], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Run *function* in the loop and return its value. Ctrl-C in the caller cancels it.

        Raises:
            ClientClosedError: The loop has been stopped.
            ConfigurationError: The caller runs in the loop's own thread.
        """
        return self.started().run(partial(function, *args, **kwargs))

    def started(self) -> EventLoopThread:
        """Return the running thread; start one if none runs in this process.

        Raises:
            ClientClosedError: The loop has been stopped, or the interpreter is exiting.
            ConfigurationError: The caller runs in the loop's own thread.
        """
        while True:
            running = self._running
            if not running.usable:
                running = self._running = running.successor()
                continue
            if self.closed:
                raise ClientClosedError
            if not running.ready:
                running.start(self)
                continue
            running.check()
            return running

    def stop(self, last: Callable[[], Awaitable[None]]) -> None:
        """Run *last* if the loop has started, cancel all calls and end the loop.

        Returns within a second, even if a call in the loop cannot be cancelled.

        Raises:
            ConfigurationError: The caller runs in the loop's own thread.
        """
        running = self._running
        if running.pid == os.getpid() and not sys.is_finalizing():
            running.check_thread()
        # started() reads `closed` after it has read `_running`, so one of the two sees the other.
        self.closed = True
        self._running.stop(last)
