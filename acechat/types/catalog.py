"""The public catalogue of models, with their capabilities and prices.

Format: docs/api.md#catalogue-and-account.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from msgspec import Struct

from acechat.types.usage import drop_odd_amounts

__all__ = ["CatalogModel", "Pricing"]


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
