"""The public catalogue, with the prices of docs/api.md#models."""

from __future__ import annotations

from typing import Any

__all__ = ["CATALOG"]

_USD_PER_CREDIT = 0.175
"""The package of $7 for 40 credits (docs/api.md#catalogue-and-account)."""

_PRICES = {
    "claude-fable-5-1": (3.679, 18.397),
    "claude-fable-5": (3.679, 18.397),
    "claude-opus-5": (1.840, 9.198),
    "claude-opus-4-8": (1.840, 9.198),
    "claude-opus-4-7": (1.840, 9.198),
    "claude-opus-4-6": (1.840, 9.198),
    "claude-opus-4-5-20251101": (1.840, 9.198),
    "claude-opus-4-1-20250805": (5.519, 27.595),
    "claude-opus-4-20250514": (5.519, 27.595),
    "claude-sonnet-5": (0.736, 3.679),
    "claude-sonnet-4-6": (1.104, 5.519),
    "claude-sonnet-4-5-20250929": (1.104, 5.519),
    "claude-sonnet-4-20250514": (1.104, 5.519),
    "claude-3-7-sonnet-20250219": (1.104, 5.519),
    "claude-haiku-4-5-20251001": (0.368, 1.840),
    "claude-3-5-sonnet-20241022": (1.104, 5.519),
    "claude-3-5-sonnet-20240620": (1.104, 5.519),
    "claude-3-5-haiku-20241022": (0.294, 1.472),
    "claude-3-haiku-20240307": (0.092, 0.460),
    "claude-3-sonnet-20240229": (1.104, 5.519),
}
"""US dollars per million tokens: of input, of output."""


def _entry(name: str, input_price: float, output_price: float) -> dict[str, Any]:
    return {
        "id": name,
        "name": name,
        "provider": "anthropic",
        "modality": "chat",
        "unit": "1M tokens",
        "capabilities": ["vision", "tools", "streaming"],
        "pricing": {
            "input_credits": round(input_price / _USD_PER_CREDIT, 6),
            "output_credits": round(output_price / _USD_PER_CREDIT, 6),
        },
    }


CATALOG: dict[str, Any] = {
    "rates": {"usd_per_credit": _USD_PER_CREDIT},
    "modalities": ["chat"],
    "count": len(_PRICES),
    "items": [_entry(name, *prices) for name, prices in _PRICES.items()],
}
"""The body of the response; the values of *unit* and *capabilities* are the emulator's own."""
