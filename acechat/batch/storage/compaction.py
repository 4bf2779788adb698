"""Rewrite the output and the journal without failed rows, safe against a crash at any moment."""

from __future__ import annotations

import os
import shutil
from io import BufferedWriter, FileIO
from pathlib import Path

from acechat.batch.storage.journal import (
    DONE,
    FAILED,
    RELEASED,
    SENT,
    UNSENT,
    RowStates,
    decode_header,
    encode_event,
    encode_header,
    encode_record,
)
from acechat.batch.storage.lines import decode_line, journal_events, open_file, output_lines
from acechat.batch.storage.locking import lock

__all__ = ["compact", "compacted", "finish_compaction"]

_BUFFER = 2**20


def compact(
    output: FileIO,
    journal: FileIO,
    output_path: Path,
    journal_path: Path,
    states: RowStates,
    *,
    keep_billed: bool,
) -> int:
    """Replace both files by ones without the failed rows; return the size of the output.

    With *keep_billed*, rows that may have been charged stay. The others are unsent in *states*.
    The journal is replaced after the output: `finish_compaction` does that after a crash between.
    """
    new_output, new_journal = compacted(output_path), compacted(journal_path)
    journal.seek(0)
    head = decode_header(journal.read(2**24))
    size = 0
    with (
        open_file(new_output, os.O_EXCL) as output_file,
        open_file(new_journal, os.O_EXCL) as journal_file,
    ):
        lock(journal_file, new_journal)
        lines, records = BufferedWriter(output_file, _BUFFER), BufferedWriter(journal_file, _BUFFER)
        records.write(encode_header(head[0].options if head else {}))
        for event in journal_events(journal, head[1] if head else 0):
            records.write(encode_event(*event))
        for _, data in output_lines(output, 0):
            line = decode_line(data)
            row = line.row
            if row >= 0 and states[row] == FAILED:
                billed = line.error is not None and line.error.may_be_billed
                if not (billed and keep_billed):
                    states.set(row, UNSENT, 0)
                    continue
            lines.write(data)
            if row >= 0:
                kind = FAILED if states[row] == FAILED else DONE
                records.write(encode_record(kind, row, states.content(row), size, len(data)))
            size += len(data)
        row = states.find(SENT)
        while row >= 0:
            records.write(encode_record(SENT, row, states.content(row)))
            row = states.find(SENT, row + 1)
        if states.rows and states[states.rows - 1] == UNSENT:  # the number of rows stays known
            records.write(encode_record(RELEASED, states.rows - 1, 0))
        for buffered in (lines, records):
            buffered.flush()
            os.fsync(buffered.fileno())
        shutil.copymode(output_path, new_output)
        new_output.replace(output_path)
        new_journal.replace(journal_path)
    return size


def finish_compaction(output_path: Path, journal_path: Path) -> bool:
    """Complete or undo a compaction that was killed; return True if the journal was replaced."""
    new_output, new_journal = compacted(output_path), compacted(journal_path)
    if new_output.exists():  # nothing was replaced, and both are perhaps incomplete
        new_output.unlink()
        new_journal.unlink(missing_ok=True)
    elif new_journal.exists():  # the output was replaced
        new_journal.replace(journal_path)
        return True
    return False


def compacted(path: Path) -> Path:
    """Return the path of the file that replaces *path*."""
    return path.with_name(f"{path.name}.new")
