"""Decode what aiohttp does not: ``x-gzip``, several codings of one body, headers in Latin-1."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from typing import Any

from acechat._http.exceptions import undecodable
from acechat.errors import ProtocolError, TransportError

__all__ = ["ContentDecoder", "find_decoder", "header_texts"]

_BY_AIOHTTP = {"gzip", "deflate", "br", "zstd"}
"""Codings that aiohttp decodes if they are alone in a header; it raises if it cannot."""

_GZIP = {"gzip", "x-gzip"}

_MAX_OUTPUT = 2**26
"""Bytes that one network read may expand to."""

_CM_DEFLATE = 8
"""The lower half of the first byte of a zlib header; some servers send no header."""

_TEXT = b"{[ \t\r\n\xef:deir<"
"""First bytes of JSON, events and HTML: then the header is wrong, and the body is not encoded."""


class _Inflater:
    """Decodes gzip, also of several members, or deflate with or without its header."""

    def __init__(self, coding: str) -> None:
        self._gzip = coding in _GZIP
        self._stream: Any = None  # of zlib, whose type has no public name
        self._padding = b""  # ignored between members

    def decode(self, data: bytes) -> bytes:
        decoded = b""
        if self._stream is None:
            data = data.lstrip(self._padding)
        while data:
            if self._stream is None:
                bare = not self._gzip and data[0] & 0xF != _CM_DEFLATE
                self._stream = zlib.decompressobj(31 if self._gzip else -15 if bare else 15)
            decoded += self._stream.decompress(data, _MAX_OUTPUT - len(decoded) + 1)
            if len(decoded) > _MAX_OUTPUT:
                raise ProtocolError(f"the compressed body expands to more than {_MAX_OUTPUT} bytes")
            if not self._stream.eof:
                break
            self._padding = b"\0"
            data = self._stream.unused_data.lstrip(self._padding)
            self._stream = None
        return decoded


class _Unknown:
    """Passes on text, which is not encoded in spite of the header, and rejects all other data."""

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._checked = False

    def decode(self, data: bytes) -> bytes:
        if not self._checked and data[:1] not in _TEXT:
            raise ProtocolError(undecodable(self._coding))
        self._checked = True
        return data


class ContentDecoder:
    """Decodes a body, network read by network read.

    Args:
        codings: In the order in which the server applied them.
    """

    def __init__(self, codings: Iterable[str]) -> None:
        self._stages = [
            _Inflater(coding) if coding in _GZIP or coding == "deflate" else _Unknown(coding)
            for coding in codings
        ][::-1]

    def decode(self, data: bytes) -> bytes:
        """Return the next decoded bytes.

        Raises:
            ProtocolError: The coding is unknown, or the body expands too much.
            TransportError: The data is not valid.
        """
        try:
            for stage in self._stages:
                data = stage.decode(data) if data else data
        except zlib.error:
            pass
        else:
            return data
        invalid = TransportError("the compressed body cannot be decompressed; check proxies")
        invalid.ending = "malformed"
        raise invalid


def find_decoder(headers: list[str], *, by_aiohttp: bool) -> ContentDecoder | None:
    """Return a decoder for the values of the header ``Content-Encoding``; None if none is needed.

    Args:
        headers: The values, one for each header of the name.
        by_aiohttp: Whether aiohttp has decoded the codings that it knows.
    """
    codings = [coding.strip().lower() for value in headers for coding in value.split(",")]
    if by_aiohttp and headers and headers[-1].strip().lower() in _BY_AIOHTTP:
        codings.pop()
    codings = [coding for coding in codings if coding not in {"", "identity"}]
    return ContentDecoder(codings) if codings else None


def header_texts(headers: Mapping[str, str]) -> dict[str, str]:
    """Return *headers* of aiohttp with lower-case names, and values without surrogates.

    aiohttp keeps bytes that are not UTF-8 as surrogates, which could be neither saved nor pickled.
    They are Latin-1, as in HTTP before RFC 7230.
    """
    texts = {name.lower(): value for name, value in headers.items()}
    if "".join(texts.values()).isascii():
        return texts
    return {name: _header_text(value) for name, value in texts.items()}


def _header_text(value: str) -> str:
    data = value.encode(errors="surrogateescape")
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")
