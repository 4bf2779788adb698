"""How long a caller must wait for its turn: arithmetic of `RateLimit`, without a clock."""

from __future__ import annotations

from collections import deque

from acechat._policy.values import RateLimit

__all__ = ["Limiter"]

_WINDOW = 60.0
"""Seconds."""

_LONGEST_HOLD = 120.0
"""Seconds; who is asked to wait longer is told so, instead of everybody waiting."""

_WHILE_GROWING = 1.0
"""Seconds after which a waiting caller looks again at a limit that grows."""

_SLOWEST = 6.0
"""Requests per minute below which nothing is slowed down."""

_MOST_TOKENS = 2**53
"""Tokens of one call, at most: a larger number is broken, and no float holds every one."""

_LEARNS = 0.2
"""The weight of the newest call in the average of tokens."""


class Limiter:
    """Admits requests so that no window of 60 seconds holds more than the limit.

    All times are seconds of one clock, and never go back.

    Args:
        limit: The rules.
    """

    def __init__(self, limit: RateLimit) -> None:
        self._limit = limit
        self._sent: deque[float] = deque()
        self._used: deque[tuple[float, int]] = deque()
        self._tokens = 0  # the sum of _used
        self._under_way = 0
        self._mean: float | None = None
        self._held_until = float("-inf")
        self._slowed_at = float("-inf")
        self._slow = 0.0  # requests per minute that were allowed then
        self._full: float | None = None  # requests per minute to grow back to; None: not slowed

    def admit(self, now: float) -> float:
        """Admit a request at the time *now* and return 0, or the seconds until one should ask."""
        self._forget(now)
        wait = max(self._held_until - now, self._wait_for_requests(now), self._wait_for_tokens(now))
        if wait > 0:
            return wait
        self._sent.append(now)
        self._under_way += 1
        return 0.0

    def ended(self, now: float, tokens: int | None) -> None:
        """Note that an admitted request has ended and used so many *tokens*; None: not known."""
        self._under_way -= 1
        if tokens is not None and tokens > 0:
            tokens = min(tokens, _MOST_TOKENS)
            self._used.append((now, tokens))
            self._tokens += tokens
            before = tokens if self._mean is None else self._mean
            self._mean = before + _LEARNS * (tokens - before)

    def refused(self, now: float, *, sent: float, retry_after: float | None) -> None:
        """Note that the service is at its limit.

        Args:
            now: When it said so.
            sent: When the request was admitted that it said so to. What was sent before the last
                halving does not halve again.
            retry_after: Seconds that it asks to wait; None if it does not say.
        """
        if not self._limit.adaptive:
            return
        if retry_after is not None and retry_after <= _LONGEST_HOLD:
            self._held_until = max(self._held_until, now + retry_after)
        if sent <= self._slowed_at:
            return
        self._forget(now)
        allowed = self.requests_per_minute(now)
        if allowed is None:
            since = max(now - self._sent[0], 1.0) if self._sent else _WINDOW
            allowed = len(self._sent) * _WINDOW / since  # as fast as it has been lately
        full = self._limit.requests_per_minute or self._full or allowed
        self._slow, self._slowed_at, self._full = max(_SLOWEST, allowed / 2), now, float(full)

    def requests_per_minute(self, now: float) -> float | None:
        """Return how many are allowed at the time *now*; None for no limit."""
        if self._full is not None:
            # after 50 minutes any number has grown back
            grown: float = self._slow * 2.0 ** min((now - self._slowed_at) / _WINDOW, 50.0)
            if grown < self._full:
                return grown
            self._full = None
        return self._limit.requests_per_minute

    def _wait_for_requests(self, now: float) -> float:
        allowed = self.requests_per_minute(now)
        if allowed is None or len(self._sent) < max(int(allowed), 1):
            return 0.0
        # those that must leave the window first
        leaving = len(self._sent) - max(int(allowed), 1)
        wait = self._sent[leaving] + _WINDOW - now
        return min(wait, _WHILE_GROWING) if self._full is not None else wait

    def _wait_for_tokens(self, now: float) -> float:
        limit = self._limit.tokens_per_minute
        if limit is None:
            return 0.0
        # Nobody knows what the first calls will use: sixty may begin before one has ended.
        expected = self._mean if self._mean is not None else limit / _WINDOW
        excess = self._tokens + (self._under_way + 1) * expected - limit
        if excess <= 0 or not (self._under_way or self._used):  # one call may be larger than all
            return 0.0
        for at, tokens in self._used:
            excess -= tokens
            if excess <= 0:
                return at + _WINDOW - now
        # what is under way must end first, which it does at a time that nobody knows
        return min(_WHILE_GROWING, self._used[-1][0] + _WINDOW - now) if self._used else 1.0

    def _forget(self, now: float) -> None:
        """Let go of what has left the window."""
        sent, used = self._sent, self._used
        while sent and sent[0] + _WINDOW <= now:
            sent.popleft()
        while used and used[0][0] + _WINDOW <= now:
            self._tokens -= used.popleft()[1]
