"""The queue before a `RateLimiter`: callers wait here, the first one first."""

from __future__ import annotations

import asyncio
import os
import time
from weakref import WeakKeyDictionary

from acechat._policy.rate_limiter import RateLimiter
from acechat._policy.retry import is_overload
from acechat._policy.values import RateLimit
from acechat.errors import AceChatError, APIError, RateLimitError

__all__ = ["RateGate"]


class RateGate:
    """A fair queue that lets the calls of a client and its copies pass, at most at *limit*."""

    def __init__(self, limit: RateLimit) -> None:
        self._limit = limit
        self._limiter = RateLimiter(limit)
        self._pid = os.getpid()
        # One per event loop: a lock belongs to the first loop that waits for it.
        self._queues: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = (
            WeakKeyDictionary()
        )
        self._waiting = 0  # calls in the queues

    def enter_at_once(self) -> float | None:
        """Return the time of entry if no call waits and a slot is free; else None: `enter` waits.

        A queue, a coroutine and a time limit take longer than all of the limiter.
        """
        now = time.monotonic()
        if self._waiting > 0 or self._pid != os.getpid() or self._limiter.admit(now):
            return None
        return now

    async def enter(self) -> float:
        """Wait for the slot of one request; return the time of entry, an argument of `leave`."""
        if self._pid != os.getpid():  # the calls in progress are the parent's
            self._pid, self._limiter = os.getpid(), RateLimiter(self._limit)
            self._waiting = 0
        loop = asyncio.get_running_loop()
        queue = self._queues.get(loop)
        if queue is None:
            queue = self._queues[loop] = asyncio.Lock()
        self._waiting += 1
        try:
            async with queue:  # first in, first out; a cancelled task leaves it
                while wait := self._limiter.admit(time.monotonic()):  # noqa: ASYNC110 - it waits for the clock
                    await asyncio.sleep(wait)
        finally:
            self._waiting -= 1
        return time.monotonic()

    def leave(
        self, entered: float, *, tokens: int | None = None, error: AceChatError | None = None
    ) -> None:
        """Record the end of a request.

        Args:
            entered: The time that `enter` returned.
            tokens: Tokens that it used; None if not reported.
            error: Its failure; None if it succeeded.
        """
        now = time.monotonic()
        self._limiter.finish(now, tokens)
        if isinstance(error, APIError) and (type(error) is RateLimitError or is_overload(error)):
            self._limiter.throttle(now, sent=entered, retry_after=error.retry_after)
