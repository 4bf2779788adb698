"""The journal of a bulk run: its binary records, and the state of each row. No I/O."""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Iterator
from struct import Struct as Layout
from typing import Any, Final

import msgspec
from msgspec import Struct

from acechat.errors import JournalError

__all__ = [
    "DONE",
    "EVENT",
    "FAILED",
    "RECORD_SIZE",
    "RELEASED",
    "SENT",
    "UNSENT",
    "Header",
    "RowStates",
    "decode_header",
    "encode_event",
    "encode_header",
    "encode_record",
    "events",
    "holds_record",
]

UNSENT: Final = 0
"""State of a row without a record, or whose last record is `RELEASED`."""

SENT: Final = 1
"""A request of the row is about to leave. Without a later record, its result is unknown."""

DONE: Final = 2
"""The row's line with the response stands in the output."""

FAILED: Final = 3
"""The row's line with its error stands in the output."""

RELEASED: Final = 4
"""The service refused the request without charging for it: the row is unsent again."""

EVENT: Final = 5
"""Something that happened during the run, for its report; no state depends on it."""

_FORMAT = "acechat-batch-journal"
_VERSION = 1
_LONGEST_HEADER = 2**24

# check, kind, reserved, content, row, offset, length: little-endian, without padding
_FIELDS = Layout("<BBIIQI")
_RECORD = Layout("<HBBIIQI")
RECORD_SIZE: Final = _RECORD.size
"""Bytes of one record: 24."""

_MOST_ROWS = 2**32 - 1


class Header(Struct, frozen=True, kw_only=True):
    """The first line of a journal, as JSON."""

    format: str = _FORMAT
    version: int = _VERSION

    options: dict[str, Any] = {}
    """All options that change the requests. A restart with others is refused."""


def encode_header(options: dict[str, Any]) -> bytes:
    """Return the first line of a journal, line end included."""
    return msgspec.json.encode(Header(options=options)) + b"\n"


def decode_header(data: bytes) -> tuple[Header, int] | None:
    """Read the header at the begin of *data*.

    Returns:
        The header and its length in bytes; None if *data* is a torn header.

    Raises:
        JournalError: *data* is not a journal, or of a newer version.
    """
    line, end, _ = data.partition(b"\n")
    if not end:
        if len(data) > _LONGEST_HEADER or not _FORMAT_START.startswith(data[: len(_FORMAT_START)]):
            raise JournalError("the file is not a journal of acechat batch")
        return None
    try:
        header = msgspec.json.decode(line, type=Header)
    except (msgspec.DecodeError, UnicodeError):
        header = None
    if header is None or header.format != _FORMAT:
        raise JournalError("the file is not a journal of acechat batch")
    if header.version != _VERSION:
        raise JournalError(f"the journal has version {header.version}; update acechat")
    return header, len(line) + 1


_FORMAT_START = f'{{"format":"{_FORMAT}"'.encode()


def encode_record(kind: int, row: int, content: int, offset: int = 0, length: int = 0) -> bytes:
    """Return one record.

    Args:
        kind: `SENT`, `DONE`, `FAILED` or `RELEASED`.
        row: Number of the row, from 0.
        content: Checksum of the row as it was read.
        offset: Position of the row's line in the output, in bytes; 0 unless done or failed.
        length: Length of that line, line end included.
    """
    fields = _FIELDS.pack(kind, 0, content, row, offset, length)
    return (zlib.crc32(fields) & 0xFFFF).to_bytes(2, "little") + fields


def encode_event(code: int, row: int, milliseconds: int) -> bytes:
    """Return the record of an event.

    Args:
        code: One of `acechat.batch.report.events`.
        row: Number of the row that it concerns; 0 if it concerns none.
        milliseconds: Its time, since 1970.
    """
    return encode_record(EVENT, row, code, milliseconds)


def events(records: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield the code, row and time of the events among complete *records*."""
    for at in range(0, len(records) - RECORD_SIZE + 1, RECORD_SIZE):
        if records[at + 2] == EVENT:
            record = records[at : at + RECORD_SIZE]
            check, _, _, code, row, milliseconds, _ = _RECORD.unpack(record)
            if zlib.crc32(record[2:]) & 0xFFFF == check:
                yield code, row, milliseconds


class RowStates:
    """State and content checksum of each row, in 5 bytes a row.

    Attributes:
        rows: Number of rows with a record, or before one: the highest row number + 1.
        output_end: End of the last line that a record describes, in bytes.
    """

    def __init__(self) -> None:
        self.rows: int = 0
        self.output_end: int = 0
        self._states = bytearray()
        self._contents: array[int] = array("I")

    def __getitem__(self, row: int) -> int:
        return self._states[row] if row < self.rows else UNSENT

    def content(self, row: int) -> int:
        """Return the checksum of *row* at its last record; 0 without one."""
        return self._contents[row] if row < self.rows else 0

    def set(self, row: int, state: int, content: int) -> None:
        """Set the state and the checksum of *row*; `RELEASED` means `UNSENT`.

        Raises:
            JournalError: The format has no room for so many rows.
        """
        if row >= self.rows:
            if row >= _MOST_ROWS:
                raise JournalError(f"a batch has at most {_MOST_ROWS:,} rows: split the input")
            missing = row + 1 - self.rows
            self._states.extend(bytes(missing))
            self._contents.frombytes(bytes(missing * self._contents.itemsize))
            self.rows = row + 1
        self._states[row] = UNSENT if state == RELEASED else state
        self._contents[row] = content

    def count(self, state: int) -> int:
        """Return the number of rows in *state*, among those up to the last one with a record."""
        return self._states.count(state)

    def find(self, state: int, start: int = 0) -> int:
        """Return the first row from *start* on that is in *state*; -1 if there is none."""
        return self._states.find(state, start)

    def load(self, data: bytes, output_size: int) -> int:
        """Apply the records of *data*, up to the first one that is damaged.

        A done or failed row whose line ends after *output_size* has lost it: it is unknown again.

        Returns:
            The number of bytes applied; less than *data* has if a record is damaged or torn.

        Raises:
            JournalError: A record describes an impossible row.
        """
        whole = len(data) - len(data) % RECORD_SIZE
        position = 0
        for check, kind, _, content, row, offset, length in _RECORD.iter_unpack(data[:whole]):
            if zlib.crc32(data[position + 2 : position + RECORD_SIZE]) & 0xFFFF != check:
                break
            position += RECORD_SIZE
            state = kind
            if kind == DONE or kind == FAILED:  # noqa: PLR1714, SIM109 - faster, for 10**6 rows
                if offset + length > output_size:
                    state = SENT
                elif offset + length > self.output_end:
                    self.output_end = offset + length
            elif not SENT <= kind <= RELEASED:
                if kind == EVENT:
                    continue
                raise JournalError(f"unknown kind of record: {kind}")
            if row < self.rows:
                self._states[row] = state if state != RELEASED else UNSENT
                self._contents[row] = content
            else:
                self.set(row, state, content)
        return position


def holds_record(data: bytes) -> bool:
    """Return True if any aligned part of *data* is a valid record: it is not a torn tail."""
    return any(
        zlib.crc32(data[at + 2 : at + RECORD_SIZE]) & 0xFFFF
        == int.from_bytes(data[at : at + 2], "little")
        and SENT <= data[at + 2] <= EVENT
        for at in range(0, len(data) - RECORD_SIZE + 1, RECORD_SIZE)
    )
