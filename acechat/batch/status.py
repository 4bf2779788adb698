"""Read the state of a bulk run from its files: `check_rows`, `read_status` and `export`."""

from __future__ import annotations

import csv
import os
import shutil
from array import array
from collections.abc import Iterator
from importlib import import_module
from io import BufferedWriter, TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeAlias, cast

import msgspec

from acechat._media.image import image
from acechat.batch.report.timeline import LongRow, Timeline
from acechat.batch.results import BatchSummary, OutputLine
from acechat.batch.rows import Row, RowReader
from acechat.batch.sources import FileSource, locate
from acechat.batch.storage.files import read_states
from acechat.batch.storage.journal import DONE, FAILED, SENT, decode_header
from acechat.batch.storage.lines import (
    decode_line,
    journal_events,
    journal_of,
    open_file,
    output_lines,
)
from acechat.errors import ConfigurationError, JournalError
from acechat.types import TotalUsage, Usage

__all__ = [
    "COLUMNS",
    "ExportFormat",
    "check_rows",
    "export",
    "output_rows",
    "read_status",
    "table_path",
]

ExportFormat: TypeAlias = Literal["csv", "parquet", "text"]

COLUMNS: tuple[str, ...] = (
    "custom_id",
    "text",
    "output",
    "finish_reason",
    "model",
    "prompt_tokens",
    "completion_tokens",
    "error_code",
    "error_message",
    "trace_id",
)
_CHUNK = 1000


def check_rows(
    path: str | Path, template: str | None = None, image_field: str | None = None
) -> Iterator[Row]:
    """Read all rows of a file without sending any; those that cannot be sent have a *fault*.

    Args:
        path: The input, or ``"-"`` for standard input.
        template: As in `acechat.AsyncClient.batch`.
        image_field: As in `acechat.AsyncClient.batch`.

    Raises:
        ConfigurationError: The file cannot be read.
    """
    reader, source = RowReader(template, image_field=image_field), FileSource(path)
    for raw in source.read():
        row = reader.read(raw)
        try:
            for each in row.images:
                image(locate(each, source.folder))
        except ConfigurationError as error:
            row = msgspec.structs.replace(row, fault=str(error))
        yield row


def read_status(output: str | Path, timeline: Timeline | None = None) -> BatchSummary:
    """Return the figures of a run by its files; also while it is running.

    Args:
        output: Path of its output.
        timeline: Gets the figures over time; None if they are not needed.

    Raises:
        JournalError: There is no journal, or it is damaged.
        ConfigurationError: A file cannot be read.
    """
    path = Path(os.path.realpath(output))
    journal = journal_of(path)
    summary = BatchSummary()
    if not journal.exists():
        raise JournalError(f"no journal {journal}: is {path.name} the output of a batch?")
    if not path.exists():
        raise JournalError(f"{path} is missing, but its journal exists: restore the file")
    with journal.open("rb", buffering=0) as records, path.open("rb", buffering=0) as lines:
        states, _ = read_states(records, path.stat().st_size)
        for _, data in output_lines(lines, 0):
            line = decode_line(data)
            if line.row < 0:
                continue
            if states[line.row] not in (DONE, FAILED):  # its record is not written yet
                states.set(line.row, DONE if line.error is None else FAILED, 0)
            before = summary.usage
            if line.error is not None:
                error = line.error
                summary.add_error(error.code, error.message, error.trace_id, line.custom_id)
            if line.response is not None and line.response.body is not None:
                summary.usage = before.plus(_usage(line.response.body.usage))
            if timeline is not None:
                _add(timeline, line, before, summary.usage)
        if timeline is not None:
            records.seek(0)
            header = decode_header(records.read(2**24))
            for code, _, milliseconds in journal_events(records, header[1] if header else 0):
                timeline.event(code, milliseconds / 1000)
            timeline.end()
    summary.done, summary.failed = states.count(DONE), states.count(FAILED)
    summary.unknown = states.count(SENT)
    return summary


def _add(timeline: Timeline, line: OutputLine, before: TotalUsage, after: TotalUsage) -> None:
    """Add a row to *timeline*; its tokens and cost are those between *before* and *after*."""
    if line.started is None or line.seconds is None:
        return
    code = "" if line.error is None else line.error.code or "error"
    timeline.row(
        LongRow(line.seconds, line.row, line.custom_id or "", code),
        line.started,
        tokens=after.total_tokens - before.total_tokens,
        cost=float((after.cost or 0) - (before.cost or 0)),
    )


def _usage(fields: Any) -> Usage | None:
    try:
        return msgspec.convert(fields, Usage)
    except msgspec.ValidationError:
        return None


def table_path(output: str | Path, format: ExportFormat, source: str | Path | None = None) -> Path:  # noqa: A002 - the command's word
    """Return the path of the table of an output: *output* with the suffix of the format.

    Args:
        output: Path of the output.
        format: The format of the table.
        source: Path of the input, which must not be replaced; None if it is not known.

    Raises:
        ConfigurationError: The output or the input has this path, or pyarrow is not installed.
    """
    path = Path(output)
    target = path.with_suffix({"csv": ".csv", "parquet": ".parquet", "text": ".txt"}[format])
    if target == path:
        raise ConfigurationError(
            f"the output is JSON Lines: name it {path.stem}.jsonl; --format {format} writes "
            f"{target.name} beside it"
        )
    if source is not None and target.exists() and Path(source).exists() and target.samefile(source):
        raise ConfigurationError(
            f"--format {format} would replace the input {target}: give the output another name"
        )
    if format == "parquet":
        _arrow()
    return target


def export(output: str | Path, format: ExportFormat) -> Path:  # noqa: A002 - the command's word
    """Convert an output to a table in the order of the input, beside it.

    ``"text"`` writes the text of each row on one line, with escaped line ends, and an empty line
    for a row that failed. A new table is readable for its owner only.

    Returns:
        The path of the table.

    Raises:
        ConfigurationError: As `table_path`.
    """
    path = Path(output)
    target = table_path(path, format)
    temporary = target.with_name(f"{target.name}.new")
    rows = (columns for _, columns in output_rows(path))
    with BufferedWriter(open_file(temporary, os.O_TRUNC)) as file:
        if target.exists():
            shutil.copymode(target, temporary)
        if format == "parquet":
            _write_parquet(file, rows)
        else:
            _write_text(file, rows, format)
    temporary.replace(os.path.realpath(target))  # a link stays one
    return target


def _write_text(file: BinaryIO, rows: Iterator[dict[str, Any]], format: str) -> None:  # noqa: A002 - as above
    with TextIOWrapper(file, encoding="utf-8", errors="backslashreplace", newline="") as text:
        if format == "csv":
            writer = csv.DictWriter(text, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
        else:
            text.writelines(f"{_escaped(row['text'] or '')}\n" for row in rows)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")


def output_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the number and the columns of each row of an output, in the order of the input."""
    offsets: array[int] = array("Q")  # offset + 1 by row
    with path.open("rb", buffering=0) as file:
        for offset, data in output_lines(file, 0):
            row = decode_line(data).row
            if row >= len(offsets):
                offsets.frombytes(bytes(8 * (row + 1 - len(offsets))))
            if row >= 0:
                offsets[row] = offset + 1
    with path.open("rb") as file:
        for row, offset in enumerate(offsets):
            if offset:
                file.seek(offset - 1)
                yield row, _columns(msgspec.json.decode(file.readline()))


def _columns(line: dict[str, Any]) -> dict[str, Any]:
    body = _field(_field(line, "response"), "body")
    choices = body.get("choices")
    choice = cast("dict[str, Any]", choices[0]) if choices else {}
    usage, error = _field(body, "usage"), _field(line, "error")
    value = line.get("output")
    return {
        "custom_id": line.get("custom_id"),
        "text": _field(choice, "message").get("content"),
        "output": None if value is None else msgspec.json.encode(value).decode(),
        "finish_reason": choice.get("finish_reason"),
        "model": body.get("model"),
        "prompt_tokens": usage.get("prompt_tokens"),
        "completion_tokens": usage.get("completion_tokens"),
        "error_code": error.get("code"),
        "error_message": error.get("message"),
        "trace_id": error.get("trace_id") or _field(line, "response").get("request_id"),
    }


def _field(value: dict[str, Any], name: str) -> dict[str, Any]:
    found = value.get(name)
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _arrow() -> tuple[Any, Any]:
    """Import pyarrow and its module for Parquet.

    Raises:
        ConfigurationError: It is not installed.
    """
    try:
        arrow: Any = import_module("pyarrow")
        parquet: Any = import_module("pyarrow.parquet")
    except ImportError:
        arrow = parquet = None
    if arrow is None:
        raise ConfigurationError("Parquet needs pyarrow: python -m pip install 'acechat[batch]'")
    return arrow, parquet


def _write_parquet(file: BinaryIO, rows: Iterator[dict[str, Any]]) -> None:
    arrow, parquet = _arrow()
    numbers = {"prompt_tokens", "completion_tokens"}
    schema = arrow.schema(
        [(name, arrow.int64() if name in numbers else arrow.string()) for name in COLUMNS]
    )
    with parquet.ParquetWriter(file, schema) as writer:
        while chunk := list(islice(rows, _CHUNK)):
            writer.write_table(arrow.Table.from_pylist(chunk, schema))
