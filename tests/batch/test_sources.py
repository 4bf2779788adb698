"""Files of all forms: no row of a damaged one is lost, or sent otherwise than it was written."""

from __future__ import annotations

import asyncio
import io
import json
import sys

import pytest

from acechat import ConfigurationError
from acechat.batch.sources import FileSource

LONG = "a" * 300_000
TABLES = {
    "a long cell": (f"text\nb\n{LONG}\nc\n", ["b", LONG, "c"]),
    "a long cell in the first row": (f"text\n{LONG}\nc\n", [LONG, "c"]),
    "line ends, commas and quotes in a cell": ('text\n"a\r\nb,""c"""\nd\n', ['a\r\nb,"c"', "d"]),
    "CRLF and empty lines": ("text\r\n\r\nb\r\n\r\nc\r\n", ["b", "c"]),
    "a byte order mark": ("\ufefftext\nb\n", ["b"]),
    "a quote that is not closed": ('text\nb\n"c\nd\n', ["b", "unexpected end of data"]),
    "a quote in the middle of a cell": ('text\n"b "c" d"\ne\n', ["expected after", "e"]),
    "too many cells": ("text\nb,c\nd\n", ["more cells", "d"]),
    "too few cells": ("text,n\nb\n", ["no cell for n"]),
    "other text than UTF-8": (b"text\nb\xe9\nc\n", ["not UTF-8", "c"]),
    "no rows": ("text\n", []),
    "nothing": ("", []),
}


def read(path):
    raws = list(FileSource(path).read())
    assert [raw.number for raw in raws] == list(range(len(raws)))
    return raws


@pytest.mark.parametrize("name", TABLES)
def test_tables(tmp_path, name):
    content, expected = TABLES[name]
    path = tmp_path / "in.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())

    found = read(path)
    assert len(found) == len(expected)
    for raw, text in zip(found, expected, strict=True):
        assert text in (raw.fault or json.loads(raw.data)["text"])


def test_text_that_is_not_utf8_is_a_fault(tmp_path):
    path = tmp_path / "in.txt"
    path.write_bytes(b"\xef\xbb\xbfa\r\n\n b\xe9\nc")

    assert [(raw.line, bool(raw.fault)) for raw in read(path)] == [
        (1, False),
        (3, True),
        (4, False),
    ]


@pytest.mark.parametrize("content", [b"", b"PAR1", b"text\nb\n" * 100])
def test_a_file_that_is_not_parquet(tmp_path, content):
    pytest.importorskip("pyarrow")
    path = tmp_path / "in.parquet"
    path.write_bytes(content)

    with pytest.raises(ConfigurationError, match=r"cannot read .*in\.parquet as Parquet"):
        read(path)


def test_a_parquet_row_that_json_cannot_hold_is_a_fault(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    cells = [{"a": 1.5}, {"a": float("nan")}]
    parquet.write_table(pyarrow.Table.from_pylist(cells), tmp_path / "in.parquet")
    duration = pyarrow.table({"a": pyarrow.array([[(1, 2)]], pyarrow.map_("i8", "i8"))})
    parquet.write_table(duration, tmp_path / "map.parquet")

    assert [json.loads(raw.data) for raw in read(tmp_path / "in.parquet")] == [
        {"a": 1.5},
        {"a": None},
    ]
    assert [json.loads(raw.data) for raw in read(tmp_path / "map.parquet")] == [{"a": [[1, 2]]}]


@pytest.mark.parametrize("end", ["", "\n", "\r\n\n"])
def test_standard_input_has_the_rows_of_a_file(tmp_path, monkeypatch, end):
    """Its blocks end anywhere; one line is longer than a block."""
    lines = [f'{{"prompt": "{n}"}}' if n % 3 else "" for n in range(9000)]
    lines[4000] = json.dumps("a" * 200_000)
    data = b"\xef\xbb\xbf" + "\n".join(lines).encode() + end.encode()
    (tmp_path / "in.jsonl").write_bytes(data)

    async def reading():
        return [raw async for chunk in FileSource("-").chunks(lambda raw: raw) for raw in chunk]

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert asyncio.run(reading()) == read(tmp_path / "in.jsonl")


def test_standard_input_that_is_closed(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(ConfigurationError, match="standard input is closed"):
        list(FileSource("-").read())
