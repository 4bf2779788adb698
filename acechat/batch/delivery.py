"""Results on their way to the caller, in order of completion or of the rows."""

from __future__ import annotations

import asyncio
from collections import deque

from acechat.batch.results import BatchResult

__all__ = ["Delivery"]

_MOST = 1000
"""Results that may wait for the caller, before the run waits."""


class Delivery:
    """Results that the caller has not received yet.

    Args:
        in_order: Whether they are delivered in the order of the rows.
    """

    def __init__(self, *, in_order: bool) -> None:
        self._in_order = in_order
        self._ready: deque[BatchResult] = deque()
        self._early: dict[int, BatchResult] = {}  # they wait for the results of earlier rows
        self._next = 0
        self._ended = False
        self._news = asyncio.Event()

    def has_room(self, row: int, running: int) -> bool:
        """Return True if *row* may start: memory is bounded, whatever the caller does."""
        # In order, a row that has room once keeps it until it starts. One that lost it would wait
        # for earlier rows, and they for it, when they are due for another attempt.
        if self._in_order:
            return len(self._ready) + row - self._next < _MOST
        return len(self._ready) + running < _MOST + running // 2

    def put(self, result: BatchResult) -> None:
        """Add a result."""
        if self._in_order:
            self._early[result.row] = result
            while (following := self._early.pop(self._next, None)) is not None:
                self._next += 1
                self._ready.append(following)
        else:
            self._ready.append(result)
        if self._ready:
            self._news.set()

    def end(self) -> None:
        """Mark the end: no result follows. Those that wait for an earlier row are ready."""
        self._ready.extend(self._early[row] for row in sorted(self._early))
        self._early.clear()
        self._ended = True
        self._news.set()

    async def take(self) -> list[BatchResult]:
        """Wait for results and return all that are ready; an empty list at the end."""
        while not self._ready and not self._ended:
            self._news.clear()
            await self._news.wait()
        results = list(self._ready)
        self._ready.clear()
        return results
