"""Incomplete JSON, compared with Python's own parser."""

from __future__ import annotations

import copy
import json
import time
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from acechat._tools.partial_json import PartialJSON, find_json

texts = st.text(st.characters(exclude_categories=["Cs"]))
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=20
)
containers = st.lists(values) | st.dictionaries(texts, values)
written = st.builds(
    json.dumps, containers, ensure_ascii=st.booleans(), indent=st.sampled_from([None, 0, 2])
)
finite = written.filter(lambda text: "Infinity" not in text)


def split(text, cuts):
    edges = [0, *sorted(min(at, len(text)) for at in cuts), len(text)]
    return [text[start:end] for start, end in pairwise(edges)]


def feed_all(chunks):
    """Feed *chunks*; return the reader and a copy of the value after each growth."""
    reader = PartialJSON()
    seen = [copy.deepcopy(reader.value) for chunk in chunks if reader.feed(chunk)]
    return reader, seen


@given(finite, st.lists(st.integers(0, 200)))
@example('["\\ud83d\\ude00\\\\"]', [4, 8, 11, 15, 16])
def test_the_complete_value_is_that_of_json_loads(text, cuts):
    reader, seen = feed_all(split(text, cuts))

    assert reader.done
    assert reader.value == json.loads(text)
    assert seen[-1] == reader.value


@given(finite, st.lists(st.integers(0, 200)))
def test_the_value_does_not_depend_on_the_chunks(text, cuts):
    chunks = split(text, cuts)
    one_by_one = PartialJSON()
    reader = PartialJSON()

    for chunk in chunks:
        reader.feed(chunk)
        for character in chunk:
            one_by_one.feed(character)
        assert reader.value == one_by_one.value


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(finite, st.lists(st.integers(0, 200)))
def test_the_value_only_grows(text, cuts):
    def grown(before, after):
        if isinstance(before, dict):
            # a duplicate key has its last value
            return before.keys() <= after.keys()
        if isinstance(before, list):
            return len(before) <= len(after) and all(map(grown, before, after))
        return before == after

    _, seen = feed_all(split(text, cuts))

    assert all(grown(*pair) for pair in pairwise(seen))


@pytest.mark.parametrize(
    ("begun", "seen"),
    [
        ("", None),
        ("{", {}),
        ('{"title', {}),
        ('{"title": "Pic', {}),
        ('{"title": "Picnic"', {"title": "Picnic"}),
        ('{"days": 1', {}),
        ('{"days": 12 ', {"days": 12}),
        ('{"days": 1.5e3,', {"days": 1500.0}),
        ('{"ok": true', {}),
        ('{"ok": true}', {"ok": True}),
        ('{"no": null\n', {"no": None}),
        ('{"steps": [', {"steps": []}),
        ('{"steps": ["a", "b', {"steps": ["a"]}),
        ('{"steps": [{"x": [1, 2', {"steps": [{"x": [1]}]}),
        ('{"text": "a\\', {}),
        ('{"text": "a\\"', {}),
        ('{"text": "a\\\\"', {"text": "a\\"}),
        ('{"text": "\\ud83d', {}),
    ],
)
def test_unfinished_tokens_are_not_in_the_value(begun, seen):
    reader = PartialJSON()

    reader.feed(begun)

    assert reader.value == seen


def test_text_after_the_value_is_ignored():
    reader, seen = feed_all(['{"a": 1}', '{"a": 2}', "]"])

    assert reader.value == {"a": 1}
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"a": 1}', ['{"a": 1}']),
        ('Here it is:\n```json\n{"a": [1]}\n```\nEnjoy!', ['{"a": [1]}']),
        ("```\n[1, 2]\n```", ["[1, 2]"]),
        ('See [1] and {note}: {"a": "}"} {', ["[1]", '{"a": "}"}']),
        ('["a" {"x": 1}', ['{"x": 1}']),
        ("{'a': 1}", []),
        ('{"a": 1,}', []),
        ("[1, 2,]", []),
        ("[01]", []),
        ("[tru]", []),
        ("[+1]", []),
        ('["\\x"]', []),
        ('{"a" 1}', []),
        ('{"a": "\\ud83d"}', []),
        ("{1: 2}", []),
        ("[1}", []),
        ("[NaN] [Infinity]", []),
        ("", []),
        ("no JSON", []),
        ("[" * 500 + "]" * 500, ["[" * 500 + "]" * 500]),
        ("[" * 501 + "]" * 501, ["[]"]),
    ],
)
def test_json_is_found_in_prose(text, found):
    assert list(find_json(text)) == found


def test_openers_restrict_the_search():
    assert list(find_json('see [1]: {"a": [2]}', "{")) == ['{"a": [2]}']


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(texts, finite)
def test_found_texts_are_json(prose, text):
    for found in find_json(prose + text + prose):
        json.loads(found)


def seconds(work):
    began = time.process_time()
    work()
    return time.process_time() - began


def one_by_one(text):
    reader = PartialJSON()
    for character in text:
        reader.feed(character)


TEXT = '{"steps": ["%s"]}'
MANY = '{"steps": [%s 0]}'
HOSTILE = ["{x", "[", '{"a":', '["', '{"a":"\\', '["[\\"']


@pytest.mark.parametrize(
    ("make", "read"),
    [
        (lambda size: TEXT % ("x" * size), one_by_one),
        (lambda size: MANY % ('{"a": "b"}, ' * (size // 12)), one_by_one),
        *(
            (lambda size, unit=unit: unit * (size // len(unit)), lambda text: [*find_json(text)])
            for unit in HOSTILE
        ),
    ],
    ids=["one long text", "many fields", *HOSTILE],
)
def test_the_cost_is_linear(make, read):
    """100 times the input takes about 100 times as long; quadratic time would be 10,000."""
    small, large = make(10**4), make(10**6)

    for _ in range(3):  # load on the machine can only increase the ratio
        ratio = seconds(lambda: read(large)) / min(seconds(lambda: read(small)) for _ in range(5))
        if ratio < 300:
            return
    pytest.fail(f"a hundred times as much takes {ratio:.0f} times as long")
