"""Tokens and cost of completions.

Format: docs/api.md#usage-fields. All fields are optional, because the service's channels differ;
None means that the value was not reported, which is not the same as 0.
"""

from __future__ import annotations

from decimal import MAX_EMAX, MIN_EMIN, ROUND_HALF_EVEN, Context, Decimal
from typing import Any

from msgspec import Struct
from msgspec.structs import force_setattr

__all__ = [
    "CompletionTokensDetails",
    "Cost",
    "PromptTokensDetails",
    "TotalUsage",
    "Usage",
    "drop_odd_amounts",
]

_SUMS = Context(
    prec=60, rounding=ROUND_HALF_EVEN, Emin=MIN_EMIN, Emax=MAX_EMAX,
    capitals=1, clamp=0, flags=[], traps=[],
)  # fmt: skip
"""Context for sums of amounts: the user's own context may round or trap."""

_DIGITS = 15
"""Maximum number of digits before the decimal point of an amount. A larger amount is treated as
malformed: counted, it would exhaust any budget."""


def drop_odd_amounts(struct: Struct, *names: str) -> None:
    """Set the fields *names* to None if they are not a valid amount of money.

    Invalid: NaN, infinity, negative numbers, more than 15 digits before the decimal point. Nothing
    is raised, because the completion with the amount is billed and must not be lost.
    """
    for name in names:
        amount = getattr(struct, name)
        # None of these methods depends on the decimal context; a comparison with NaN would.
        if isinstance(amount, Decimal) and not (
            amount.is_finite()
            and amount.adjusted() < _DIGITS
            and (not amount.is_signed() or amount.is_zero())
        ):
            force_setattr(struct, name, None)


class PromptTokensDetails(Struct, frozen=True, kw_only=True):
    """Parts of `Usage.prompt_tokens`, in tokens; None if not reported."""

    cached_tokens: int | None = None
    """Read from the prompt cache."""

    cached_creation_tokens: int | None = None
    cache_write_tokens: int | None = None
    text_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None


class CompletionTokensDetails(Struct, frozen=True, kw_only=True):
    """Parts of `Usage.completion_tokens`, in tokens; None if not reported."""

    text_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None

    reasoning_tokens: int | None = None
    """Reasoning. Some channels omit it even for models that reason."""

    accepted_prediction_tokens: int | None = None
    rejected_prediction_tokens: int | None = None


class Cost(Struct, frozen=True, kw_only=True):
    """The charge for one call.

    A malformed amount (NaN, infinity, negative, more than 15 digits before the decimal point) is
    None; `ChatCompletion.to_dict` returns it as received.
    """

    amount: Decimal | None = None
    """The charge in *currency*, after discounts; None if not reported."""

    currency: str | None = None
    """Name of the currency; credits if None."""

    list_amount: Decimal | None = None
    """The price before discounts; None if not reported."""

    def __post_init__(self) -> None:
        drop_odd_amounts(self, "amount", "list_amount")


class Usage(Struct, frozen=True, kw_only=True):
    """Tokens used by a completion; None if not reported."""

    prompt_tokens: int | None = None
    """Tokens of the prompt, cached ones included."""

    completion_tokens: int | None = None
    """Tokens of the completion, reasoning included."""

    total_tokens: int | None = None
    """As counted by the service; in all samples the sum of the two."""

    prompt_tokens_details: PromptTokensDetails | None = None
    completion_tokens_details: CompletionTokensDetails | None = None

    input_tokens: int | None = None
    """0 on this endpoint even when tokens were used: use `prompt_tokens`."""

    output_tokens: int | None = None
    """0 on this endpoint even when tokens were used: use `completion_tokens`."""

    input_tokens_details: PromptTokensDetails | None = None
    prompt_cache_hit_tokens: int | None = None
    claude_cache_creation_5_m_tokens: int | None = None
    claude_cache_creation_1_h_tokens: int | None = None
    usage_semantic: str | None = None
    usage_source: str | None = None

    cost: Cost | None = None
    """The charge for the call; None if not reported."""

    @property
    def cache_read_tokens(self) -> int | None:
        """Tokens of the prompt that were read from the prompt cache; None if not reported."""
        details = (self.prompt_tokens_details, self.input_tokens_details)
        reads = [one.cached_tokens for one in details if one is not None]
        return _largest(*reads, self.prompt_cache_hit_tokens)

    @property
    def cache_write_tokens(self) -> int | None:
        """Tokens of the prompt that were written to the prompt cache; None if not reported."""
        writes: list[int | None] = []
        for details in (self.prompt_tokens_details, self.input_tokens_details):
            if details is not None:
                writes += [details.cached_creation_tokens, details.cache_write_tokens]
        by_lifetime = (self.claude_cache_creation_5_m_tokens, self.claude_cache_creation_1_h_tokens)
        known = [tokens for tokens in by_lifetime if tokens is not None]
        return _largest(*writes, sum(known) if known else None)

    def __add__(self, other: Usage) -> Usage:
        """Return the sum; fields that are None in either are None."""
        return Usage(**_sums(self, other))


def _largest(*tokens: int | None) -> int | None:
    """Return the largest number: channels report one value in several fields, 0 in the others."""
    return max((number for number in tokens if number is not None), default=None)


def _sums(one: Struct, other: Struct) -> dict[str, Any]:
    names = one.__struct_fields__
    return {name: _sum(getattr(one, name), getattr(other, name)) for name in names}


def _sum(one: Any, other: Any) -> Any:
    if isinstance(one, Struct) and isinstance(other, Struct):
        if isinstance(one, Cost) and isinstance(other, Cost) and one.currency != other.currency:
            return None
        return type(one)(**_sums(one, other))
    if isinstance(one, str):  # a unit, or the source of the figures
        return one if one == other else None
    if one is None or other is None:
        return None
    return _SUMS.add(one, other) if isinstance(one, Decimal) else one + other


_NOTHING = Decimal(0)


class TotalUsage(Struct, frozen=True, kw_only=True):
    """Tokens and cost of several completions; returned by `Meter.snapshot`."""

    calls: int = 0
    """Number of completions counted."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0

    cost: Decimal | None = None
    """The sum of charges, in *currency*; None if no completion reported one."""

    currency: str | None = None

    uncounted: int = 0
    """Number of completions whose tokens were not reported, or as a negative number."""

    unpriced: int = 0
    """Number of completions whose cost is not in *cost*: not reported, malformed (see `Cost`), or
    in another currency."""

    def plus(self, usage: Usage | None) -> TotalUsage:
        """Return the total with one more completion; *usage* is None if not reported."""
        cost, currency, priced = self.cost, self.currency, False
        prompt = completion = 0
        total = None
        if usage is not None:
            prompt = max(usage.prompt_tokens or 0, 0)
            completion = max(usage.completion_tokens or 0, 0)
            total = usage.total_tokens
            if total is not None and total < 0:
                total = None
            charge = usage.cost
            if charge is not None and charge.amount is not None:
                priced = currency is None or charge.currency is None or charge.currency == currency
                if priced:
                    cost = _SUMS.add(cost or _NOTHING, charge.amount)
                    currency = currency or charge.currency
        return TotalUsage(
            calls=self.calls + 1,
            prompt_tokens=self.prompt_tokens + prompt,
            completion_tokens=self.completion_tokens + completion,
            total_tokens=self.total_tokens + (prompt + completion if total is None else total),
            cost=cost,
            currency=currency,
            uncounted=self.uncounted + (total is None and not prompt + completion),
            unpriced=self.unpriced + (not priced),
        )
