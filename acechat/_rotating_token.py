"""`RotatingToken`: a token that a function of the caller returns for each request."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from inspect import isawaitable
from typing import TypeAlias

from acechat._credentials import Token, read_token
from acechat._redaction.redactor import Redactor
from acechat.errors import ConfigurationError

__all__ = ["RotatingToken", "TokenProvider"]

TokenProvider: TypeAlias = Callable[[], str | Awaitable[str]]
"""Returns the token of one request; called in the event loop, so it must not block."""

_KEPT = 16
"""Earlier tokens that are redacted: a recording may be saved long after its call."""


class RotatingToken(Token):
    """The tokens that *provider* returned. All of the last ones are redacted.

    Args:
        provider: Called before each request.
    """

    __slots__ = ("_provider", "_seen")

    def __init__(self, provider: TokenProvider) -> None:
        super().__init__("")
        self._provider = provider
        self._seen: deque[str] = deque(maxlen=_KEPT)

    async def fetch(self) -> None:
        """Ask the provider for the token of the next request. Raises its exceptions.

        Raises:
            ConfigurationError: It returned no valid token.
        """
        given: object = self._provider()
        if isawaitable(given):
            given = await given
        if not isinstance(given, str):
            kind = type(given).__name__
            raise ConfigurationError(f"the function of api_token= must return a str, not {kind}")
        self._secret = read_token(given).reveal()
        if self._secret not in self._seen:
            self._seen.append(self._secret)
            self._redactor = Redactor(self._seen)

    def authorize(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Return *headers* with the token that was fetched last."""
        return {**headers, "Authorization": f"Bearer {self._secret}"}

    def __repr__(self) -> str:
        return f"***{getattr(self._provider, '__name__', type(self._provider).__name__)}()"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RotatingToken) and other._provider is self._provider

    def __hash__(self) -> int:
        return hash(self._provider)
