"""What the calls of a client, or of a conversation, have used and cost so far."""

from __future__ import annotations

import os
import threading
from decimal import Decimal

from acechat.types.usage import TotalUsage, Usage

__all__ = ["Meter"]

_lock = threading.Lock()  # for all meters: it is held for a microsecond
if hasattr(os, "register_at_fork"):
    # A child must not inherit it locked by a thread that only its parent has.
    os.register_at_fork(
        before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release
    )


class Meter:
    """Adds up what answers used and cost; any thread may read it.

    Whole answers count, and cut ones whose usage was told.

    Example:
        >>> client.meter.total_tokens, client.meter.cost
    """

    def __init__(self) -> None:
        self._spent = TotalUsage()

    @property
    def calls(self) -> int:
        """How many answers were counted."""
        return self._spent.calls

    @property
    def total_tokens(self) -> int:
        """Of requests and answers together."""
        return self._spent.total_tokens

    @property
    def cost(self) -> Decimal | None:
        """What was charged; None while no answer told."""
        return self._spent.cost

    def snapshot(self) -> TotalUsage:
        """Return all that was counted, as a value that stays as it is."""
        return self._spent

    def reset(self) -> TotalUsage:
        """Begin again at zero; return what was counted until now."""
        with _lock:
            spent, self._spent = self._spent, TotalUsage()
        return spent

    def add(self, usage: Usage | None) -> None:
        """Count one more answer."""
        with _lock:
            self._spent = self._spent.plus(usage)

    def __repr__(self) -> str:
        return f"Meter({self._spent!r})"
