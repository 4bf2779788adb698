"""Outages: when a run pauses, when it probes, and whether a failed attempt counts. No clock."""

from __future__ import annotations

from math import inf

from msgspec import Struct

__all__ = ["OutageDetector", "RowHistory"]

_FAILURES = 5
"""Consecutive failures from which on the service is down, of at least this many rows:"""

_ROWS = 3

_MOST_ROWS = 1000
"""Rows that are remembered: memory is bounded."""

_QUIET = 3.0
"""Seconds without a success before failures that only mean overload count as an outage."""

_FIRST_PROBE = 1.0
_LONGEST_PROBE = 60.0
"""Seconds between two probes: at first, and at most."""

_PROBE_SHARE = 1 / 14
"""Wait between two probes as a share of the outage's duration: a service that returns after a
minute is found within 5 s, and a long outage costs one request a minute."""


class RowHistory(Struct):
    """The failed attempts of one row that say something about the service."""

    failed_at: float = inf
    """Start of the first of them."""

    counted: int = 0
    """Attempts that count towards the limit of the retry policy."""


class OutageDetector:
    """Tells an outage of the service from rows that fail for reasons of their own.

    Failures are those of the service as such: 5xx, overload, no connection, lost connection. A row
    that failed before a request left that succeeded is suspected itself: it is no evidence of an
    outage, and its attempts count. Attempts of other rows do not, while the service is down.
    """

    # States:
    #
    #   up        down_since is None
    #   down      down_since is set: nothing starts, except a probe from probe_at on
    #   probing   down, and the probe is on its way (probe_at is inf)
    #
    #   up -> down        fail(): _FAILURES in a row, of _ROWS rows without suspicion
    #   down -> probing   probe()
    #   probing -> down   fail() or give_up(); the wait grows with the outage
    #   down -> up        succeed(), of the probe: it was an outage, whose attempts do not count;
    #                     or of a request that left after the first that failed: a false alarm
    #
    # A response to a request that left before one that failed proves nothing: with latencies of
    # seconds, such responses still arrive while the service is down.

    def __init__(self) -> None:
        self.down_since: float | None = None
        self.probe_at: float = inf
        self._failures = 0  # since the last success
        self._rows: dict[int, RowHistory] = {}  # failed without suspicion, since `_first_failure`
        self._first_failure = self._first_failed_start = inf  # since the last success that proves
        self._found_at = inf  # when the service was found to be down
        self._last_success = -inf
        self._worked_at = -inf  # the latest start of a request that succeeded

    def succeed(self, now: float, started: float) -> bool:
        """Record that the service has answered; return True if that ends an outage.

        Args:
            now: The time.
            started: Time at which the request left.
        """
        was_down = self.down_since is not None
        proves = started > self._first_failed_start
        if was_down and not proves:
            return False
        if was_down and started >= self._found_at:
            for each in self._rows.values():
                each.failed_at, each.counted = inf, 0
        self.down_since, self.probe_at = None, inf
        self._last_success = now
        self._worked_at = max(self._worked_at, started)
        self._failures = 0
        if proves:
            self._first_failure = self._first_failed_start = inf
            self._rows.clear()
        return was_down

    def fail(
        self, now: float, started: float, row: int, history: RowHistory, *, overload: bool
    ) -> None:
        """Record a failed attempt of *row*, and count it in *history* unless the service is down.

        Args:
            now: The time.
            started: Time at which the attempt began.
            row: Number of the row.
            history: The earlier failures of the row.
            overload: Whether the failure means that the service has too many requests.
        """
        if self.down_since is not None:
            self._schedule(now)
            return
        history.failed_at = min(history.failed_at, started)
        history.counted += 1
        self._failures += 1
        self._first_failure = min(self._first_failure, now)
        self._first_failed_start = min(self._first_failed_start, started)
        if not self.suspects(history) and len(self._rows) < _MOST_ROWS:
            self._rows[row] = history
        if self._failures < _FAILURES or len(self._rows) < _ROWS:
            return
        if overload and now - max(self._last_success, self._first_failure) < _QUIET:
            return
        self.down_since, self._found_at = self._first_failure, now
        self._schedule(now)

    def suspects(self, history: RowHistory) -> bool:
        """Return True if a request has succeeded that left after the row first failed."""
        return history.failed_at < self._worked_at

    def wait(self, now: float) -> float:
        """Return the seconds until a request may start; inf while a probe is on its way."""
        return 0.0 if self.down_since is None else max(0.0, self.probe_at - now)

    def probe(self) -> None:
        """Record that a request starts; while the service is down, no other may."""
        if self.down_since is not None:
            self.probe_at = inf

    def give_up(self, now: float) -> None:
        """Record that a probe ended without a result: the next one may start."""
        if self.down_since is not None and self.probe_at == inf:
            self._schedule(now)

    def _schedule(self, now: float) -> None:
        down = 0.0 if self.down_since is None else now - self.down_since
        wait = min(_LONGEST_PROBE, max(_FIRST_PROBE, down * _PROBE_SHARE))
        if self.probe_at == inf or self.probe_at < now:
            self.probe_at = now + wait
