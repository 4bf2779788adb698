"""`Meter`: total usage and cost of a client or of a conversation."""

from __future__ import annotations

import os
import threading
from decimal import Decimal

from acechat.types.usage import TotalUsage, Usage

__all__ = ["Meter"]

# Shared by all meters: it is held for about a microsecond. Reentrant, because the garbage collector
# may delete a stream, which counts its usage, while this thread holds it.
_lock = threading.RLock()
if hasattr(os, "register_at_fork"):
    # A child must not inherit it locked by a thread that exists only in the parent.
    os.register_at_fork(
        before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release
    )


class Meter:
    """Total usage and cost of completions; may be read from any thread.

    Complete responses count, and truncated ones whose usage was reported.

    Example:
        >>> client.meter.total_tokens, client.meter.cost
    """

    def __init__(self) -> None:
        self._total = TotalUsage()

    @property
    def calls(self) -> int:
        """Number of counted responses."""
        return self._total.calls

    @property
    def total_tokens(self) -> int:
        """Prompt and completion tokens."""
        return self._total.total_tokens

    @property
    def cost(self) -> Decimal | None:
        """Amount charged; None if no response has reported a cost."""
        return self._total.cost

    def snapshot(self) -> TotalUsage:
        """Return the current totals as an immutable value."""
        return self._total

    def reset(self) -> TotalUsage:
        """Set the totals to zero; return the previous ones."""
        with _lock:
            total, self._total = self._total, TotalUsage()
        return total

    def add(self, usage: Usage | None) -> None:
        """Count one response; None if it did not report its usage."""
        with _lock:
            self._total = self._total.plus(usage)

    def __repr__(self) -> str:
        return f"Meter({self._total!r})"
