"""What a completion used: tokens, and money when the service tells.

Source: the contract, 2.3. Every field is optional, because the service's channels differ; None
means that the service did not say, which is not the same as 0.
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
"""Adds amounts, with nothing taken from the user's context, which may round or trap."""

_DIGITS = 15
"""Digits before the point that an amount of credits may have. More is a broken number, and a
counted one would exhaust any budget."""


def drop_odd_amounts(struct: Struct, *names: str) -> None:
    """Set those of the fields *names* to None that hold no amount of money.

    That is NaN, infinity, a negative number, or one of more than 15 digits before the point. The
    completion that carries it is paid for and must not be lost, so nothing is raised.
    """
    for name in names:
        amount = getattr(struct, name)
        # None of these methods depends on the context; a comparison with NaN would.
        if isinstance(amount, Decimal) and not (
            amount.is_finite()
            and amount.adjusted() < _DIGITS
            and (not amount.is_signed() or amount.is_zero())
        ):
            force_setattr(struct, name, None)


class PromptTokensDetails(Struct, frozen=True, kw_only=True):
    """Kinds of tokens in the prompt; each is a part of `Usage.prompt_tokens`."""

    cached_tokens: int | None = None
    """Read from the prompt cache."""

    cached_creation_tokens: int | None = None
    cache_write_tokens: int | None = None
    text_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None


class CompletionTokensDetails(Struct, frozen=True, kw_only=True):
    """Kinds of tokens in the answer; each is a part of `Usage.completion_tokens`."""

    text_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None

    reasoning_tokens: int | None = None
    """Spent on thinking. Some channels leave it out even where the model thought."""

    accepted_prediction_tokens: int | None = None
    rejected_prediction_tokens: int | None = None


class Cost(Struct, frozen=True, kw_only=True):
    """The charge for one call.

    An amount that is no amount of money (NaN, infinity, negative, more than 15 digits before the
    point) is None; `ChatCompletion.to_dict` has it as it was received.
    """

    amount: Decimal | None = None
    """Charged, in *currency*, after discounts."""

    currency: str | None = None
    """Credits, unless the service names another."""

    list_amount: Decimal | None = None
    """The price before discounts."""

    def __post_init__(self) -> None:
        drop_odd_amounts(self, "amount", "list_amount")


class Usage(Struct, frozen=True, kw_only=True):
    """What a completion used, in tokens."""

    prompt_tokens: int | None = None
    """Tokens of everything sent, cached ones included."""

    completion_tokens: int | None = None
    """Tokens of the answer, reasoning included."""

    total_tokens: int | None = None
    """As the service counts it; the sum of the two in all its samples."""

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
    """What this call was charged, when the service tells."""

    def __add__(self, other: Usage) -> Usage:
        """Return what both used together; what one of them does not tell is None."""
        return Usage(**_sums(self, other))


def _sums(one: Struct, other: Struct) -> dict[str, Any]:
    names = one.__struct_fields__
    return {name: _sum(getattr(one, name), getattr(other, name)) for name in names}


def _sum(one: Any, other: Any) -> Any:
    if isinstance(one, Struct) and isinstance(other, Struct):
        if isinstance(one, Cost) and isinstance(other, Cost) and one.currency != other.currency:
            return None
        return type(one)(**_sums(one, other))
    if isinstance(one, str):  # a unit, or who told
        return one if one == other else None
    if one is None or other is None:
        return None
    return _SUMS.add(one, other) if isinstance(one, Decimal) else one + other


_NOTHING = Decimal(0)


class TotalUsage(Struct, frozen=True, kw_only=True):
    """What several answers used and cost; `Meter.snapshot` returns one."""

    calls: int = 0
    """Answers that were counted."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0

    cost: Decimal | None = None
    """What was charged, in *currency*; None while no answer told."""

    currency: str | None = None

    uncounted: int = 0
    """Completions whose tokens were not reported, or as a negative number."""

    unpriced: int = 0
    """Completions whose cost is not in *cost*: none was reported, or no amount of money (see
    `Cost`), or one in another currency."""

    def plus(self, usage: Usage | None) -> TotalUsage:
        """Return what it is with one more answer."""
        cost, currency, priced = self.cost, self.currency, False
        prompt = completion = 0
        total = None
        if usage is not None:
            prompt = max(usage.prompt_tokens or 0, 0)
            completion = max(usage.completion_tokens or 0, 0)
            total = usage.total_tokens
            if total is not None and total < 0:
                total = None
            told = usage.cost
            if told is not None and told.amount is not None:
                priced = currency is None or told.currency is None or told.currency == currency
                if priced:
                    cost = _SUMS.add(cost or _NOTHING, told.amount)
                    currency = currency or told.currency
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
