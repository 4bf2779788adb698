"""One failed attempt of a call, and the protocol of its recording."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    import os

__all__ = ["Attempt", "SavedExchanges"]


class Attempt(Struct, frozen=True, kw_only=True):
    """One failed attempt of a call."""

    number: int
    """Position among the attempts of the call, from 1."""

    model: str = ""
    """The requested model; empty for endpoints without one, such as ``GET /v1/models``."""

    started: float
    """Seconds from the start of the call to that of the attempt."""

    elapsed: float
    """Duration of the attempt, in seconds."""

    failure: str
    """Class of the failure:

    * ``"unsent"``: nothing was sent
    * ``"refused"``: the service returned an error before any content
    * ``"lost"``: the connection broke before any content
    * ``"timed_out"``: sent, and the service may still be working on it
    * ``"partial"``: a part of the response arrived
    * ``"answered"``: the response was not valid, or the client was closed
    """

    error: str
    """Type and text of the exception."""

    may_be_billed: bool
    """Whether the service may have charged for the attempt."""


class SavedExchanges(Protocol):
    """The recorded exchanges of a call."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the exchanges to the file *path*, readable by its owner only."""
