"""Large request bodies, such as those with embedded images."""

from __future__ import annotations

import aiohttp
from aiohttp.abc import AbstractStreamWriter

__all__ = ["Upload"]

_CHUNK = 2**15
"""Bytes."""


class Upload(aiohttp.Payload):
    """A body written in chunks, because one large write would block the event loop.

    aiohttp's payload for `io.BytesIO` copies the body first.
    """

    def __init__(self, body: bytes | bytearray) -> None:
        super().__init__(body, content_type="application/json")
        self._body = body
        self._size = len(body)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return the body as a string."""
        return self._body.decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write the body in chunks, waiting while the transport's buffer is full."""
        view = memoryview(self._body)
        for at in range(0, len(view), _CHUNK):
            await writer.write(view[at : at + _CHUNK])
