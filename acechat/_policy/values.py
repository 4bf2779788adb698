"""Timeout, RetryPolicy, Budget, RateLimit and RunLimits, validated on creation."""

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
    """For the complete call: all attempts, the waits between them, and reading the response.
    Default: no limit, because 128,000 tokens take half an hour."""

    connect: float | None = 10.0
    """For DNS, TCP and TLS together. The wait for a slot of *max_concurrency* does not count."""

    first_token: float | None = 600.0
    """From sending the request to the first content of a stream, or to the first byte of a response
    that is not streamed."""

    idle: float | None = 120.0
    """Between two chunks of content of a stream (heartbeats do not count), or two reads of a
    response that is not streamed."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            limit = getattr(self, name)
            if limit is not None and not _is_positive(limit):
                raise ConfigurationError(
                    f"Timeout.{name} must be a positive number of seconds or None, not {limit!r}"
                )

    def with_total(self, seconds: float) -> Timeout:
        """Return a copy whose *total* is *seconds*."""
        return msgspec.structs.replace(self, total=seconds)


class RetryPolicy(Struct, frozen=True, kw_only=True):
    """Conditions and delays for retries of a failed call.

    Retried: requests that were not sent, temporary errors of the service (408, 409, 429, 5xx, or
    such an error in a stream before any content), and connections that broke before any content.
    Not retried: responses that are malformed, partial or timed out, because the service may have
    charged for them. The service has no idempotency key (docs/api.md#billing-and-idempotency), so
    a broken connection may be billed, too; *max_attempts* = 1 sends each request only once. (A
    kept-alive connection that fails within a second, before any byte of a response, is replaced by
    a new one, which does not count as an attempt.)

    The wait before attempt *k* + 1 is random between 0 and min(*max_delay*, *base_delay* × 2^(*k*
    − 1)) seconds. A ``Retry-After`` of up to 120 s replaces it.

    Raises:
        ConfigurationError: A number is out of range.
    """

    max_attempts: int = 3
    """Maximum number of attempts, 1 or more. The first counts, so 1 means no retries."""

    base_delay: float = 0.5
    """Longest wait before the second attempt, 0 or more seconds."""

    max_delay: float = 8.0
    """Longest wait before any attempt, 0 or more seconds."""

    retry_timeouts: bool = False
    """Whether to retry after a timeout, though the service may complete and bill both requests."""

    def __post_init__(self) -> None:
        attempts: object = self.max_attempts
        if not isinstance(attempts, int) or isinstance(attempts, bool) or attempts < 1:
            raise ConfigurationError(
                f"max_attempts must be an integer of at least 1, not {attempts!r}; "
                "it counts the first attempt"
            )
        for name in ("base_delay", "max_delay"):
            delay = getattr(self, name)
            if delay != 0 and not _is_positive(delay):
                raise ConfigurationError(f"{name} must be 0 or more seconds, not {delay!r}")


def as_timeout(timeout: Timeout | float | None, default: Timeout) -> Timeout:
    """Convert a *timeout* argument: a number replaces *total* of the *default*."""
    if timeout is None:
        return default
    if isinstance(timeout, Timeout):
        return timeout
    return default.with_total(timeout)


def as_retries(retries: RetryPolicy | int | None, default: RetryPolicy) -> RetryPolicy:
    """Convert a *retries* argument: an int replaces *max_attempts* of the *default*."""
    if retries is None:
        return default
    if isinstance(retries, RetryPolicy):
        return retries
    return msgspec.structs.replace(default, max_attempts=retries)


class Budget(Struct, frozen=True, kw_only=True):
    """Spending limit of a client and its copies; None means no limit.

    A call raises `BudgetExceededError`, before anything is sent, once the spending has reached the
    budget. A call counts when it ends, so the calls in progress can exceed the budget; with
    *max_concurrency* = 1, by at most one call. Failed attempts count only if the service reported
    their usage.

    Raises:
        ConfigurationError: No limit is given, or one is not a positive number.
    """

    tokens: int | None = None
    """Tokens of prompts and completions together, as counted by the service; 1 or more."""

    credits: Decimal | float | None = None
    """Cost in the service's currency, above 0. Completions without a reported cost do not count:
    see `TotalUsage.unpriced`."""

    def __post_init__(self) -> None:
        if self.tokens is None and self.credits is None:
            raise ConfigurationError("Budget needs a limit: pass tokens=, credits= or both")
        check_number("Budget.tokens", self.tokens, int)
        check_number("Budget.credits", self.credits, int, float, Decimal)

    def check(self, spent: TotalUsage) -> None:
        """Check the budget before a call.

        Args:
            spent: Usage so far.

        Raises:
            BudgetExceededError: *spent* has reached the budget.
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
    """Rate limit of a client and its copies; None means no limit of that kind.

    Callers wait in order of arrival. The wait counts towards `Timeout.total` only.

    Raises:
        ConfigurationError: A limit is not a positive integer.
    """

    requests_per_minute: int | None = None
    """Requests in any 60 seconds, each attempt counted; 1 or more."""

    tokens_per_minute: int | None = None
    """Tokens of prompts and completions in any 60 seconds; 1 or more. They count from the end of a
    call; a call in progress counts with the average of earlier calls."""

    adaptive: bool = True
    """Whether to halve the rate when the service returns 429 or ``500 api_error`` or is overloaded,
    down to six requests per minute, and to double it every minute until it reaches the limit again.
    A ``Retry-After`` of up to 120 s holds back all callers."""

    def __post_init__(self) -> None:
        check_number("RateLimit.requests_per_minute", self.requests_per_minute, int)
        check_number("RateLimit.tokens_per_minute", self.tokens_per_minute, int)


def check_number(name: str, number: object, *kinds: type, optional: bool = True) -> None:
    """Check that *number* is a valid limit: positive and finite.

    Args:
        name: Name of the parameter, for the error message.
        number: The value.
        kinds: Accepted types; ``int`` alone for integers.
        optional: Whether None is accepted, for no limit.

    Raises:
        ConfigurationError: *number* is not a positive, finite number of *kinds*.
    """
    if (number is None and optional) or (type(number) is int and number > 0):
        return
    fits = isinstance(number, kinds) and not isinstance(number, bool)
    if isinstance(number, Decimal) and number.is_nan():  # comparing or converting it may raise
        fits = False
    if not fits or not 0 < float(str(number)) < float("inf"):
        valid = "an integer of at least 1" if kinds == (int,) else "a positive number"
        none = ", or None" if optional else ""
        raise ConfigurationError(f"{name} must be {valid}{none}, not {number!r}")


_DEFAULT = 8
"""Default of both limits. Compared by identity to skip the checks: 8.0 must fail them."""


class RunLimits(Struct, frozen=True):
    """Limits of a run; see `acechat.AsyncClient.run`.

    Raises:
        ConfigurationError: A limit is not positive, or *max_turns* or *max_parallel* is not an
            integer.
    """

    max_turns: int = _DEFAULT
    """Completions of the run, 1 or more."""

    max_parallel: int = _DEFAULT
    """Tool calls at the same time, 1 or more."""

    tool_timeout: float | None = None
    """Seconds for one tool call; None for no limit."""

    raise_tool_errors: bool = False
    """Whether a failed tool raises `ToolError`, instead of being reported to the model."""

    budget: Budget | None = None
    """Spending limit of the run; None for no limit."""

    def __post_init__(self) -> None:
        if self.max_turns is self.max_parallel is _DEFAULT and self.tool_timeout is None:
            return
        check_number("max_turns", self.max_turns, int, optional=False)
        check_number("max_parallel", self.max_parallel, int, optional=False)
        check_number("tool_timeout", self.tool_timeout, int, float)
