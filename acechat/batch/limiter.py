"""Adaptive limit of concurrency and rate. No clock: times are arguments, in seconds."""

from __future__ import annotations

from collections import deque
from math import inf

__all__ = ["Limiter"]

_START = 8
"""Requests at a time before anything is known. The number doubles with each round of successes."""

_CUT = 0.05
"""Share by which a refusal reduces a limit."""

_HEADROOM = 0.98
"""Share of the refused value to return to: refusals become rare, for 2 % of the throughput."""

_RECOVERY = 1.0
"""Seconds from a cut until the limit is back. It doubles with each cut at about the same value."""

_LONGEST_RECOVERY = 16.0

_GAP = 1.0
"""Least seconds between two cuts: refusals of one burst are one event."""

_WINDOWS = (1.0, 10.0)
"""Seconds in which the accepted requests are counted: the second if the first has too few."""

_ENOUGH = 10
"""Requests that a window must hold."""

_NONE_ACCEPTED = 0.5
"""Share to continue with if no request was accepted lately."""

_EVIDENCE = 20
"""Least number of requests between two cuts."""

_POOR, _SAME = 0.7, 0.35
"""Share of accepted requests, and relative change of it, by which refusals are found that do not
depend on the rate: a service that accepts 50 of 100 requests per second accepts 50 of 70, too."""

_LOWEST_RATE = 0.1
"""Requests per second."""

_SLOW, _VERY_SLOW = 2.0, 4.0
"""Rise of the mean latency at which the limit stays, or shrinks."""

_SAMPLE = 20
"""Least number of successes in a mean latency."""

_DRIFT = 120.0
"""Seconds in which the lowest mean latency doubles, so that it follows a slower service."""

_BURST = 0.05
"""Seconds of the rate that may be sent at once, after a delay of this process."""

_PACED = 0.5
"""Seconds since a request waited for the rate, in which the rate counts as reached."""

_MOST_DOUBLINGS = 60


class _Curve:
    """A limit that returns to the value at which it was cut, stays, and then grows faster.

    Like TCP CUBIC (RFC 9438), it spends most of the time near the value that was too much. Beyond,
    it doubles, so that a limit that was lifted, or was cut on little evidence, is found soon.
    """

    def __init__(self, top: float, now: float) -> None:
        self.top = top
        self._flat_at = now
        self._recovery = _RECOVERY
        self._cut = False

    def value(self, now: float) -> float:
        distance = (now - self._flat_at) / self._recovery
        if distance <= 1:
            return self.top * (1 + _CUT * distance**3)
        grown: float = 2.0 ** min(distance - 1, _MOST_DOUBLINGS)
        return self.top * (1 + _CUT) * grown

    def cut(self, now: float, share: float) -> None:
        """Reduce the limit to a *share* of its present value."""
        top = max(self.value(now) * share, _LOWEST_RATE)
        near = self._cut and self.top / 2 <= top <= self.top * 1.25
        self._cut = True
        self._recovery = min(self._recovery * 2, _LONGEST_RECOVERY) if near else _RECOVERY
        self.top, self._flat_at = top, now + self._recovery

    def resume(self, now: float) -> None:
        """Go on growing from the present value, at once."""
        self.top, self._flat_at = self.value(now), now
        self._recovery = _RECOVERY

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

    # Two limits work together. The number of requests at a time ("concurrency") doubles each round
    # until the service becomes slower, and then has a curve. The rate has no limit until the first
    # refusal, and then a curve: of a service that permits 50 requests per second and needs 5 ms for
    # each, a single request at a time would be too much. A service that limits the number of
    # requests at a time is found by the rate, too. Each limit grows only while it is reached.

    def __init__(self, maximum: int, *, adaptive: bool = True) -> None:
        self.running: int = 0
        self.held_until: float = -inf
        self.maximum = maximum
        self._adaptive = adaptive
        self._limit = float(min(_START, maximum) if adaptive else maximum)
        self._curve: _Curve | None = None  # of the concurrency; None: it doubles
        self._rate: _Curve | None = None  # None: no limit
        self._next = -inf  # time of the next request by the rate
        self._cut_at = -inf
        self._full_at = self._paced_at = -inf  # when a request had to wait for either limit
        self._started: deque[float] = deque()
        self._tried = self._refused = 0  # requests since the last cut
        self._share = 0.0  # of the requests before it, those that were accepted
        self._sample: list[float] = []
        self._lowest = inf
        self._judged_at = 0.0

    def concurrency(self, now: float) -> int:
        """Return the largest number of requests at a time."""
        if self._curve is not None:
            self._limit = self._curve.value(now)
        return max(1, min(self.maximum, int(self._limit)))

    def rate(self, now: float) -> float | None:
        """Return the limit in requests per second; None for no limit."""
        return None if self._rate is None else self._rate.value(now)

    def wait(self, now: float) -> float:
        """Return the seconds until a request may start: 0 for now, inf if one must end first."""
        if now < self.held_until:
            return self.held_until - now
        if self.running >= self.concurrency(now):
            self._full_at = now
            return inf
        if self._rate is not None and now < self._next:
            self._paced_at = now
            return self._next - now
        return 0.0

    def start(self, now: float) -> None:
        """Record that a request starts."""
        self.running += 1
        if not self._adaptive:
            return
        self._tried += 1
        if self._rate is None:
            self._started.append(now)
            while self._started[0] <= now - _WINDOWS[-1]:
                self._started.popleft()
        else:
            late = now - self._next  # more than a little: there was nothing to send
            self._next = (self._next if late <= _BURST else now) + 1 / self._rate.value(now)

    def succeed(self, now: float, started: float) -> None:
        """Record that a running request was accepted; `end` follows."""
        if not self._adaptive:
            return
        # a limit grows only while it is reached
        if self._rate is not None and now - self._paced_at > max(_PACED, 2 / self._rate.value(now)):
            self._rate.hold(now)
        full = self._full_at >= started
        if self._curve is None:
            self._limit = min(self._limit + full, self.maximum)
        elif not full:
            self._curve.hold(now)
        self._sample.append(now - started)
        if len(self._sample) >= max(_SAMPLE, self.running // 2):
            self._judge_latency(now)

    def _judge_latency(self, now: float) -> None:
        mean = sum(self._sample) / len(self._sample)
        self._sample.clear()
        since, self._judged_at = now - self._judged_at, now
        self._lowest = min(self._lowest * 2.0 ** min(since / _DRIFT, 1.0), mean)
        if mean > self._lowest * _SLOW:
            if self._curve is None:
                self._curve = _Curve(self._limit, now)
            elif mean > self._lowest * _VERY_SLOW and now >= self._cut_at + _GAP:
                self._cut_at = now
                self._curve.cut(now, 1 - _CUT)
            self._curve.hold(now)

    def refuse(self, now: float, started: float, retry_after: float | None = None) -> None:
        """Record that a running request was refused, for a limit or an overload; `end` follows."""
        if retry_after is not None:
            self.held_until = max(self.held_until, now + retry_after)
        if not self._adaptive:
            return
        if started <= self._cut_at:
            return
        self._refused += 1
        if now < self._cut_at + _GAP or self._tried < _EVIDENCE:
            return
        self._cut_at = now
        if self._rate is None:
            self._rate = _Curve(self._recent_rate(now), now)
        accepted = self._tried - self._refused
        share = accepted / self._tried
        before, self._share = self._share, share
        if accepted and share < _POOR and abs(share - before) < _SAME * share:
            self._rate.resume(now)  # a lower rate did not help: it is not the cause
        else:
            self._rate.cut(now, (share or _NONE_ACCEPTED) * _HEADROOM)
        self._tried = self._refused = 0

    def adopt(self, now: float, concurrency: int, rate: float | None) -> None:
        """Continue with limits that were found before."""
        self._limit = float(min(concurrency, self.maximum))
        if rate is not None:
            self._rate = _Curve(max(rate, _LOWEST_RATE), now)

    def end(self) -> None:
        """Record the end of a request, whatever its outcome."""
        self.running -= 1

    def restart(self) -> None:
        """Begin as at first, after an outage; the rate that was found stays."""
        if self._adaptive:
            self._limit, self._curve = float(min(_START, self.maximum)), None
            self._sample.clear()
            self._lowest = inf

    def _recent_rate(self, now: float) -> float:
        """Return the requests per second of the last seconds."""
        short, window = _WINDOWS
        recent = sum(at > now - short for at in self._started)
        if recent >= _ENOUGH:
            return recent / short
        since = window if not self._started else min(window, now - self._started[0])
        return len(self._started) / max(1.0, since)
