"""The public catalogue of models, with their capabilities and prices.

Format: docs/api.md#catalogue-and-account.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from msgspec import Struct

from acechat.types.usage import drop_odd_amounts

__all__ = ["CatalogModel", "Estimate", "Pricing"]


class Pricing(Struct, frozen=True, kw_only=True):
    """Prices, in credits per `CatalogModel.unit`; None if not reported."""

    input_credits: Decimal | None = None
    """Price of input."""

    output_credits: Decimal | None = None
    """Price of output."""

    def __post_init__(self) -> None:
        drop_odd_amounts(self, "input_credits", "output_credits")


class CatalogModel(Struct, frozen=True, kw_only=True):
    """One model of the catalogue. `ChatCompletion.cost` is the actual charge for a call."""

    id: str
    """Value for *model*."""

    name: str | None = None
    """Display name."""

    provider: str | None = None

    modality: str | None = None
    """``"chat"``."""

    unit: str | None = None
    """Unit of the prices, as the service writes it."""

    capabilities: Any = None
    """Capabilities, in the service's own JSON."""

    pricing: Pricing | None = None


class Estimate(Struct, frozen=True, kw_only=True):
    """Tokens and cost of a request that was not sent.

    The amounts are list prices of the catalogue, in credits: discounts and cached prompts cost
    less, and a completion that is requested again (*output_type*) or a run costs more.
    """

    model: str

    prompt_tokens: int
    """As counted by the service."""

    max_completion_tokens: int
    """*max_tokens* of the request; without one the service's default, 8192 for Claude."""

    min_cost: Decimal | None = None
    """Cost of the prompt; None if the catalogue has no price for the model."""

    max_cost: Decimal | None = None
    """Cost of the prompt and of *max_completion_tokens*; None as above."""
