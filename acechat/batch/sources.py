"""Inputs of a bulk run: files, standard input, and iterables. Files are read in a thread."""

from __future__ import annotations

import asyncio
import csv
import io
import re
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
)
from contextlib import aclosing
from importlib import import_module
from itertools import count, islice
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias, TypeVar, cast

import msgspec

from acechat._wire.encode import encode
from acechat._wire.messages import Content, user_message
from acechat.batch.inputs.piped import piped_lines, standard_input
from acechat.batch.rows import RawRow
from acechat.errors import ConfigurationError
from acechat.types import MessageLike

__all__ = [
    "BatchInput",
    "BatchItem",
    "FileSource",
    "ItemSource",
    "Source",
    "encode_fields",
    "locate",
    "source_of",
]

BatchItem: TypeAlias = str | Mapping[str, Any] | list[MessageLike] | tuple[Content, ...]
"""One row of an iterable: a prompt; an object as in a file of JSON Lines; a list of messages; or
the parts of one user message."""

BatchInput: TypeAlias = str | Path | Iterable[BatchItem] | AsyncIterable[BatchItem]
"""A path, ``"-"`` for standard input, or an iterable of items."""

_T = TypeVar("_T")

_CHUNK = 256
"""Rows that a thread reads at a time."""

_URL = re.compile("(https?|data):", re.IGNORECASE)

_NOT_UTF8 = "the row is not UTF-8 text"

_LONGEST_CELL = 2**30
"""Characters of a cell of CSV. More is refused, so that memory is bounded."""

_MORE = "\0"
"""Key of the cells beyond the last column."""

_UTF8_BOM = b"\xef\xbb\xbf"


class FileSource:
    """The rows of a file.

    Its name decides about the format: ``.csv``, ``.tsv``, ``.parquet``, ``.txt`` (a prompt per
    line), else JSON Lines.

    Attributes:
        replayable: Whether the rows can be read more than once.
        folder: The folder to which paths in the rows are relative.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = path
        self.folder: Path = Path() if str(path) == "-" else Path(path).parent
        self.replayable: bool = str(path) != "-"

    async def chunks(self, convert: Callable[[RawRow], _T]) -> AsyncGenerator[list[_T]]:
        """Yield the rows of a file, many at a time, converted in the thread that reads them.

        Those of standard input are yielded as they arrive: the next ones may take hours.
        """
        if not self.replayable:
            number = line = 0
            async with aclosing(piped_lines()) as pieces:
                async for lines in pieces:
                    rows = list(_json_lines(lines, number, line))
                    number, line = number + len(rows), line + len(lines)
                    yield [convert(raw) for raw in rows]
            return
        raws = await asyncio.to_thread(self._rows)
        try:
            while chunk := await asyncio.to_thread(_take, raws, convert):
                yield chunk
        finally:
            await asyncio.to_thread(raws.close)

    def read(self) -> Iterator[RawRow]:
        """Iterate over the rows in the caller's thread."""
        return self._rows()

    def count(self) -> int:
        """Return the number of rows of a file, without their data: for an estimate of the time.

        Raises:
            Exception: The file cannot be read.
        """
        path = Path(self._path)
        kind = path.suffix.lower()
        with _open(path) as file:
            if kind == ".parquet":
                parquet: Any = import_module("pyarrow.parquet")
                rows: int = parquet.ParquetFile(file).metadata.num_rows
                return rows
            if kind not in {".csv", ".tsv"}:
                return sum(1 for line in file if line.strip())
            csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_CELL))
            with io.TextIOWrapper(file, "utf-8-sig", "surrogateescape", newline="") as text:
                return (
                    sum(map(bool, csv.reader(text, delimiter="\t" if kind == ".tsv" else ","))) - 1
                )

    def _rows(self) -> Generator[RawRow]:
        """Iterate over the rows.

        Raises:
            ConfigurationError: The file cannot be read.
        """
        if not self.replayable:
            yield from _json_lines(standard_input())
            return
        path = Path(self._path)
        kind = path.suffix.lower()
        with _open(path) as file:
            if kind == ".parquet":
                yield from _parquet(file)
            elif kind in {".csv", ".tsv"}:
                yield from _table(file, "\t" if kind == ".tsv" else ",")
            elif kind == ".txt":
                yield from _text_lines(file)
            else:
                yield from _json_lines(file)


class ItemSource:
    """The rows of an iterable, read one at a time, when there is room for one.

    Attributes:
        replayable: Always False.
        folder: The current folder.
    """

    replayable: bool = False
    folder: Path = Path()

    def __init__(self, items: Iterable[Any] | AsyncIterable[Any]) -> None:
        self._items = items

    async def chunks(self, convert: Callable[[RawRow], _T]) -> AsyncGenerator[list[_T]]:
        """Yield the rows, one at a time."""
        number = 0
        if isinstance(self._items, AsyncIterable):
            try:
                async for item in self._items:
                    yield [convert(_raw_item(number, item))]
                    number += 1
            finally:
                close: Any = getattr(self._items, "aclose", None)  # of an async generator
                if close is not None:
                    await close()
        else:
            for item in self._items:
                yield [convert(_raw_item(number, item))]
                number += 1


Source: TypeAlias = FileSource | ItemSource


def source_of(given: BatchInput) -> Source:
    """Return the source of *given*.

    Raises:
        TypeError: It is neither a path nor an iterable.
    """
    if isinstance(given, str | Path):
        return FileSource(given)
    if isinstance(given, Mapping | bytes) or not isinstance(given, Iterable | AsyncIterable):
        kind = type(cast("object", given)).__name__
        raise TypeError(f"expected a path or an iterable of prompts, not {kind}")
    return ItemSource(given)


def locate(image: str, folder: Path) -> str:
    """Return an image of a row as `acechat.image` takes it: a URL, or a path from *folder* on."""
    return image if _URL.match(image) else str(folder / image)


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        reason = error.strerror
    raise ConfigurationError(f"cannot read {path}: {reason}")


def _take(rows: Iterator[RawRow], convert: Callable[[RawRow], _T]) -> list[_T]:
    return [convert(raw) for raw in islice(rows, _CHUNK)]


def _raw_item(number: int, item: object) -> RawRow:
    line = number + 1
    fields: Any = item
    if isinstance(item, str):
        fields = {"prompt": item}
    elif isinstance(item, list):
        fields = {"messages": fields}
    try:
        if isinstance(item, tuple):
            fields = {"messages": [user_message(cast("tuple[Content, ...]", fields))]}
        if isinstance(fields, Mapping):
            return RawRow(number, line, bytes(encode(cast("Mapping[str, Any]", fields))))
        problem = "expected a prompt, a list of messages, a tuple or an object"
    except (ConfigurationError, TypeError) as error:
        problem = str(error)
    return RawRow(number, line, ascii(cast("object", item)).encode(), problem)


def _json_lines(file: Iterable[bytes], number: int = 0, before: int = 0) -> Iterator[RawRow]:
    for line, data in enumerate(file, before + 1):
        stripped = (data.removeprefix(_UTF8_BOM) if line == 1 else data).strip()
        if stripped:
            yield RawRow(number, line, stripped)
            number += 1


def _text_lines(file: BinaryIO) -> Iterator[RawRow]:
    for raw in _json_lines(file):
        text = raw.data.decode(errors="replace")
        try:
            raw.data.decode()
        except UnicodeDecodeError:
            fault = _NOT_UTF8
        else:
            fault = ""
        yield RawRow(raw.number, raw.line, msgspec.json.encode(text), fault)


def _table(file: BinaryIO, delimiter: str) -> Iterator[RawRow]:
    # The csv module has one limit for the process; its 128 KiB are too few for prompts.
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_CELL))
    with io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
        # Strict: a quote that is not closed would make one cell of all rows after it.
        reader = csv.DictReader(text, delimiter=delimiter, restkey=_MORE, strict=True)
        for number in count():
            try:
                fields = next(reader, None)
            except csv.Error as error:
                fields, fault = {"line": reader.line_num}, f"not CSV: {error}"
            else:
                if fields is None:
                    return
                fault = _cell_fault(fields)
            data = msgspec.json.encode(fields) if fault != _NOT_UTF8 else ascii(fields).encode()
            yield RawRow(number, reader.line_num, data, fault)


def _cell_fault(fields: dict[Any, Any]) -> str:
    """Return why the row cannot be sent, without the cells beyond the last column."""
    more = fields.pop(_MORE, None)
    if not all(_is_utf8(text) for field in fields.items() for text in field if text is not None):
        return _NOT_UTF8
    missing = [name for name, cell in fields.items() if cell is None]
    if missing:
        return f"the row has no cell for {', '.join(map(str, missing))}"
    return f"the row has {len(more)} more cells than columns" if more else ""


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _parquet(file: BinaryIO) -> Iterator[RawRow]:
    try:
        parquet: Any = import_module("pyarrow.parquet")
    except ImportError:
        parquet = None
    if parquet is None:
        raise ConfigurationError("Parquet needs pyarrow: python -m pip install 'acechat[batch]'")
    number = 0
    arrow: Any = import_module("pyarrow")
    try:
        for batch in parquet.ParquetFile(file).iter_batches(batch_size=_CHUNK):
            for fields in batch.to_pylist():
                yield RawRow(number, number + 1, *encode_fields(fields))
                number += 1
    except (arrow.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
    else:
        return
    raise ConfigurationError(f"cannot read {file.name} as Parquet: {reason}")


def encode_fields(fields: dict[str, Any]) -> tuple[bytes, str]:
    """Return the data and the fault of a row of columns."""
    try:
        return msgspec.json.encode(fields), ""
    except (TypeError, ValueError, OverflowError) as error:
        return ascii(fields).encode(), f"a column cannot be sent: {error}"
