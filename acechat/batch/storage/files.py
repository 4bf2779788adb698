"""The output and the journal of a bulk run: locked, appended, synced and repaired.

Lines are appended in the event loop, because a request must not leave before its record is written;
that copies some bytes to the page cache. Reading, syncing and compacting run in a thread.
"""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any

from acechat.batch.plan import check_options
from acechat.batch.storage.compaction import compact, finish_compaction
from acechat.batch.storage.journal import (
    DONE,
    FAILED,
    RECORD_SIZE,
    RELEASED,
    SENT,
    RowStates,
    decode_header,
    encode_event,
    encode_header,
    encode_record,
    holds_record,
)
from acechat.batch.storage.lines import (
    append,
    blocks,
    decode_line,
    journal_of,
    open_file,
    output_lines,
)
from acechat.batch.storage.locking import lock
from acechat.errors import JournalError

__all__ = ["BatchFiles", "read_states"]

_BLOCK = RECORD_SIZE * 2**15
"""Bytes of the journal that are read at a time."""

_FREE = 64 * 2**20
"""Bytes that must be free on the disk: they hold the results of the requests that are running."""


class BatchFiles:
    """The output and the journal of one run.

    Args:
        output: Path of the output.
        options: The options that change requests.

    Attributes:
        states: The states of the rows, as of the start.

    Raises:
        JournalError: The files do not match each other or the options, or another process uses
            them.
        OSError: A file cannot be opened.
    """

    def __init__(self, output: str | Path, options: dict[str, Any]) -> None:
        self._output_size = self._journal_size = 0
        self._records = bytearray()
        # a link stays one: its target is replaced
        self.path: Path = Path(os.path.realpath(output))
        self.journal_path: Path = journal_of(self.path)
        self._dirty = False
        self._opened: list[FileIO] = []
        new = not self.journal_path.exists()
        self._check_new(new=new)
        try:
            self._journal = self._open(self.journal_path)
            lock(self._journal, self.journal_path)
            if finish_compaction(self.path, self.journal_path):
                self.close()
                self._journal = self._open(self.journal_path)
                lock(self._journal, self.journal_path)
            self._output = self._open(self.path)
            self.states: RowStates = self._load(options)
        except BaseException:
            self.close()
            raise

    def _check_new(self, *, new: bool) -> None:
        for path in (self.path, self.journal_path):
            if path.exists() and not path.is_file():  # before either is created
                raise JournalError(f"{path} is not a regular file")
        exists = self.path.exists()
        if new and exists and self.path.stat().st_size:
            raise JournalError(
                f"{self.path} exists, but not its journal {self.journal_path.name}: "
                "choose another output, or remove the file"
            )
        if not new and not exists and _has_records(self.journal_path):
            raise JournalError(
                f"{self.path} is missing, but its journal lists rows that were sent: restore the "
                f"file, or remove {self.journal_path} to send all rows again"
            )

    def _open(self, path: Path) -> FileIO:
        file = open_file(path, os.O_APPEND)
        self._opened.append(file)
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise JournalError(f"{path} is not a regular file")
        return file

    def _load(self, options: dict[str, Any]) -> RowStates:
        """Read the journal, and repair the tails of both files."""
        self._output_size = self._repair_output()
        states, end = read_states(self._journal, self._output_size)
        if end == 0:
            if self._output_size:
                raise JournalError(f"{self.journal_path} is damaged: it has no header")
            self._journal.truncate(0)
            append(self._journal, encode_header(options))
            os.fsync(self._journal.fileno())
        else:
            self._journal.seek(0)
            found = decode_header(self._journal.read(end))
            check_options(found[0].options if found else {}, options)
            self._journal.truncate(end)
        self._journal_size = self._journal.seek(0, os.SEEK_END)
        for offset, data in output_lines(self._output, states.output_end):
            row = decode_line(data).row
            if row >= 0 and states[row] not in (DONE, FAILED):  # its record was lost
                kind = FAILED if decode_line(data).error is not None else DONE
                content = states.content(row)
                self._records += encode_record(kind, row, content, offset, len(data))
                states.set(row, kind, content)
        self.flush()
        return states

    def _repair_output(self) -> int:
        """Remove a torn line at the end of the output, or add its line end; return the size."""
        size = self._output.seek(0, os.SEEK_END)
        start, tail = size, b""
        while start and b"\n" not in tail:
            step = min(start, 2**16)
            start -= step
            self._output.seek(start)
            tail = self._output.read(step) + tail
        end = start + tail.rfind(b"\n") + 1
        if end == size:
            return size
        if decode_line(tail[tail.rfind(b"\n") + 1 :]).row >= 0:  # only its line end is missing
            append(self._output, b"\n")
            return size + 1
        self._output.truncate(end)
        return end

    def sent(self, row: int, content: int) -> None:
        """Record that a request of *row* is about to leave. It must not before `flush`."""
        self._records += encode_record(SENT, row, content)

    def released(self, row: int, content: int) -> None:
        """Record that the service refused the request of *row*, without a charge."""
        self._records += encode_record(RELEASED, row, content)

    def event(self, code: int, row: int, milliseconds: int) -> None:
        """Record an event, for the report; the arguments are those of `encode_event`."""
        self._records += encode_event(code, row, milliseconds)

    def finished(self, row: int, content: int, line: bytes, *, failed: bool) -> None:
        """Append the *line* of a row to the output, and record it.

        The line alone proves that the row is done, so its record waits for the next `flush`.
        """
        offset = self._output_size
        try:
            append(self._output, line)
        except OSError:
            with suppress(OSError):  # no torn line stays behind
                self._output.truncate(offset)
            raise
        self._output_size += len(line)
        self._records += encode_record(FAILED if failed else DONE, row, content, offset, len(line))

    def flush(self) -> None:
        """Append the records to the journal; those that cannot be written stay for the next try."""
        records = self._records
        if not records:
            return
        try:
            append(self._journal, records)
        except OSError:
            with suppress(OSError):
                self._journal.truncate(self._journal_size)
            raise
        self._journal_size += len(records)
        self._records = bytearray()
        self._dirty = True

    def sync(self) -> None:
        """Write both files to the disk, in a thread.

        The output comes first: a line may lack its record, but not the reverse.

        Raises:
            OSError: The disk reports an error.
        """
        if self._dirty:
            self._dirty = False
            os.fsync(self._output.fileno())
            os.fsync(self._journal.fileno())

    def check(self) -> str:
        """Return why the run must stop: a file was deleted, or the disk is nearly full; else ""."""
        for file, path in self._named():
            if os.fstat(file.fileno()).st_nlink == 0:
                return f"{path} was deleted during the run, and is written again"
        if shutil.disk_usage(self.path.parent).free < _FREE:
            return f"the disk of {self.path.parent} is full"
        return ""

    def restore(self) -> None:
        """Write files that were deleted during the run again, from what the system still has.

        Raises:
            OSError: There is another file of this name, or no room.
        """
        for file, path in self._named():
            if os.fstat(file.fileno()).st_nlink == 0:
                with open_file(path, os.O_EXCL) as copy:
                    for block in blocks(file):
                        append(copy, block)
                    os.fsync(copy.fileno())

    def _named(self) -> list[tuple[FileIO, Path]]:
        return [(self._output, self.path), (self._journal, self.journal_path)]

    def drop_failed(self, *, keep_billed: bool = False) -> None:
        """Remove the lines of failed rows, which become unsent, from the output.

        Args:
            keep_billed: Whether those stay that may have been charged.
        """
        paths = self.path, self.journal_path
        end = compact(self._output, self._journal, *paths, self.states, keep_billed=keep_billed)
        self.close()
        self._journal, self._output = self._open(self.journal_path), self._open(self.path)
        lock(self._journal, self.journal_path)
        self._output_size = end
        self._journal_size = self._journal.seek(0, os.SEEK_END)

    def close(self) -> None:
        """Close the files, and release the lock."""
        opened, self._opened = self._opened, []
        for file in opened:
            file.close()


def _has_records(path: Path) -> bool:
    with path.open("rb") as file:
        return path.stat().st_size > len(file.readline(2**24))


def read_states(journal: FileIO, output_size: int) -> tuple[RowStates, int]:
    """Read a journal.

    Returns:
        The states of the rows, and the end of the last valid record; 0 if not even the header is.

    Raises:
        JournalError: The file is not a journal, or damaged before its end.
    """
    journal.seek(0)
    states = RowStates()
    found = decode_header(journal.read(2**24))
    if found is None:
        return states, 0
    end = found[1]
    journal.seek(end)
    rest = b""
    while block := journal.read(_BLOCK):
        data = rest + block
        used = states.load(data, output_size)
        end += used
        rest = data[used:]
        if len(rest) >= RECORD_SIZE:  # a damaged record: the tail, or is there more?
            if holds_record(rest + journal.read()):
                raise JournalError(f"the journal is damaged at byte {end}: restore a copy of it")
            break
    return states, end
