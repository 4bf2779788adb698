"""One failed attempt of a call, and what was recorded of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    import os

__all__ = ["Attempt", "SavedExchanges"]


class Attempt(Struct, frozen=True, kw_only=True):
    """One failed attempt of a call."""

    number: int
    """1 for the first."""

    model: str = ""
    """The model that was asked; empty where none was."""

    started: float
    """Seconds after the call began."""

    elapsed: float
    """Seconds that the attempt took."""

    failure: str
    """``"unsent"``, ``"refused"``, ``"lost"``, ``"timed_out"``, ``"partial"`` or ``"answered"``."""

    error: str
    """What was raised, as text."""

    may_be_billed: bool
    """Whether the service may have worked, and charged, for it."""


class SavedExchanges(Protocol):
    """The recorded exchanges of a call."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write them to a file that only its owner may read."""
