"""Events of a run that its report shows on the time line. No I/O."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

__all__ = ["DOWN", "FAILURES", "STARTED", "UP", "EventLog"]

STARTED: Final = 1
"""A start of the run."""

DOWN: Final = 2
"""The service is down: the run pauses."""

UP: Final = 3
"""The service works again."""

FAILURES: Final = {"limit": 4, "overload": 5, "service": 6, "temporary": 7}
"""A failed request, by the cause of `acechat.batch.verdict`. Others end a row or the run."""


class EventLog:
    """Records the failures and outages of a run.

    Args:
        record: Records an event: its code, the number of the row, and the time on the monotonic
            clock.
    """

    def __init__(self, record: Callable[[int, int, float], None]) -> None:
        self._record = record
        self._down = False

    def failed(self, cause: str, row: int, now: float, *, down: bool) -> None:
        """Record a failed request, by the cause of its verdict."""
        if (code := FAILURES.get(cause)) is not None:
            self._record(code, row, now)
        self.seen(row, now, down=down)

    def seen(self, row: int, now: float, *, down: bool) -> None:
        """Record that the service is down, or up again, after the end of a request."""
        if down != self._down:
            self._down = down
            self._record(DOWN if down else UP, row, now)
