"""Cassettes: exchanges in a file, one JSON object per line."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Self, TypeAlias

import msgspec
from msgspec import Struct

from acechat._record.exchange import BodyChunk, Exchange, ExchangeEnd, Request, ResponseHead
from acechat.errors import ConfigurationError

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


class _Piece(Struct, kw_only=True, tag_field="kind", tag="piece", omit_defaults=True):
    at: float
    dropped: int = 0
    text: str | None = None
    base64: bytes | None = None


_Record: TypeAlias = _Cassette | _Request | ResponseHead | _Piece | ExchangeEnd


_encode = msgspec.json.Encoder().encode


_decode = msgspec.json.Decoder(_Record).decode


def as_lines(exchanges: Iterable[Exchange]) -> bytes:
    """Write *exchanges*, without the first line of a cassette."""
    return b"".join(_encode(record) + b"\n" for one in exchanges for record in _records(one))


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
    for piece in exchange.pieces:
        text, base64 = _as_text(piece.data)
        yield _Piece(at=piece.at, text=text, base64=base64, dropped=piece.dropped)
    if exchange.end is not None:
        yield exchange.end


def _as_text(data: bytes) -> tuple[str | None, bytes | None]:
    try:
        return data.decode(), None
    except UnicodeDecodeError:
        return None, data


def _as_bytes(record: _Request | _Piece) -> bytes:
    return (record.text or "").encode() if record.base64 is None else record.base64


def read_lines(data: bytes) -> tuple[Exchange, ...]:
    """Read a whole cassette.

    Raises:
        ValueError: It is none, or one of a later version.
    """
    groups: list[list[_Record]] = []  # each begins with its request
    begun = False
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            record = _decode(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"line {number}: {error}") from None
        if not begun:
            _check_first(record)
            begun = True
        elif isinstance(record, _Request):
            groups.append([record])
        elif groups:
            groups[-1].append(record)
        else:
            raise ValueError(f"line {number}: it belongs to no request")
    if not begun:
        raise ValueError("it is empty")
    return tuple(map(_exchange, groups))


def _check_first(record: _Record) -> None:
    if not isinstance(record, _Cassette):
        raise ValueError("line 1: it must be of the kind 'cassette'")  # noqa: TRY004 - of the file
    if record.version != _VERSION:
        raise ValueError(f"the format's version is {record.version}, acechat reads {_VERSION}")


def _exchange(records: list[_Record]) -> Exchange:
    pieces: list[BodyChunk] = []
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
            case _Piece():
                pieces.append(BodyChunk(record.at, _as_bytes(record), record.dropped))
            case ExchangeEnd():
                end = record
            case _:
                pass  # a head: two files were put together
    assert request is not None  # noqa: S101 - a group begins with one
    return Exchange(request, head, tuple(pieces), end)


class Cassette(Struct, frozen=True, repr_omit_defaults=True):
    """What went over the wire, in the order of its requests; docs/cassettes.md has the format."""

    exchanges: tuple[Exchange, ...]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to a file that only its owner may read; a crash leaves the old file or this."""
        from pathlib import Path  # it takes 4 ms to import

        target = Path(path)
        draft = target.with_name(f"{target.name}.{os.getpid()}.tmp")
        try:
            draft.touch(mode=0o600)
            draft.write_bytes(FIRST_LINE + as_lines(self.exchanges))
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote.

        Raises:
            ConfigurationError: The file holds no cassette.
            OSError: It cannot be read.
        """
        from pathlib import Path

        try:
            return cls(read_lines(Path(path).read_bytes()))
        except ValueError as error:
            raise ConfigurationError(f"{str(path)!r} holds no cassette: {error}") from None

    def __repr__(self) -> str:
        return f"Cassette({len(self.exchanges)} exchanges)"
