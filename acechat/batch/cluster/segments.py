"""Segments: the output and the journal of each block of rows, in one folder for all machines."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar, cast

from msgspec import Struct

from acechat.batch.plan import check_options
from acechat.batch.results import BatchSummary
from acechat.batch.status import read_status
from acechat.batch.storage.files import BatchFiles, read_states
from acechat.batch.storage.journal import DONE, FAILED, SENT, RowStates, decode_header
from acechat.batch.storage.lines import journal_of
from acechat.batch.storage.locking import LockedError
from acechat.errors import ConfigurationError
from acechat.types import TotalUsage

__all__ = [
    "PATIENCE",
    "Segment",
    "as_ids",
    "digest",
    "folder_status",
    "is_folder",
    "read_segments",
    "segment_options",
    "segment_path",
    "segments",
    "split",
    "states_of",
    "unlocked",
]

_T = TypeVar("_T")

_FOLDER = "segments"
_IDS = "custom_ids"
"""The option of a segment's journal that holds the ids of its rows."""

PATIENCE = 30.0
"""Seconds to wait for the lock of a segment: a killed worker holds it for a moment."""


class Segment(Struct, frozen=True, kw_only=True):
    """The digests of the rows of one or more segments, by the state of the rows."""

    done: bytes = b""
    failed: bytes = b""
    unknown: bytes = b""

    @staticmethod
    def of(ids: Iterable[str], states: RowStates) -> Segment:
        """Return the rows of one segment."""
        found: dict[int, list[bytes]] = {DONE: [], FAILED: [], SENT: []}
        for row, row_id in enumerate(ids):
            if (state := states[row]) in found:
                found[state].append(digest(row_id))
        done, failed, unknown = (b"".join(each) for each in found.values())
        return Segment(done=done, failed=failed, unknown=unknown)

    @staticmethod
    def joined(parts: Iterable[Segment]) -> Segment:
        """Return all of them as one."""
        found = list(parts)
        return Segment(
            done=b"".join(each.done for each in found),
            failed=b"".join(each.failed for each in found),
            unknown=b"".join(each.unknown for each in found),
        )

    def unknown_only(self) -> set[bytes]:
        """Return the digests of the rows that were sent, and have a result in no segment."""
        unknown = set(split(self.unknown))
        if unknown:
            unknown.difference_update(split(self.done), split(self.failed))
        return unknown


def split(digests: bytes) -> Iterator[bytes]:
    """Yield each digest."""
    return (digests[at : at + 16] for at in range(0, len(digests), 16))


def digest(row_id: str) -> bytes:
    """Return the 16 bytes by which finished rows are found."""
    return blake2b(row_id.encode(errors="surrogatepass"), digest_size=16).digest()


def as_ids(values: Iterable[object]) -> list[str]:
    """Return the ids of rows, from their column ``custom_id`` or ``id``.

    Raises:
        ConfigurationError: A row has none.
    """
    ids: list[str] = []
    for value in values:
        valid = isinstance(value, str | int) and not isinstance(value, bool) and value != ""
        if not valid:
            raise ConfigurationError(
                f"the id of each row must be text or an integer, not {value!r}: without an id, a "
                "restart cannot find the rows that are done"
            )
        ids.append(str(value))
    return ids


def segment_path(folder: Path, ids: Iterable[str]) -> Path:
    """Return the path of the segment of a block: the same rows have the same one."""
    key = blake2b(b"".join(map(digest, ids)), digest_size=16).hexdigest()
    return folder / _FOLDER / key[:2] / f"{key}.jsonl"


def segment_options(options: dict[str, Any], ids: list[str]) -> dict[str, Any]:
    """Return the options for the journal of a segment."""
    return {**options, _IDS: ids}


def segments(folder: Path) -> list[Path]:
    """Return the outputs of all segments that have a journal."""
    return sorted(
        path.with_name(path.name.removesuffix(".journal"))
        for path in (folder / _FOLDER).glob("*/*.jsonl.journal")
    )


def is_folder(output: str | Path) -> bool:
    """Return True if *output* is the folder of a run on many machines."""
    return (Path(output) / _FOLDER).is_dir()


def _open(path: Path, options: dict[str, Any] | None) -> tuple[BatchFiles, list[str]] | None:
    """Open, lock and repair a segment of an earlier start.

    Returns:
        Its files and the ids of its rows; None if nothing was sent for it.

    Raises:
        JournalError: Its options are not *options*, or it is damaged.
    """
    with journal_of(path).open("rb") as file:
        header = decode_header(file.read(2**24))
    if header is None:  # killed before its first row
        return None
    known = header[0].options
    ids = cast("list[str]", known.get(_IDS, []))
    if options is not None:
        check_options({name: value for name, value in known.items() if name != _IDS}, options)
    return unlocked(lambda: BatchFiles(path, known)), ids


def unlocked(function: Callable[[], _T]) -> _T:
    """Return the result of *function*, which opens a segment, when no other process uses it.

    Raises:
        JournalError: Another process has used it for too long.
    """
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return function()
        except LockedError:
            if time.monotonic() > end:
                raise
        time.sleep(0.1)


def read_segments(
    paths: Iterable[Path],
    options: dict[str, Any] | None,
    *,
    retry_failed: bool = False,
    keep_billed: bool = False,
) -> Segment:
    """Repair segments of earlier starts, and return the states of their rows.

    Args:
        paths: Their outputs.
        options: The options of this start; None if they are not compared.
        retry_failed: Whether failed rows are removed, so that they are sent again.
        keep_billed: Whether those stay that may have been charged.

    Raises:
        JournalError: The options differ, or a segment is damaged or in use.
    """
    found: list[Segment] = []
    for path in paths:
        opened = _open(path, options)
        if opened is None:
            continue
        files, ids = opened
        try:
            if retry_failed and files.states.count(FAILED):
                files.drop_failed(keep_billed=keep_billed)
            found.append(Segment.of(ids, files.states))
        finally:
            files.close()
    return Segment.joined(found)


def folder_status(output: str | Path) -> BatchSummary:
    """Return the figures of a run on many machines, by its segments; also while it is running.

    Raises:
        JournalError: A segment is damaged.
    """
    total, parts = BatchSummary(), list[Segment]()
    for path in segments(Path(output)):
        with suppress(FileNotFoundError):  # it is being made
            _add(total, read_status(path))
            parts.append(states_of([path]))
    rows = Segment.joined(parts)
    total.unknown = len(rows.unknown_only())
    return total


def states_of(paths: Iterable[Path]) -> Segment:
    """Return the states of the rows of segments, which may be in use."""
    found: list[Segment] = []
    for path in paths:
        with journal_of(path).open("rb", buffering=0) as journal:
            header = decode_header(journal.read(2**24))
            states, _ = read_states(journal, path.stat().st_size)
        if header is not None:
            found.append(Segment.of(header[0].options.get(_IDS, []), states))
    return Segment.joined(found)


def _at(values: list[str], number: int) -> str | None:
    return values[number] if number < len(values) else None


def _add(total: BatchSummary, part: BatchSummary) -> None:
    for code, count in part.errors.items():
        for number in range(count.rows):
            total.add_error(
                code, count.message, _at(count.trace_ids, number), _at(count.custom_ids, number)
            )
    total.done += part.done
    total.failed += part.failed
    one, other = total.usage, part.usage
    total.usage = TotalUsage(
        calls=one.calls + other.calls,
        prompt_tokens=one.prompt_tokens + other.prompt_tokens,
        completion_tokens=one.completion_tokens + other.completion_tokens,
        total_tokens=one.total_tokens + other.total_tokens,
        cost=other.cost if one.cost is None else one.cost + (other.cost or 0),
        currency=one.currency or other.currency,
        uncounted=one.uncounted + other.uncounted,
        unpriced=one.unpriced + other.unpriced,
    )
