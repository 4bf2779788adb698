"""Timeout, RetryPolicy, Budget, RateLimit and the limits of a run, checked when they are made."""

from __future__ import annotations

from decimal import Decimal
from math import isfinite

import msgspec
from msgspec import Struct

from acechat.errors import BudgetExceededError, ConfigurationError
from acechat.types.usage import TotalUsage

__all__ = [
    "Budget",
    "RateLimit",
    "RetryPolicy",
    "RunLimits",
    "Timeout",
    "as_retries",
    "as_timeout",
    "check_number",
]


def _is_positive(number: object) -> bool:
    return (
        isinstance(number, int | float)
        and not isinstance(number, bool)
        and isfinite(number)
        and number > 0
    )


class Timeout(Struct, frozen=True):
    """Limits of one call, in seconds; None means no limit.

    Raises:
        ConfigurationError: A limit is not a positive number.
    """

    total: float | None = None
    """All attempts, the waiting between them, and the reading of the answer. None, because
    128,000 tokens take half an hour."""

    connect: float | None = 10.0
    """Looking up the host, connecting, TLS. Waiting for *max_concurrency* does not count."""

    first_token: float | None = 600.0
    """From sending to the first content of a stream, or the first byte of a whole answer."""

    idle: float | None = 120.0
    """Between two pieces of content of a stream (heartbeats are none), or two reads of a whole
    answer."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            limit = getattr(self, name)
            if limit is not None and not _is_positive(limit):
                raise ConfigurationError(
                    f"Timeout.{name} must be a positive number of seconds or None, not {limit!r}"
                )

    def with_total(self, seconds: float) -> Timeout:
        """Return a copy with another *total*."""
        return msgspec.structs.replace(self, total=seconds)


class RetryPolicy(Struct, frozen=True, kw_only=True):
    """When a failed call is sent again.

    Retried: what was never sent, what the service refused for now (408, 409, 429, 5xx, or an error
    of that kind before any content of a stream), and connections that broke before any content.
    Not retried: what was answered, delivered in part or timed out, because the service may have
    charged for it. There is no idempotency key (contract, 3.3), so a connection that broke may
    have been charged too; *max_attempts* = 1 sends once, whatever happens. (A kept connection that
    turns out to be dead, within a second and before any byte of an answer, is replaced by a fresh
    one without counting as an attempt.)

    The wait before attempt *k* + 1 is random between 0 and min(*max_delay*, *base_delay* × 2^(*k*
    − 1)) seconds. A ``Retry-After`` of up to 120 s is obeyed instead.

    Raises:
        ConfigurationError: A number is out of range.
    """

    max_attempts: int = 3
    """The first attempt counts, so 1 means no retries."""

    base_delay: float = 0.5
    """Seconds."""

    max_delay: float = 8.0
    """Seconds."""

    retry_timeouts: bool = False
    """Whether to send again what timed out, though the first may still be worked on and billed."""

    def __post_init__(self) -> None:
        attempts: object = self.max_attempts
        if not isinstance(attempts, int) or isinstance(attempts, bool) or attempts < 1:
            raise ConfigurationError(
                f"max_attempts must be a whole number of 1 or more, not {attempts!r}; "
                "it counts the first attempt"
            )
        for name in ("base_delay", "max_delay"):
            delay = getattr(self, name)
            if delay != 0 and not _is_positive(delay):
                raise ConfigurationError(f"{name} must be 0 or more seconds, not {delay!r}")


def as_timeout(timeout: Timeout | float | None, default: Timeout) -> Timeout:
    """Read a *timeout* argument: a number is the total, None the *default*."""
    if timeout is None:
        return default
    if isinstance(timeout, Timeout):
        return timeout
    return default.with_total(timeout)


def as_retries(retries: RetryPolicy | int | None, default: RetryPolicy) -> RetryPolicy:
    """Read a *retries* argument: a number is *max_attempts*, None the *default*."""
    if retries is None:
        return default
    if isinstance(retries, RetryPolicy):
        return retries
    return msgspec.structs.replace(default, max_attempts=retries)


class Budget(Struct, frozen=True, kw_only=True):
    """The most that a client and its copies may spend; None means no limit.

    A call is refused, before anything is sent, once what was spent has reached the budget. What is
    under way counts when it ends, so the budget is passed by no more than that; with
    *max_concurrency* = 1, by no more than one call. Failed attempts do not count, unless the
    service told what they used before they broke.

    Raises:
        ConfigurationError: There is no limit, or one is not a positive number.
    """

    tokens: int | None = None
    """Of requests and answers together, as the service counts them."""

    credits: Decimal | float | None = None
    """In the service's currency. What answers whose cost is not told cost is not known, and not
    counted: see `TotalUsage.unpriced`."""

    def __post_init__(self) -> None:
        if self.tokens is None and self.credits is None:
            raise ConfigurationError("a budget needs a limit: Budget(tokens=...) or (credits=...)")
        check_number("Budget.tokens", self.tokens, int)
        check_number("Budget.credits", self.credits, int, float, Decimal)

    def check(self, spent: TotalUsage) -> None:
        """Refuse a call after so much was *spent*.

        Raises:
            BudgetExceededError: It has reached the budget.
        """
        if self.tokens is not None and spent.total_tokens >= self.tokens:
            raise BudgetExceededError(
                f"the budget of {self.tokens} tokens is used up: {spent.total_tokens} were spent"
            )
        if self.credits is not None and spent.cost is not None:
            limit = self.credits
            if not isinstance(limit, Decimal):
                limit = Decimal(str(limit))
            if spent.cost >= limit:
                raise BudgetExceededError(
                    f"the budget of {limit} credits is used up: {spent.cost} were spent"
                )


class RateLimit(Struct, frozen=True, kw_only=True):
    """How fast a client and its copies may ask; None means no limit of that kind.

    Callers wait for their turn, the first one first. Waiting counts to `Timeout.total` alone.

    Raises:
        ConfigurationError: A number is not positive.
    """

    requests_per_minute: int | None = None
    """Requests, attempts included, in any 60 seconds."""

    tokens_per_minute: int | None = None
    """Tokens, in any 60 seconds. They count when a call ends; while it is under way, it counts as
    much as the calls before it did on average."""

    adaptive: bool = True
    """Whether to ask half as often when the service returns 429 or ``500 api_error`` or is busy,
    though at least six times a minute, and to grow back to the limits, twice as often after each
    minute. A ``Retry-After`` of up to 120 s holds back all callers."""

    def __post_init__(self) -> None:
        check_number("RateLimit.requests_per_minute", self.requests_per_minute, int)
        check_number("RateLimit.tokens_per_minute", self.tokens_per_minute, int)


def check_number(name: str, number: object, *kinds: type, optional: bool = True) -> None:
    """Refuse a *number* that is no limit.

    Args:
        name: What the caller knows it by.
        number: What was given.
        kinds: What it may be an instance of; ``int`` alone for whole numbers.
        optional: Whether it may be None, for no limit.

    Raises:
        ConfigurationError: It is not a positive, finite number of these kinds.
    """
    if (number is None and optional) or (type(number) is int and number > 0):
        return
    fits = isinstance(number, kinds) and not isinstance(number, bool)
    if isinstance(number, Decimal) and number.is_nan():  # comparing or converting one may raise
        fits = False
    if not fits or not 0 < float(str(number)) < float("inf"):
        whole = "whole number of 1 or more" if kinds == (int,) else "positive number"
        none = ", or None" if optional else ""
        raise ConfigurationError(f"{name} must be a {whole}{none}, not {number!r}")


_USUAL = 8
"""What most runs have, and nobody needs to check: this very number, which 8.0 is not."""


class RunLimits(Struct, frozen=True):
    """How far a run may go; see `acechat.AsyncClient.run`.

    Raises:
        ConfigurationError: A number is not positive.
    """

    max_turns: int = _USUAL
    max_parallel: int = _USUAL
    tool_timeout: float | None = None
    raise_tool_errors: bool = False
    budget: Budget | None = None

    def __post_init__(self) -> None:
        if self.max_turns is self.max_parallel is _USUAL and self.tool_timeout is None:
            return
        check_number("max_turns", self.max_turns, int, optional=False)
        check_number("max_parallel", self.max_parallel, int, optional=False)
        check_number("tool_timeout", self.tool_timeout, int, float)
