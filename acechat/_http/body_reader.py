"""`BodyReader`: aiohttp's reader of a body, without what only its own waiting methods need."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, cast

import aiohttp

__all__ = ["BodyReader"]

_OVERHEAD = 64
"""Bytes of memory that a buffered part takes beside its data, rounded up."""


class BodyReader(aiohttp.StreamReader):
    """A reader that is read with `read_nowait` only.

    aiohttp counts the bytes and splits of each HTTP chunk in three methods, which takes as long as
    decoding an event. All borders are lost on an event stream, and with them the two deques of each
    reader, of 1.5 KB.
    """

    __slots__ = ()

    @classmethod
    def adopt(cls, content: aiohttp.StreamReader) -> None:
        """Make *content* a `BodyReader`, unless aiohttp's class has changed too much."""
        if type(content) is not aiohttp.StreamReader:
            return
        with suppress(AttributeError, TypeError):
            parts = list(content._buffer)
            content.__class__ = cls
            content._buffer = cast("Any", parts)
            content._http_chunk_splits = None

    def feed_data(self, data: bytes, size: int = 0) -> bool:  # noqa: ARG002 - aiohttp's signature
        if data:
            self._buffer.append(data)
            self._size += len(data) + _OVERHEAD
            if self._size > self._high_water:
                self._protocol.pause_reading()
        return False

    def begin_http_chunk_receiving(self) -> None:
        """Do nothing: the borders of HTTP chunks have no meaning."""

    end_http_chunk_receiving = begin_http_chunk_receiving

    def read_nowait(self, n: int = -1) -> bytes:  # noqa: ARG002 - always all
        """Return all data that has arrived."""
        if self._exception is not None:
            raise self._exception
        parts = self._buffer
        if len(parts) == 1:
            data = parts.pop()
        else:
            data = b"".join(parts)
            parts.clear()
        self._size = 0
        self._protocol.resume_reading()
        return data
