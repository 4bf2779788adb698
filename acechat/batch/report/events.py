"""Events of a run that its report shows on the time line. No I/O."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

__all__ = ["DOWN", "FAILURES", "STARTED", "UP", "Record"]

STARTED: Final = 1
"""A start of the run."""

DOWN: Final = 2
"""The service is down: the run pauses."""

UP: Final = 3
"""The service works again."""

FAILURES: Final = {"limit": 4, "overload": 5, "service": 6, "temporary": 7}
"""A failed request, by the cause of `acechat.batch.verdict`. Others end a row or the run."""

Record: TypeAlias = Callable[[int, int, float], None]
"""Records an event: its code, the number of the row, and the time on the monotonic clock."""
