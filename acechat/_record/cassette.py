"""Save exchanges to cassette files and load them: one JSON object per line."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Self, TypeAlias

import msgspec
from msgspec import Struct

from acechat._files import file_error, version_error, write
from acechat._record.exchange import BodyChunk, Exchange, ExchangeEnd, Request, ResponseHead

__all__ = ["FIRST_LINE", "Cassette", "as_lines", "read_lines"]

_VERSION = 1

FIRST_LINE = b'{"kind":"cassette","version":%d}\n' % _VERSION


class _Cassette(Struct, tag_field="kind", tag="cassette"):
    version: int


class _Request(Struct, kw_only=True, tag_field="kind", tag="request", omit_defaults=True):
    at: float
    attempt: int
    method: str
    path: str
    headers: dict[str, str] = {}
    text: str | None = None
    base64: bytes | None = None
    dropped: int = 0


class _Chunk(Struct, kw_only=True, tag_field="kind", tag="piece", omit_defaults=True):
    at: float
    dropped: int = 0
    text: str | None = None
    base64: bytes | None = None


_Record: TypeAlias = _Cassette | _Request | ResponseHead | _Chunk | ExchangeEnd


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Record).decode


def as_lines(exchanges: Iterable[Exchange]) -> bytes:
    """Encode *exchanges*, without the first line of a cassette."""
    return b"".join(_encode(record) + b"\n" for each in exchanges for record in _records(each))


def _records(exchange: Exchange) -> Iterator[Struct]:
    request = exchange.request
    text, base64 = _as_text(request.body)
    yield _Request(
        at=request.at,
        attempt=request.attempt,
        method=request.method,
        path=request.path,
        headers=request.headers,
        text=text,
        base64=base64,
        dropped=request.dropped,
    )
    if exchange.head is not None:
        yield exchange.head
    for chunk in exchange.chunks:
        text, base64 = _as_text(chunk.data)
        yield _Chunk(at=chunk.at, text=text, base64=base64, dropped=chunk.dropped)
    if exchange.end is not None:
        yield exchange.end


def _as_text(data: bytes) -> tuple[str | None, bytes | None]:
    try:
        return data.decode(), None
    except UnicodeDecodeError:
        return None, data


def _as_bytes(record: _Request | _Chunk) -> bytes:
    return (record.text or "").encode() if record.base64 is None else record.base64


def read_lines(data: bytes) -> tuple[Exchange, ...]:
    """Decode the content of a cassette file.

    Raises:
        ValueError: It is not a cassette, or one of a later version; the text has the line number.
    """
    groups: list[list[_Record]] = []  # of one exchange each, the request first
    begun = False
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            record = _decode(line)
        except (ValueError, RecursionError) as error:
            reason = "nested too deeply" if isinstance(error, RecursionError) else error
            raise ValueError(f"line {number}: {reason}") from None
        if not begun:
            _check_first(record)
            begun = True
        elif isinstance(record, _Request):
            groups.append([record])
        elif groups:
            groups[-1].append(record)
        else:
            raise ValueError(f"line {number}: the record belongs to no request")
    if not begun:
        raise ValueError("the file is empty")
    return tuple(map(_exchange, groups))


class _VersionError(ValueError):
    """The format has another version, the argument."""


def _check_first(record: _Record) -> None:
    if not isinstance(record, _Cassette):
        raise ValueError("line 1: kind must be 'cassette'")  # noqa: TRY004 - invalid file
    if record.version != _VERSION:
        raise _VersionError(record.version)


def _exchange(records: list[_Record]) -> Exchange:
    chunks: list[BodyChunk] = []
    request = head = end = None
    for record in records:
        match record:
            case _Request():
                request = Request(
                    method=record.method,
                    path=record.path,
                    headers=record.headers,
                    body=_as_bytes(record),
                    dropped=record.dropped,
                    at=record.at,
                    attempt=record.attempt,
                )
            case ResponseHead():
                head = record
            case _Chunk():
                chunks.append(BodyChunk(record.at, _as_bytes(record), record.dropped))
            case ExchangeEnd():
                end = record
            case _:
                pass  # a first line: two files were concatenated
    assert request is not None  # noqa: S101 - a group begins with one
    return Exchange(request, head, tuple(chunks), end)


class Cassette(Struct, frozen=True, repr_omit_defaults=True):
    """The exchanges of a call, in the order of their requests.

    The file format: docs/cassettes.md.
    """

    exchanges: tuple[Exchange, ...]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the cassette to *path*, atomically; a new file is readable for its owner only."""
        write(path, FIRST_LINE + as_lines(self.exchanges))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Load a cassette file.

        Raises:
            ConfigurationError: The file is not a cassette.
            OSError: The file cannot be read.
        """
        from pathlib import Path  # imported here: it takes 4 ms

        data = Path(path).read_bytes()
        try:
            return cls(read_lines(data))
        except _VersionError as error:
            failure = version_error("a cassette", path, int(error.args[0]), _VERSION)
        except ValueError as error:
            failure = file_error("a cassette", path, b"", error)
        raise failure

    def __repr__(self) -> str:
        return f"Cassette({len(self.exchanges)} exchanges)"
