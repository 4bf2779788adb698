"""The records of the journal and the states of rows, without files."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acechat import JournalError
from acechat.batch.storage.journal import (
    DONE,
    FAILED,
    RECORD_SIZE,
    RELEASED,
    SENT,
    UNSENT,
    RowStates,
    decode_header,
    encode_header,
    encode_record,
    holds_record,
)

records = st.lists(
    st.tuples(
        st.sampled_from([SENT, DONE, FAILED, RELEASED]),
        st.integers(0, 50),
        st.integers(0, 2**32 - 1),
    )
)


@given(records)
def test_the_last_record_of_a_row_decides(entries):
    data = b"".join(encode_record(kind, row, content, 0, 10) for kind, row, content in entries)
    states = RowStates()

    assert states.load(data, 10) == len(data) == len(entries) * RECORD_SIZE
    last = {row: (kind, content) for kind, row, content in entries}
    for row, (kind, content) in last.items():
        assert states[row] == (UNSENT if kind == RELEASED else kind)
        assert states.content(row) == content
    assert states.rows == max(last, default=-1) + 1
    assert states[99] == UNSENT


@given(records, st.data())
def test_a_record_that_is_cut_or_changed_is_not_applied(entries, data):
    encoded = b"".join(encode_record(kind, row, content) for kind, row, content in entries)
    cut = data.draw(st.integers(0, len(encoded)))
    states = RowStates()
    assert states.load(encoded[:cut], 0) == cut - cut % RECORD_SIZE

    if encoded:
        position = data.draw(st.integers(0, len(encoded) - 1))
        broken = bytearray(encoded)
        broken[position] ^= 0xFF
        assert RowStates().load(bytes(broken), 0) == position - position % RECORD_SIZE


@pytest.mark.parametrize("kind", [DONE, FAILED])
def test_a_row_whose_line_is_lost_is_unknown(kind):
    states = RowStates()
    states.load(encode_record(kind, 0, 1, 0, 50) + encode_record(kind, 1, 1, 50, 50), 99)

    assert states[0] == kind
    assert states[1] == SENT
    assert states.output_end == 50


def test_zeros_are_no_record():
    assert RowStates().load(bytes(10 * RECORD_SIZE), 0) == 0
    assert not holds_record(bytes(10 * RECORD_SIZE))
    assert holds_record(bytes(RECORD_SIZE) + encode_record(SENT, 1, 2))
    assert not holds_record(encode_record(SENT, 1, 2)[:-1])


def test_header_is_read_again():
    data = encode_header({"model": "m"})
    header, length = decode_header(data + b"\x00rest")

    assert header.options == {"model": "m"}
    assert length == len(data)
    assert all(decode_header(data[:cut]) is None for cut in range(len(data)))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"hello\n", "not a journal"),
        (b"hello", "not a journal"),
        (b'{"format":"other"}\n', "not a journal"),
        (b'{"format":"acechat-batch-journal","version":2}\n', "update acechat"),
    ],
)
def test_another_file_is_no_journal(data, message):
    with pytest.raises(JournalError, match=message):
        decode_header(data)


def test_an_impossible_row_or_kind_is_an_error():
    with pytest.raises(JournalError, match="at most"):
        RowStates().set(2**32 - 1, SENT, 0)
    with pytest.raises(JournalError, match="unknown kind"):
        RowStates().load(encode_record(9, 0, 0), 0)


def test_a_million_rows_load_in_seconds():
    data = b"".join(
        encode_record(SENT, row, row) + encode_record(DONE, row, row, row * 100, 100)
        for row in range(100_000)
    )
    states = RowStates()
    start = time.process_time()
    states.load(data, 10**9)

    assert time.process_time() - start < 0.5  # × 10: 5 s
    assert states.count(DONE) == 100_000
