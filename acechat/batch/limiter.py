"""Adaptive limit of concurrency and rate. No clock: times are arguments, in seconds."""

from __future__ import annotations

from collections import deque
from math import inf

__all__ = ["Limiter"]

_START = 8
"""Requests at a time before anything is known. The number doubles with each round of successes."""

_CUT = 0.08
"""Share by which a refusal reduces a limit."""

_HEADROOM = 0.97
"""Share of the refused value to return to: refusals become rare, for 3 % of the throughput."""

_RECOVERY = 4.0
"""Seconds from a cut until the limit is back. It doubles with each cut at about the same value."""

_LONGEST_RECOVERY = 32.0

_GAP = 1.0
"""Least seconds between two cuts: refusals of one burst are one event."""

_WINDOWS = (1.0, 10.0)
"""Seconds in which the accepted requests are counted: the second if the first has too few."""

_ENOUGH = 10
_LOWEST_RATE = 0.1
"""Requests per second."""

_SLOW, _VERY_SLOW = 2.0, 4.0
"""Rise of the mean latency at which the limit stays, or shrinks."""

_SAMPLE = 20
"""Least number of successes in a mean latency."""

_DRIFT = 1.05
"""Growth of the lowest mean latency with each sample, so that it follows a slower service."""

_BURST = 0.1
"""Seconds of the rate that may be sent at once, after a delay of this process."""


class _Curve:
    """A limit that returns to the value at which it was cut, stays, and then grows faster.

    It is the cubic function of TCP CUBIC (RFC 9438): most of the time is spent near the value that
    was too much, and a limit that was lifted is found within seconds.
    """

    def __init__(self, top: float, now: float) -> None:
        self.top = top
        self._flat_at = now
        self._recovery = _RECOVERY

    def value(self, now: float) -> float:
        distance = (now - self._flat_at) / self._recovery
        return self.top * (1 + _CUT * distance**3)

    def cut(self, now: float, most: float, share: float = _HEADROOM) -> None:
        """Reduce the limit, after a refusal at its present value; *most* was accepted."""
        top = min(self.value(now), most) * share
        near = abs(top - self.top) <= self.top / 10
        self._recovery = min(self._recovery * 2, _LONGEST_RECOVERY) if near else _RECOVERY
        self.top, self._flat_at = top, now + self._recovery

    def hold(self, now: float) -> None:
        """Stop growing: the limit is not used, or does no good."""
        if now > self._flat_at:
            self.top, self._flat_at = self.value(now), now


class Limiter:
    """Decides when the next request may start, by the outcome of earlier ones.

    Args:
        maximum: The largest number of requests at a time.
        adaptive: False to keep *maximum*, whatever happens; *hold* is obeyed all the same.

    Attributes:
        maximum: As given.
        running: Number of requests at the moment.
        held_until: Time before which nothing starts, as requested by the service.
    """

    # Two limits work together. The number of requests at a time ("concurrency") finds the capacity
    # of a service that becomes slower. The rate finds the limit of one that counts requests: at 50
    # per second and 5 ms, a single request at a time would be too much. Each has a curve from its
    # first cut on; before, the concurrency doubles each round, and the rate has no limit.

    def __init__(self, maximum: int, *, adaptive: bool = True) -> None:
        self.running = 0
        self.held_until = -inf
        self.maximum = maximum
        self._adaptive = adaptive
        self._limit = float(min(_START, maximum) if adaptive else maximum)
        self._curve: _Curve | None = None  # of the concurrency; None: it doubles
        self._rate: _Curve | None = None  # None: no limit
        self._next = -inf  # time of the next request by the rate
        self._cut_at = -inf
        self._waited = False  # for the rate, since the last success
        self._started: deque[float] = deque()
        self._refused: deque[float] = deque()
        self._sample: list[float] = []
        self._lowest = inf

    def concurrency(self, now: float) -> int:
        """Return the largest number of requests at a time."""
        if self._curve is not None:
            self._limit = self._curve.value(now)
        return max(1, min(self.maximum, int(self._limit)))

    def rate(self, now: float) -> float | None:
        """Return the limit in requests per second; None for no limit."""
        return None if self._rate is None else max(_LOWEST_RATE, self._rate.value(now))

    def wait(self, now: float) -> float:
        """Return the seconds until a request may start: 0 for now, inf if one must end first."""
        if now < self.held_until:
            return self.held_until - now
        if self.running >= self.concurrency(now):
            return inf
        if self._rate is not None and now < self._next:
            self._waited = True
            return self._next - now
        return 0.0

    def start(self, now: float) -> None:
        """Record that a request starts."""
        self.running += 1
        if not self._adaptive:
            return
        self._started.append(now)
        _forget(self._started, now)
        rate = self.rate(now)
        if rate is not None:
            self._next = max(self._next, now - _BURST) + 1 / rate

    def succeed(self, now: float, started: float) -> None:
        """Record that a running request was accepted; `end` follows."""
        full = self.running >= self.concurrency(now)
        if not self._adaptive:
            return
        if self._rate is not None:
            if not self._waited and self._rate.value(now) > self._rate.top:
                self._rate.hold(now)
            self._waited = False
        self._sample.append(now - started)
        if self._curve is None:
            if full:
                self._limit = min(self._limit + 1, self.maximum)
        elif not full:
            self._curve.hold(now)
        if len(self._sample) >= max(_SAMPLE, self.running // 2):
            self._judge_latency(now)

    def _judge_latency(self, now: float) -> None:
        mean = sum(self._sample) / len(self._sample)
        self._sample.clear()
        self._lowest = min(self._lowest * _DRIFT, mean)
        if mean > self._lowest * _SLOW:
            if self._curve is None:
                self._curve = _Curve(self._limit, now)
            elif mean > self._lowest * _VERY_SLOW and now >= self._cut_at + _GAP:
                self._cut_at = now
                self._curve.cut(now, inf, 1 - _CUT)
            self._curve.hold(now)

    def refuse(self, now: float, started: float, retry_after: float | None = None) -> None:
        """Record that a running request was refused, for a limit or an overload; `end` follows."""
        if retry_after is not None:
            self.held_until = max(self.held_until, now + retry_after)
        if not self._adaptive:
            return
        self._refused.append(now)
        _forget(self._refused, now)
        if started <= self._cut_at or now < self._cut_at + _GAP:
            return
        self._cut_at = now
        if self._curve is None:
            self._curve = _Curve(self._limit, now)
        self._curve.cut(now, max(float(self.running), 1.0))
        accepted = self._accepted(now)
        if self._rate is None:
            self._rate = _Curve(max(accepted, _LOWEST_RATE), now)
        if accepted == 0:
            accepted = self._rate.value(now) / 2
        self._rate.cut(now, max(accepted, _LOWEST_RATE))

    def end(self) -> None:
        """Record the end of a request, whatever its outcome."""
        self.running -= 1

    def restart(self) -> None:
        """Begin as at first, after an outage; the rate that was found stays."""
        if self._adaptive:
            self._limit, self._curve = float(min(_START, self.maximum)), None
            self._sample.clear()
            self._lowest = inf

    def _accepted(self, now: float) -> float:
        """Return how many requests per second were accepted lately."""
        for window in _WINDOWS:
            started = sum(at > now - window for at in self._started)
            refused = sum(at > now - window for at in self._refused)
            if started - refused >= _ENOUGH:
                break
        since = max(1.0, min(window, now - self._started[0])) if self._started else window
        return max(0, started - refused) / since


def _forget(times: deque[float], now: float) -> None:
    while times and times[0] <= now - _WINDOWS[-1]:
        times.popleft()
