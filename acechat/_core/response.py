"""The response protocol that the HTTP layer and middleware implement."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from acechat.errors import AceChatError

__all__ = ["Response"]


class Response(Protocol):
    """What a call reads: the network's response, or what a middleware answered."""

    status: int
    headers: dict[str, str]
    open: bool
    first_token_at: float | None

    waiter: asyncio.Future[None] | None

    def read_nowait(self) -> bytes | None:
        """Return what has arrived; no bytes are the clean end, None is nothing yet."""

    def readable(
        self, phase: str, at: float | None, on_data: Callable[[], bool] | None = None
    ) -> Awaitable[None]:
        """Return what to await before the next `take`."""
        ...

    def limit(self, phase: str, at: float | None) -> None:
        """Set how long the wait may take from now on."""

    def finish(self) -> None:
        """Give the connection back."""

    def abort(self, failure: AceChatError | None = None) -> None:
        """Close the connection."""

    def drop(self) -> None:
        """Abort from any thread."""
