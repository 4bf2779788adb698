"""Large bodies: a picture inside of a request takes megabytes."""

from __future__ import annotations

import aiohttp
from aiohttp.abc import AbstractStreamWriter

__all__ = ["Upload"]

_PIECE = 2**15


class Upload(aiohttp.Payload):
    """A body that is written a piece at a time; whole, it would hold up the event loop.

    aiohttp's own for `io.BytesIO` copies it first.
    """

    def __init__(self, body: bytes | bytearray) -> None:
        super().__init__(body, content_type="application/json")
        self._body = body
        self._size = len(body)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return the body as text."""
        return self._body.decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write the body, as fast as the network takes it."""
        view = memoryview(self._body)
        for at in range(0, len(view), _PIECE):
            await writer.write(view[at : at + _PIECE])
