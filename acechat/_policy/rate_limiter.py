"""Sliding-window rate limiter for `RateLimit`, without a clock."""

from __future__ import annotations

from collections import deque

from acechat._policy.values import RateLimit

__all__ = ["RateLimiter"]

_WINDOW = 60.0
"""Length of the window, in seconds."""

_LONGEST_HOLD = 120.0
"""Longest ``Retry-After`` in seconds that holds back all callers; a longer one is ignored here, and
fails its own call."""

_RECHECK = 1.0
"""Seconds after which a waiting caller checks again a limit that grows."""

_MIN_RATE = 6.0
"""Requests per minute. Halving stops here, and leaves a smaller limit as it is."""

_MOST_TOKENS = 2**53
"""Cap on the tokens of one call: a larger number is malformed, and not exact as a float."""

_MEAN_WEIGHT = 0.2
"""Weight of the newest call in the moving average of tokens per call."""


class RateLimiter:
    """Admits requests so that no window of 60 seconds exceeds the limit.

    All times are seconds of one monotonic clock.

    Args:
        limit: The limits.
    """

    # States of the request limit, if adaptive:
    #
    #   normal   _full is None; the limit is that of RateLimit, or none
    #   slowed   _full is set; the limit is _slow at _slowed_at, and doubles every minute
    #
    #   normal -> slowed  by throttle(): half the limit, or half the recent rate
    #   slowed -> slowed  by throttle() of a request admitted after the last halving
    #   slowed -> normal  when the grown limit reaches _full
    #
    # Independently, no request is admitted before _held_until (Retry-After).

    def __init__(self, limit: RateLimit) -> None:
        self._limit = limit
        self._sent: deque[float] = deque()  # times of admission
        self._used: deque[tuple[float, int]] = deque()  # times of finish, and tokens
        self._tokens = 0  # sum of _used
        self._under_way = 0
        self._mean: float | None = None  # tokens per call; None: not known yet
        self._held_until = float("-inf")
        self._slowed_at = float("-inf")
        self._slow = 0.0  # requests per minute, at _slowed_at
        self._full: float | None = None  # requests per minute to grow back to

    def admit(self, now: float) -> float:
        """Admit a request and return 0, or return the seconds to wait before the next try."""
        self._drop_expired(now)
        wait = max(self._held_until - now, self._wait_for_requests(now), self._wait_for_tokens(now))
        if wait > 0:
            return wait
        self._sent.append(now)
        self._under_way += 1
        return 0.0

    def finish(self, now: float, tokens: int | None, more: int = 0) -> None:
        """Record the end of an admitted request.

        Args:
            now: The time.
            tokens: Its tokens; None if not reported.
            more: Number of other requests of the same call, which were not admitted.
        """
        self._under_way -= 1
        self._sent.extend([now] * more)
        if tokens is not None and tokens > 0:
            tokens = min(tokens, _MOST_TOKENS)
            self._used.append((now, tokens))
            self._tokens += tokens
            before = tokens if self._mean is None else self._mean
            self._mean = before + _MEAN_WEIGHT * (tokens - before)

    def throttle(self, now: float, *, sent: float, retry_after: float | None) -> None:
        """Slow down after a response with 429, or of an overloaded service.

        Args:
            now: Time of the response.
            sent: Time at which its request was admitted. Requests admitted before the last halving
                do not halve again.
            retry_after: Seconds to wait, as requested by the service; None if not reported.
        """
        if not self._limit.adaptive:
            return
        if retry_after is not None and retry_after <= _LONGEST_HOLD:
            self._held_until = max(self._held_until, now + retry_after)
        if sent <= self._slowed_at:
            return
        self._drop_expired(now)
        allowed = self.requests_per_minute(now)
        if allowed is None:
            since = max(now - self._sent[0], 1.0) if self._sent else _WINDOW
            allowed = len(self._sent) * _WINDOW / since  # the rate of the last minute
        full = self._limit.requests_per_minute or self._full or allowed
        self._slow, self._slowed_at, self._full = max(_MIN_RATE, allowed / 2), now, float(full)

    def requests_per_minute(self, now: float) -> float | None:
        """Return the current limit; None for no limit."""
        if self._full is not None:
            # 2**50 exceeds any limit; the bound avoids an overflow
            grown: float = self._slow * 2.0 ** min((now - self._slowed_at) / _WINDOW, 50.0)
            if grown < self._full:
                return grown
            self._full = None
        return self._limit.requests_per_minute

    def _wait_for_requests(self, now: float) -> float:
        allowed = self.requests_per_minute(now)
        if allowed is None or len(self._sent) < max(int(allowed), 1):
            return 0.0
        # this many requests must leave the window first
        leaving = len(self._sent) - max(int(allowed), 1)
        wait = self._sent[leaving] + _WINDOW - now
        return min(wait, _RECHECK) if self._full is not None else wait

    def _wait_for_tokens(self, now: float) -> float:
        limit = self._limit.tokens_per_minute
        if limit is None:
            return 0.0
        # The tokens of the first calls are not known: up to sixty may start before one has ended.
        expected = self._mean if self._mean is not None else limit / _WINDOW
        excess = self._tokens + (self._under_way + 1) * expected - limit
        if excess <= 0 or not (self._under_way or self._used):  # a single call may exceed it
            return 0.0
        for at, tokens in self._used:
            excess -= tokens
            if excess <= 0:
                return at + _WINDOW - now
        # a running request must end first, at an unknown time
        return min(_RECHECK, self._used[-1][0] + _WINDOW - now) if self._used else 1.0

    def _drop_expired(self, now: float) -> None:
        """Drop the entries that have left the window."""
        sent, used = self._sent, self._used
        while sent and sent[0] + _WINDOW <= now:
            sent.popleft()
        while used and used[0][0] + _WINDOW <= now:
            self._tokens -= used.popleft()[1]
