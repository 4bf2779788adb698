"""HTTP/1.1 by hand, to send a response exactly as it was received."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

__all__ = ["Framing"]

_OWN = {"connection", "keep-alive", "transfer-encoding", "upgrade", "trailer"}
"""Headers about one connection: this one ends with the response."""


class Framing:
    """How the end of a body is told: by its length, a last chunk, or the end of the connection.

    Args:
        headers: Those of the response, in lower case.
    """

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers
        self.chunked: bool = "chunked" in headers.get("transfer-encoding", "").lower()

    def head(self, status: int) -> bytes:
        """Write the status line and the headers."""
        try:
            phrase = HTTPStatus(status).phrase
        except ValueError:
            phrase = ""
        lines = [f"HTTP/1.1 {status} {phrase}", "connection: close"]
        lines += [f"{name}: {told}" for name, told in self._headers.items() if name not in _OWN]
        if self.chunked:
            lines.append("transfer-encoding: chunked")
        return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape")

    def piece(self, data: bytes) -> bytes:
        """Write a piece of the body that is not empty."""
        return b"%x\r\n%s\r\n" % (len(data), data) if self.chunked else data

    def end(self) -> bytes:
        """Write the end."""
        return b"0\r\n\r\n" if self.chunked else b""
