"""`AsyncPreparedRequest`: a request that was not sent, whose tokens can be counted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from acechat._credentials import Token
from acechat._wire.prepared import Prepared
from acechat._wire.request import HTTPRequest, Terms

__all__ = ["AsyncPreparedRequest"]

_Count: TypeAlias = Callable[[tuple[()], Any, Terms, Any], Awaitable[int]]
"""Counts the prompt tokens of content, messages and tools."""


class AsyncPreparedRequest(Prepared):
    """A request that was built and not sent; `AsyncClient.prepare` creates one.

    Example:
        >>> prepared = client.prepare("Hello")
        >>> prepared.json()["model"], await prepared.count_tokens()
    """

    def __init__(
        self, request: HTTPRequest, api_root: str, token: Token, count: _Count, terms: Terms
    ) -> None:
        super().__init__(request, api_root, token)
        self._count = count
        self._terms = terms

    async def count_tokens(self) -> int:
        """Return the number of prompt tokens. The service does not charge for it.

        Raises the exceptions of `AsyncClient.count_tokens`.
        """
        fields = self.json()
        terms = Terms(None, fields["model"], self._terms.timeout, self._terms.retries)
        return await self._count((), fields["messages"], terms, fields.get("tools"))
