"""The files of the input of a run on many machines, compared with those of its first start."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from acechat.batch.storage.lines import open_file
from acechat.errors import JournalError

__all__ = ["InputFile", "check_files", "load_files", "save_files"]

_NAME = "input.json"


class InputFile(Struct, frozen=True):
    """One file of an input."""

    name: str
    rows: int
    check: int
    """Checksum of the footer, which holds the positions and the smallest and largest values of all
    columns."""


def check_files(before: list[InputFile], now: list[InputFile]) -> None:
    """Compare the files of the first start with those of this one; more may follow.

    Raises:
        JournalError: A file has changed, or is missing.
    """
    for number, file in enumerate(before):
        found = now[number] if number < len(now) else None
        if found != file:
            other = "nothing" if found is None else f"{found.name} with {found.rows:,} rows"
            change = "has changed" if found and found.name == file.name else f"is now {other}"
            raise JournalError(
                f"file {number + 1} of the input, {file.name} with {file.rows:,} rows, {change} "
                "since the first start: restore the input, or use another output. New files must "
                "follow the others in order of their names"
            )


def load_files(folder: Path) -> list[InputFile]:
    """Return the files that a run in *folder* has begun with; none for a new one."""
    try:
        return msgspec.json.decode((folder / _NAME).read_bytes(), type=list[InputFile])
    except FileNotFoundError:
        return []


def save_files(folder: Path, files: list[InputFile]) -> None:
    """Keep the files for the next start."""
    new = folder / f"{_NAME}.new"
    with open_file(new, 0) as file:
        file.truncate(0)
        file.write(msgspec.json.encode(files))
    new.replace(folder / _NAME)
