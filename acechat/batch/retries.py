"""Rows on their way: whether and when a row is sent again. No clock or randomness."""

from __future__ import annotations

from heapq import heappop, heappush
from math import inf
from typing import Any

from msgspec import Struct

from acechat._policy.values import RetryPolicy
from acechat.batch.outage import OutageDetector, RowHistory
from acechat.batch.results import BatchResult, BatchSummary
from acechat.batch.rows import Row
from acechat.batch.verdict import Verdict
from acechat.errors import AceChatError, BatchRowError
from acechat.types import ChatCompletion

__all__ = ["Entry", "Retries"]

_LEAST_ATTEMPTS = 10
"""Attempts of a row that is refused by an overloaded service, if the retry policy has fewer."""

_LARGEST_EXPONENT = 20


class Entry(Struct):
    """A row on its way."""

    row: Row
    history: RowHistory
    requests: int = 0
    """Requests that have left."""

    started: float = 0.0
    """Time at which the last one left, on the monotonic clock."""

    billed: bool = False
    """Whether one that brought no result may have been charged."""

    recorded: bool = False
    """Whether the journal knows that a request has left."""

    exhausted: bool = False
    """Whether its attempts are used up, and it waits for evidence that the service works."""

    def count(self, summary: BatchSummary, more: int) -> None:
        """Count the requests beside the first one of an attempt: those for a valid output."""
        self.requests += more
        summary.requests += more

    def fault(self, *, skip: bool) -> BatchRowError | None:
        """Return why the row is not sent; None if it is.

        Args:
            skip: Whether a row that an earlier start sent is not sent again.
        """
        if self.row.fault:
            return BatchRowError("invalid_row", self.row.fault)
        if skip and self.recorded and not self.requests:
            return BatchRowError("unknown", "sent by an earlier start, result unknown: skipped")
        return None

    def result(
        self,
        completion: ChatCompletion[Any] | None,
        error: AceChatError | None,
        now: float,
        epoch: float,
    ) -> BatchResult:
        """Return the result of the row; *epoch* is the time at which the monotonic clock was 0."""
        sent = self.requests > 0
        return BatchResult(
            row=self.row.number,
            line=self.row.line,
            custom_id=self.row.id,
            completion=completion,
            error=error,
            requests=self.requests,
            started=epoch + self.started if sent else 0.0,
            seconds=now - self.started if sent else 0.0,
            may_be_billed=self.billed,
        )


class Retries:
    """The rows that wait for another attempt, and the rules for them.

    Args:
        policy: The retry policy of each row.
        outage: The detector of outages.
        pay_once: Whether a row that may have been charged is never sent again.
    """

    def __init__(self, policy: RetryPolicy, outage: OutageDetector, *, pay_once: bool) -> None:
        self._policy = policy
        self._outage = outage
        self._pay_once = pay_once or policy.max_attempts == 1
        self._heap: list[tuple[float, int, Entry]] = []
        self._exhausted = 0

    def __len__(self) -> int:
        return len(self._heap)

    def again(self, entry: Entry, verdict: Verdict, others: int) -> bool:
        """Return True if a row is to be sent again.

        Args:
            entry: The row.
            verdict: The meaning of its last failure.
            others: Number of other rows that are running or not sent yet.
        """
        if verdict.cause in {"row", "model", "run"} or (verdict.billed and self._pay_once):
            return False
        if verdict.cause == "limit" or self._outage.down_since is not None:
            return True
        most = self._policy.max_attempts
        if verdict.cause == "overload":
            most = max(most, _LEAST_ATTEMPTS)
        if entry.history.counted < most:
            return True
        if verdict.cause == "temporary" or self._outage.suspects(entry.history):
            return False
        # No row has succeeded since this one failed first: others are tried before it is given up.
        # They succeed, or show that the service is down.
        entry.exhausted = others + len(self._heap) - self._exhausted > 0
        return entry.exhausted

    def push(self, entry: Entry, now: float, jitter: float) -> None:
        """Let *entry* wait; *jitter* is a random number from 0 to 1."""
        self._exhausted += entry.exhausted
        exponent = min(max(entry.requests - 1, 0), _LARGEST_EXPONENT)
        longest = min(self._policy.max_delay, self._policy.base_delay * 2.0**exponent)
        heappush(self._heap, (now + longest * (1 + jitter) / 2, entry.row.number, entry))

    def pop(self, now: float) -> Entry | None:
        """Return the next row that is due; None if none is."""
        if not self._heap or self._heap[0][0] > now:
            return None
        entry = heappop(self._heap)[2]
        self._exhausted -= entry.exhausted
        entry.exhausted = False
        return entry

    def wait(self, now: float) -> float:
        """Return the seconds until a row is due; inf if none waits."""
        return max(0.0, self._heap[0][0] - now) if self._heap else inf
