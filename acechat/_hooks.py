"""What stands around every call of a client and of its copies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from acechat._middleware import Middleware
from acechat._money import Meter
from acechat._observers import Observers

if TYPE_CHECKING:
    from acechat._gate import Gate

__all__ = ["Hooks"]


class Hooks(Struct, frozen=True, kw_only=True):
    """What the calls of a client share."""

    observers: Observers
    middleware: tuple[Middleware, ...]
    meter: Meter

    gate: Gate | None
    """None where nothing limits the rate."""
