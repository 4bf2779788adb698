"""`Latch`: the event that callers of a blocking client wait for."""

from __future__ import annotations

import threading
from collections import deque
from contextlib import suppress

__all__ = ["Latch"]


class Latch:
    """An event that an interrupt cannot leave locked.

    Each waiter has a lock of its own, which only `set` releases. `threading.Event` shares one lock
    between waiters and setter: KeyboardInterrupt in a waiter could leave that lock acquired.
    """

    __slots__ = ("_waiters", "is_set")

    def __init__(self) -> None:
        self.is_set: bool = False
        self._waiters: deque[threading.Lock] = deque()

    def set(self) -> None:
        """Wake all waiters. Never blocks."""
        self.is_set = True
        with suppress(IndexError):
            while True:
                self._waiters.pop().release()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for `set`.

        Args:
            timeout: The maximum wait in seconds, 0 or more; None for no limit.

        Returns:
            True if the latch is set, False if *timeout* passed first.
        """
        if self.is_set:
            return True
        waiter = threading.Lock()
        waiter.acquire()
        self._waiters.append(waiter)
        # set() may have run before the append; then nothing releases *waiter*.
        return self.is_set or waiter.acquire(timeout=-1 if timeout is None else timeout)
