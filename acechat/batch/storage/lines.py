"""Files that are appended, and the lines of an output."""

from __future__ import annotations

import os
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

import msgspec

from acechat.batch.results import OutputLine
from acechat.batch.storage.journal import RECORD_SIZE, events

__all__ = [
    "append",
    "blocks",
    "decode_line",
    "journal_events",
    "journal_of",
    "open_file",
    "output_lines",
]

_PRIVATE = 0o600


def journal_of(output: Path) -> Path:
    """Return the path of the journal of *output*."""
    return output.with_name(f"{output.name}.journal")


def open_file(path: Path, flags: int) -> FileIO:
    """Open *path* for reading and writing; a new file is private."""
    flags |= os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
    return FileIO(os.open(path, flags, _PRIVATE), "r+b")


def append(file: FileIO, data: bytes | bytearray) -> None:
    """Write all of *data*."""
    written = file.write(data)
    while written < len(data):
        written += file.write(data[written:])


def blocks(file: FileIO) -> Iterator[bytes]:
    """Yield the content of *file*."""
    file.seek(0)
    while block := file.read(2**20):
        yield block


def journal_events(journal: FileIO, start: int) -> Iterator[tuple[int, int, int]]:
    """Yield the code, row and time of the events of a journal whose header ends at *start*."""
    journal.seek(start)
    rest = b""
    while block := journal.read(2**20):
        data = rest + block
        end = len(data) - len(data) % RECORD_SIZE
        yield from events(data[:end])
        rest = data[end:]


def output_lines(output: FileIO, start: int) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of an output from byte *start* on, each with its offset."""
    output.seek(start)
    offset, rest = start, b""
    while block := output.read(2**20):
        lines = (rest + block).split(b"\n")
        rest = lines.pop()
        for line in lines:
            yield offset, line + b"\n"
            offset += len(line) + 1


def decode_line(data: bytes) -> OutputLine:
    """Return a line of an output; an empty one if it is something else."""
    try:
        return msgspec.json.decode(data, type=OutputLine)
    except (msgspec.DecodeError, UnicodeError):
        return OutputLine()
