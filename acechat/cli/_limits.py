"""How much fits into a model, as the vendor has written it down; no address of the service tells.

Source: the contract, 1.4: the vendor's reviewed catalogue of 2026-10-06.
"""

from __future__ import annotations

from msgspec import Struct

__all__ = ["Limits", "complete_model", "limits_of"]


class Limits(Struct, frozen=True):
    """In tokens; None where nobody has said."""

    context: int | None = None
    """Of the request and the answer together."""

    answer: int | None = None
    """Of the longest answer."""


_UNKNOWN = Limits()

_KNOWN = {
    Limits(1_000_000, 128_000): (
        "claude-fable-5-1",
        "claude-fable-5",
        "claude-opus-5",
        "claude-opus-4-8",
        "claude-opus-4-7",
        "claude-opus-4-6",
        "claude-sonnet-5",
    ),
    Limits(1_000_000, 64_000): ("claude-sonnet-4-6",),
    Limits(200_000, 64_000): (
        "claude-opus-4-5-20251101",
        "claude-sonnet-4-5-20250929",
        "claude-sonnet-4-20250514",
        "claude-3-7-sonnet-20250219",
        "claude-haiku-4-5-20251001",
    ),
    Limits(200_000, 32_000): ("claude-opus-4-1-20250805", "claude-opus-4-20250514"),
    Limits(200_000, 8_192): (
        "claude-3-5-sonnet-20241022",
        "claude-3-5-sonnet-20240620",
        "claude-3-5-haiku-20241022",
    ),
    Limits(200_000, 4_096): ("claude-3-haiku-20240307", "claude-3-sonnet-20240229"),
}
_BY_NAME = {name: limits for limits, names in _KNOWN.items() for name in names}


def limits_of(model: str) -> Limits:
    """Return the limits of *model*; `Limits()` for one that is newer than the list."""
    return _BY_NAME.get(model, _UNKNOWN)


def complete_model(_: object, __: object, incomplete: str) -> list[str]:
    """Return the models that begin so, for the shell: it has no time to ask the service."""
    return [name for name in _BY_NAME if name.startswith(incomplete)]
