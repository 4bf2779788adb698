"""What a client may spend, and how fast it may ask: values that are checked when they are made."""

from __future__ import annotations

from decimal import Decimal

from msgspec import Struct

from acechat.errors import BudgetExceededError, ConfigurationError
from acechat.types.usage import Spent

__all__ = ["Budget", "RateLimit", "check_number"]


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
    counted: see `Spent.unpriced`."""

    def __post_init__(self) -> None:
        if self.tokens is None and self.credits is None:
            raise ConfigurationError("a budget needs a limit: Budget(tokens=...) or (credits=...)")
        check_number("Budget.tokens", self.tokens, int)
        check_number("Budget.credits", self.credits, int, float, Decimal)

    def check(self, spent: Spent) -> None:
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
