"""The public catalogue of models: what they can do and what they cost.

Source: the contract, 4.3.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from msgspec import Struct

from acechat.types.usage import drop_odd_amounts

__all__ = ["CatalogModel", "Pricing"]


class Pricing(Struct, frozen=True, kw_only=True):
    """Prices, in credits per *unit* of the model; None where the service names none."""

    input_credits: Decimal | None = None
    """Of what is sent."""

    output_credits: Decimal | None = None
    """Of what is answered."""

    def __post_init__(self) -> None:
        drop_odd_amounts(self, "input_credits", "output_credits")


class CatalogModel(Struct, frozen=True, kw_only=True):
    """One model of the catalogue. What a call was really charged is `ChatCompletion.cost`."""

    id: str
    """The name to give as *model*."""

    name: str | None = None
    """The name for people."""

    provider: str | None = None

    modality: str | None = None
    """``"chat"``."""

    unit: str | None = None
    """What the prices are for, in the service's words."""

    capabilities: Any = None
    """What the model can do, as the service writes it."""

    pricing: Pricing | None = None
