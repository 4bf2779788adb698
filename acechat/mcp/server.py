"""The name of an MCP server in errors, and its secrets, which errors must not show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from acechat.errors import AceChatError

__all__ = ["Server"]

_MIN_SECRET = 8
"""Minimum characters of a secret: shorter header values are common words such as ``1``."""

_LINK = "For further information visit https://errors.pydantic.dev/"
"""Last line of pydantic's errors, which mcp passes on."""

_MAX_REASON = 500
"""Characters of an error of mcp or of the server."""


class Server:
    """The name of a server in errors, and the secrets to redact.

    Args:
        address: The command, or the URL.
        headers: HTTP headers, whose values are secret.
    """

    def __init__(self, address: str, headers: Mapping[str, str]) -> None:
        self.name: str = address
        """The command, or the URL without user, password and query."""

        self._hidden: dict[str, str] = {}
        if address.startswith(("http://", "https://")):
            url = urlsplit(address)  # secrets may be before the host and in the query
            self.name = f"{url.scheme}://{url.netloc.rpartition('@')[2]}{url.path}"
            self._hidden[address] = self.name
        for value in headers.values():  # "Bearer …" as well as the token alone
            self._hidden |= {
                text: "…" for text in (value, value.split(" ")[-1]) if len(text) >= _MIN_SECRET
            }

    def __str__(self) -> str:
        return f"the connection to the MCP server {self.name!r}"

    def redact(self, text: str) -> str:
        """Return *text* without the values of headers and the secret parts of the URL."""
        for hidden, shown in self._hidden.items():
            text = text.replace(hidden, shown)
        return text

    def reason(self, error: BaseException) -> str:
        """Return the message of *error*, or of the first exception in nested groups."""
        inner: Any = getattr(error, "exceptions", ())
        if inner:
            return self.reason(inner[0])
        lines = [line.strip() for line in self.redact(str(error)).splitlines()]
        lines = [line for line in lines if not line.startswith(_LINK)]
        text = " ".join(lines)[:_MAX_REASON]
        named = isinstance(error, AceChatError | TimeoutError | ConnectionAbortedError) and text
        return text if named else f"{type(error).__name__}: {text}"
