"""Forms, ids and faults of rows."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acechat.batch.inputs.ids import IdTable
from acechat.batch.rows import RawRow, RowReader

HELLO = [{"role": "user", "content": "Hello"}]


def read(*values, **options):
    reader = RowReader(**options)
    return [
        reader.read(
            RawRow(n, n + 1, value if isinstance(value, bytes) else json.dumps(value).encode())
        )
        for n, value in enumerate(values)
    ]


FORMS = {
    "prompt": {"prompt": "Hello"},
    "string": "Hello",
    "list of messages": HELLO,
    "body": {"messages": HELLO},
    "OpenAI's line": {
        "custom_id": "a",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {"messages": HELLO},
    },
    "OpenAI's line with a full URL": {
        "url": "https://api.acedata.cloud/v1/chat/completions/",
        "body": {"messages": HELLO, "stream": True},
    },
}


@pytest.mark.parametrize("form", FORMS)
def test_forms(form):
    (row,) = read(FORMS[form])

    assert not row.fault
    assert row.messages == HELLO
    assert row.options == {}
    assert row.model is None


def test_fields_of_a_row_are_options_of_its_request():
    prompt, body = read(
        {"prompt": "Hello", "max_tokens": 5, "model": "m", "extra_body": {"top_k": 1}},
        {"body": {"messages": HELLO, "temperature": 0, "seed": None}},
    )

    assert (prompt.options, prompt.model, prompt.extra_body) == (
        {"max_tokens": 5},
        "m",
        {"top_k": 1},
    )
    assert body.options == {"temperature": 0}


def test_the_system_prompt_is_added_where_there_is_none():
    system = {"role": "system", "content": "Be brief."}
    rows = read(
        "Hello",
        {"prompt": "Hello", "system": "Be long."},
        [{"role": "developer", "content": "x"}, *HELLO],
        system="Be brief.",
    )

    assert rows[0].messages == [system, *HELLO]
    assert rows[1].messages == [{"role": "system", "content": "Be long."}, *HELLO]
    assert rows[2].messages == [{"role": "system", "content": "x"}, *HELLO]


def test_a_template_takes_any_object():
    template = "Translate {text} to {{{language}}}: {count}"
    (row,) = read(
        {"text": "a", "language": "fr", "count": 3, "more": 1, "id": 7}, template=template
    )

    assert row.messages == [{"role": "user", "content": "Translate a to {fr}: 3"}]
    assert row.id == "7"


FAULTS = {
    "not JSON": (b"{", "not JSON"),
    "broken UTF-8": (b'"\xff"', "not JSON"),
    "number": (1, "expected an object"),
    "null": (None, "expected an object"),
    "nothing": ({}, 'no "prompt"'),
    "no messages": ({"messages": []}, "at least one message"),
    "message without role": ({"messages": [{"content": "x"}]}, "no role"),
    "message is text": ({"messages": ["x"]}, "struct"),
    "other endpoint": ({"url": "/v1/embeddings", "body": {}}, "other endpoints"),
    "other method": ({"method": "GET", "body": {}}, "POST"),
    "body is text": ({"body": "x"}, "body must be an object"),
    "unknown option": ({"prompt": "x", "max_token": 1}, "did you mean 'max_tokens'"),
    "model is a number": ({"prompt": "x", "model": 1}, "model must be text"),
    "extra_body is text": ({"prompt": "x", "extra_body": "y"}, "extra_body"),
    "id is a list": ({"prompt": "x", "custom_id": []}, "custom_id must be text"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults(name):
    value, message = FAULTS[name]
    (row,) = read(value)

    assert message in row.fault
    assert row.id
    assert row.line == 1


def test_a_field_that_the_template_needs_is_missing():
    (row,) = read({"text": "x"}, template="{txt}")

    assert row.fault == "no field 'txt' for the template; the row has text"


def test_an_id_that_is_used_twice_is_a_fault_of_the_second_row():
    first, second, third = read(*[{"custom_id": "a", "prompt": str(n)} for n in range(3)])

    assert (first.id, first.fault) == ("a", "")
    assert second.fault == third.fault == "custom_id 'a' is that of line 1, too"
    assert len({first.id, second.id, third.id}) == 3


def test_rows_without_an_id_are_numbered_by_their_content():
    one, same, other = read("Hello", "Hello", "Bye")
    (again,) = read("Hello")

    assert same.id == f"{one.id}-2"
    assert other.id != one.id == again.id


def test_an_id_is_the_same_whether_or_not_its_row_is_sent():
    values = ["Hello", {"id": 5, "prompt": "x"}, "Hello", {"id": 5, "prompt": "y"}, b"{"]
    raws = [
        RawRow(n, n, v if isinstance(v, bytes) else json.dumps(v).encode())
        for n, v in enumerate(values)
    ]
    reader, other = RowReader(), RowReader()

    assert [reader.read_id(raw) for raw in raws] == [other.read(raw).id for raw in raws]


@given(st.lists(st.text(max_size=4)))
def test_the_table_of_ids_is_a_dictionary(names):
    table, known = IdTable(), {}
    for line, name in enumerate(names, 1):
        assert table.add(name, line) == known.get(name, 0)
        known.setdefault(name, line)


def test_the_table_of_ids_grows():
    table = IdTable()
    assert not any(table.add(f"row {n}", n + 1) for n in range(20_000))
    assert all(table.add(f"row {n}", 1) == n + 1 for n in range(20_000))


def test_the_same_prompt_in_all_rows_takes_linear_time():
    """Each id has the next number; counting up to it would take 2 * 10**8 steps."""
    reader = RowReader()
    ids = [reader.read(RawRow(n, n + 1, b'"Hello"')).id for n in range(20_000)]

    assert ids == [ids[0], *[f"{ids[0]}-{n}" for n in range(2, 20_001)]]


@pytest.mark.parametrize("data", [b'{"id": 5}', b"[" * 100_000, b'{"id": ' + b"1" * 5000 + b"}"])
def test_a_row_that_could_not_be_read_has_the_same_id_on_a_restart(data):
    raw = RawRow(0, 1, data, "the row has no cell for b")

    assert RowReader().read_id(raw) == RowReader().read(raw).id
