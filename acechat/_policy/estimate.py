"""The cost range of a request, from its token count and the catalogue."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from acechat.types.catalog import CatalogModel, Estimate

__all__ = ["estimate_of"]

_DEFAULT_MAX_TOKENS = 8192
"""The service's limit of a completion without *max_tokens* (docs/api.md#request-fields)."""

_UNIT = re.compile(r"(\d[\d,_ ]*)?\s*(k|m|thousand|million)?\b", re.IGNORECASE)
_FACTORS = {"": 1, "k": 1000, "thousand": 1000, "m": 1_000_000, "million": 1_000_000}


def estimate_of(
    body: Mapping[str, Any], prompt_tokens: int, catalog: Iterable[CatalogModel]
) -> Estimate:
    """Return the estimate for the JSON *body* of a chat request.

    Args:
        body: The request.
        prompt_tokens: Its tokens, as counted by the service.
        catalog: The models with their prices.
    """
    model = str(body.get("model", ""))
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    most = int(limit) if isinstance(limit, int | float) and limit > 0 else _DEFAULT_MAX_TOKENS
    name = model.removesuffix("-thinking")  # an adapter of the service, at the model's price
    listed = next((each for each in catalog if each.id in {model, name}), None)
    unit = _tokens_per_unit(listed.unit) if listed is not None else None
    pricing = listed.pricing if listed is not None else None
    low = high = None
    if unit is not None and pricing is not None and pricing.input_credits is not None:
        low = pricing.input_credits * prompt_tokens / unit
        if pricing.output_credits is not None:
            high = low + pricing.output_credits * most / unit
    return Estimate(
        model=model,
        prompt_tokens=prompt_tokens,
        max_completion_tokens=most,
        min_cost=low,
        max_cost=high,
    )


def _tokens_per_unit(unit: str | None) -> Decimal | None:
    """Return the tokens in a *unit* such as ``"1M tokens"``; None if it counts nothing known."""
    found = _UNIT.match((unit or "").strip().removeprefix("per").strip())
    if not unit or "token" not in unit.lower() or found is None:
        return None
    digits = re.sub(r"[,_ ]", "", found[1] or "1")
    return Decimal(int(digits) * _FACTORS[(found[2] or "").lower()]) or None
