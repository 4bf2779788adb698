"""`AsyncPreparedRequest`: a request to inspect, to estimate, or to send by other means."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias, cast

from acechat._credentials import Token
from acechat._redaction.private import is_private, private_values
from acechat._wire.request import HTTPRequest
from acechat.types.catalog import Estimate

__all__ = ["AsyncPreparedRequest", "BasePreparedRequest", "Estimating"]

Estimating: TypeAlias = Callable[[HTTPRequest], Coroutine[Any, Any, Estimate]]
"""Counts the tokens of a request and looks up its prices."""


class BasePreparedRequest:
    """The request of a prepared call, for the async and the sync class.

    Attributes:
        request: The request, without the token, unless the caller put it there.
        api_root: The URL that its path is relative to.
    """

    def __init__(
        self, request: HTTPRequest, api_root: str, token: Token, estimating: Estimating
    ) -> None:
        self.request = request
        self.api_root = api_root
        self._token = token
        self._estimating = estimating

    def json(self) -> dict[str, Any]:
        """Return the decoded body."""
        return cast("dict[str, Any]", self.request.json())

    def curl(self) -> str:
        """Return a shell command that sends the request.

        The token appears as ``$ACEDATACLOUD_API_TOKEN``, which the shell expands, and as ``***`` if
        a message or a header of the caller contains it; so do values of headers for credentials,
        such as ``Cookie`` and ``X-Api-Key``. All other content is included unchanged.
        """
        request = self.request
        token = self._token.extended(private_values(request.headers))
        lines = [
            f"curl {shlex.quote(token.redact_text(self.api_root + request.path))}",
            '-H "Authorization: Bearer $ACEDATACLOUD_API_TOKEN"',
            *(
                f"-H {shlex.quote(token.redact_text(f'{name}: {_public(name, value)}'))}"
                for name, value in ({"Content-Type": "application/json"} | request.headers).items()
            ),
            f"--data-raw {shlex.quote(token.redact_text((request.body or b'').decode()))}",
        ]
        return " \\\n  ".join(lines)

    def __repr__(self) -> str:
        size = len(self.request.body or b"")
        return f"{type(self).__name__}({self.request.method} {self.request.path}, {size} bytes)"


def _public(name: str, value: str) -> str:
    return "***" if is_private(name) else value


class AsyncPreparedRequest(BasePreparedRequest):
    """The request that a call would send; `AsyncClient.prepare` returns it.

    Attributes:
        request: The request, without the token, unless the caller put it there.
        api_root: The URL that its path is relative to.

    Example:
        >>> prepared = client.prepare("Hello")
        >>> prepared.json()["model"]
        >>> print(prepared.curl())
        >>> (await prepared.estimate()).max_cost
    """

    async def estimate(self) -> Estimate:
        """Count the prompt tokens and return the range of the cost. The service charges nothing.

        It sends two requests: one to count the tokens, one to read the public catalogue.

        Raises:
            APIError: The service reported an error.
            TransportError: No complete response arrived.
        """
        return await self._estimating(self.request)
