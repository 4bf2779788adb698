"""The name of an MCP server in errors, and its secrets, which errors must not show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from acechat.errors import AceChatError

__all__ = ["Server"]

_SECRET = 8
"""Characters: shorter values of headers are words, such as ``1``."""

_LINK = "For further information visit https://errors.pydantic.dev/"
"""The last line of pydantic's errors, of which mcp has many."""

_SHOWN = 500
"""Characters of a foreign error."""


class Server:
    """The name of a server in errors, and what these must not show."""

    def __init__(self, address: str, headers: Mapping[str, str]) -> None:
        self.name: str = address
        """The command, or the URL without what may be secret."""

        self._hidden: dict[str, str] = {}
        if address.startswith(("http://", "https://")):
            url = urlsplit(address)  # a password before the host, or a key in the query
            self.name = f"{url.scheme}://{url.netloc.rpartition('@')[2]}{url.path}"
            self._hidden[address] = self.name
        for value in headers.values():  # "Bearer …" as well as the token alone
            self._hidden |= {
                text: "…" for text in (value, value.split(" ")[-1]) if len(text) >= _SECRET
            }

    def __str__(self) -> str:
        return f"the connection to the MCP server {self.name!r}"

    def redact(self, text: str) -> str:
        """Return *text* without the values of headers and the secret parts of the URL."""
        for hidden, shown in self._hidden.items():
            text = text.replace(hidden, shown)
        return text

    def reason(self, error: BaseException) -> str:
        """Return what is wrong: mcp raises groups of groups of one."""
        inner: Any = getattr(error, "exceptions", ())
        if inner:
            return self.reason(inner[0])
        lines = [line.strip() for line in self.redact(str(error)).splitlines()]
        lines = [line for line in lines if not line.startswith(_LINK)]
        text = " ".join(lines)[:_SHOWN]
        named = isinstance(error, AceChatError | TimeoutError | ConnectionAbortedError) and text
        return text if named else f"{type(error).__name__}: {text}"
