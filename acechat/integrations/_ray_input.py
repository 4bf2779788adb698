"""Parquet files as the input of a run on Ray."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
import pyarrow.parquet as pq
from msgspec import Struct

from acechat import ConfigurationError
from acechat.batch.cluster.inputs import InputFile
from acechat.integrations.ray import Unfinished

__all__ = ["Piece", "PieceReader", "RayInput"]

_IDS = ("custom_id", "id")
_FOOTER = 8
"""Bytes at the end of a Parquet file: the length of the footer, and a magic number."""


class Piece(Struct, frozen=True):
    """A row group of a file."""

    path: str
    group: int
    first: int
    """Number of its first row in the input, from 0."""


class RayInput:
    """A Parquet file, or a folder of them, in the order of their names.

    Args:
        path: Its path.

    Attributes:
        files: Its files.
        pieces: Its row groups.
        rows: Number of its rows.
        numbered: Whether the number of a row is its id, because there is no column of ids.

    Raises:
        ConfigurationError: It cannot be read, or two rows have one id.
    """

    def __init__(self, path: Path) -> None:
        self.files: list[InputFile] = []
        self.pieces: list[Piece] = []
        self.rows: int = 0
        try:
            self._read(path)
        except (pa.ArrowException, OSError) as error:
            problem = " ".join(str(error).split())
        else:
            return
        raise ConfigurationError(f"cannot read {path} as Parquet: {problem}")

    def _read(self, path: Path) -> None:
        found: Any = pyarrow.dataset.dataset(path, format="parquet")
        for file in found.files:
            footer = pq.read_metadata(file)
            check = _footer_check(Path(file), footer.serialized_size)
            name = str(Path(file).relative_to(path)) if path.is_dir() else path.name
            self.files.append(InputFile(name, footer.num_rows, check))
            for group in range(footer.num_row_groups):
                self.pieces.append(Piece(file, group, self.rows))
                self.rows += footer.row_group(group).num_rows
        column = next((name for name in _IDS if name in found.schema.names), None)
        self.numbered: bool = column is None
        if column is not None:
            _check_ids(found.to_table(columns=[column])[column], column)


def _footer_check(path: Path, size: int) -> int:
    with path.open("rb") as file:
        file.seek(-size - _FOOTER, 2)
        return zlib.crc32(file.read(size))


def _check_ids(ids: Any, name: str) -> None:
    """Check that each row has an id of its own.

    Raises:
        ConfigurationError: One has not.
    """
    if ids.null_count:
        raise ConfigurationError(f"{ids.null_count:,} rows have no {name}")
    if pc.count_distinct(ids).as_py() == len(ids):
        return
    counts = pc.value_counts(ids)
    most = counts.field(1).to_pylist()
    twice = counts.field(0)[most.index(max(most))].as_py()
    raise ConfigurationError(f"{name} {twice!r} stands in {max(most):,} rows: ids must be unique")


class PieceReader:
    """Reads the rows of row groups that are not finished, in blocks.

    Args:
        rows: Rows of a block.
        numbered: Whether the number of a row is its id.
        unfinished: Removes those that are finished.
    """

    def __init__(self, rows: int, *, numbered: bool, unfinished: Unfinished) -> None:
        self._rows = rows
        self._numbered = numbered
        self._unfinished = unfinished

    def __call__(self, pieces: Any) -> Iterator[Any]:
        """Yield the blocks of *pieces*, a table of Arrow."""
        for piece in pieces.to_pylist():
            number = piece["first"]
            file = pq.ParquetFile(piece["path"])
            for batch in file.iter_batches(row_groups=[piece["group"]], batch_size=self._rows):
                table = pa.Table.from_batches([batch])
                if self._numbered:
                    ids = [f"row-{n}" for n in range(number, number + len(table))]
                    table = table.append_column("custom_id", pa.array(ids))
                    number += len(table)
                table = self._unfinished(table)
                if len(table):
                    yield table
