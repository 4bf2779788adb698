"""The response protocol that the HTTP layer and middleware implement."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from acechat.errors import AceChatError

__all__ = ["Response"]


class Response(Protocol):
    """A response as `Call` and `StreamReader` read it.

    States and transitions; `open` is true in the first only:

    * reading: `read_nowait` returns data. `finish` → finished; `abort`, `drop`, a broken connection
      or a passed time limit → failed
    * finished: complete; the connection was released
    * failed: the connection is closed, and each `read_nowait` raises the failure
    """

    status: int
    headers: dict[str, str]
    """Names in lower case."""

    first_token_at: float | None
    """Deadline of the first content, on the loop's clock; None for no limit."""

    may_have_data: bool
    """Whether `read_nowait` may return data."""

    waiting: bool
    """Whether a task waits for data."""

    @property
    def open(self) -> bool:
        """Whether the body is being read."""
        ...

    def read_nowait(self) -> bytes | None:
        """Return received bytes; ``b""`` at the clean end of the body, None if none have arrived.

        Raises:
            TransportError: The connection broke, a time limit passed, or the response was aborted.
        """

    def readable(
        self, phase: str, at: float | None, on_data: Callable[[], bool] | None = None, /
    ) -> Awaitable[None]:
        """Return an awaitable that ends when `read_nowait` may return data.

        Args:
            phase: The field of `Timeout` that limits the wait.
            at: Deadline of that limit on the loop's clock; None for no limit.
            on_data: Called as soon as data arrives; returns True to continue waiting.
        """
        ...

    def limit(self, phase: str, at: float | None) -> None:
        """Limit the wait that begins now; see `readable` for the arguments."""

    def finish(self) -> None:
        """Release the connection: the response is complete."""

    def abort(self, failure: AceChatError | None = None) -> None:
        """Close the connection; pending and later reads raise *failure*."""

    def drop(self) -> None:
        """Abort, from any thread."""
