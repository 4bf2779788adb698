"""JSON that writes a part of a value in another form than its type."""

from __future__ import annotations

import dataclasses
import enum
import json
import time
from typing import Annotated, Any, Literal, NamedTuple, TypedDict

import jsonschema
import msgspec
import pydantic
import pytest
from msgspec import Meta, Struct

from acechat._tools.schema import SchemaMismatchError, adapted, read, schema_of
from acechat._tools.tool import compile_tool


class Hours(Struct):
    hours: int
    names: list[str] = []


@dataclasses.dataclass
class Data:
    hours: int


class Typed(TypedDict):
    hours: int


class Named(NamedTuple):
    hours: int
    name: str


class Level(enum.IntEnum):
    LOW = 1


class Model(pydantic.BaseModel):
    hours: int
    names: list[str] = []
    inner: list[Model] = []


class Strict(pydantic.BaseModel, strict=True):
    hours: int
    rows: list[dict[str, int]] = []


INTEGERS = [
    (int, "3.0", 3),
    (int, "1e2", 100),
    (int, "-0.0", 0),
    (int, "1E+2", 100),
    (int | None, "3.0", 3),
    (int | str, "3.0", 3),
    (Annotated[int, Meta(ge=1)], "3.0", 3),
    (Literal[1, 2], "2.0", 2),
    (Level, "1.0", Level.LOW),
    (list[int], "[1, 2.0, 3.0]", [1, 2, 3]),
    (tuple[int, str], '[1.0, "a"]', (1, "a")),
    (dict[str, int], '{"a": 1.0, "b": 2.0}', {"a": 1, "b": 2}),
    (dict[str, list[int]], '{"a.b": [1.0], "c[0]": [2.0]}', {"a.b": [1], "c[0]": [2]}),
    (Hours, '{"hours": 3.0}', Hours(3)),
    (Data, '{"hours": 3.0}', Data(3)),
    (Typed, '{"hours": 3.0}', {"hours": 3}),
    (Named, '[3.0, "a"]', Named(3, "a")),
    (list[Hours], '[{"hours": 1}, {"hours": 3.0}]', [Hours(1), Hours(3)]),
    (Model, '{"hours": 3.0}', Model(hours=3)),
    (Strict, '{"hours": 3.0, "rows": [{"a": 1}]}', Strict(hours=3, rows=[{"a": 1}])),
    (Strict, '{"hours": 3, "rows": [{"a": 1.0}]}', Strict(hours=3, rows=[{"a": 1}])),
]


@pytest.mark.parametrize(("kind", "text", "value"), INTEGERS)
def test_a_number_that_fits_the_schema_is_an_integer(kind, text, value):
    with_types = adapted(kind)
    if kind not in {tuple[int, str], Named}:  # prefixItems, with additional types
        jsonschema.validate(json.loads(text), schema_of(with_types))

    found = read(with_types, text)

    assert found == value
    assert repr(found) == repr(value)  # 3.0 == 3


@pytest.mark.parametrize(
    ("kind", "text"),
    [(int, "3.5"), (int, "1e30"), (int, '"3"'), (bool, "1.0"), (str, "3.0"), (list[int], "[1.5]")],
)
def test_other_numbers_do_not_match(kind, text):
    with pytest.raises(SchemaMismatchError, match="Expected"):
        read(kind, text)


def test_a_float_stays_a_float_beside_a_repaired_integer():
    class Both(Struct):
        exact: int
        ratio: float
        any: Any

    both = read(Both, '{"exact": 1.0, "ratio": 2.0, "any": 3.0}')

    assert [type(one) for one in (both.exact, both.ratio, both.any)] == [int, float, float]


STRINGS = [
    (list[int], '"[1, 2]"', [1, 2]),
    (list[int] | None, '"[1]"', [1]),
    (set[int], '"[1]"', {1}),
    (dict[str, int], r'"{\"a\": 1}"', {"a": 1}),
    (Hours, r'"{\"hours\": 3}"', Hours(3)),
    (Hours, r'{"hours": 3.0, "names": "[\"a\"]"}', Hours(3, ["a"])),
    (list[Hours], r'["{\"hours\": 1}", {"hours": 2, "names": "[]"}]', [Hours(1), Hours(2)]),
    (list[Hours], r'"[\"{\\\"hours\\\": 1}\"]"', [Hours(1)]),
    (Model, r'{"hours": 1, "names": "[\"a\"]"}', Model(hours=1, names=["a"])),
    (
        Model,
        r'{"hours": 1, "inner": ["{\"hours\": 2, \"names\": \"[\\\"b\\\"]\"}"]}',
        Model(hours=1, inner=[Model(hours=2, names=["b"])]),
    ),
    (Model, r'"{\"hours\": 1}"', Model(hours=1)),
    (Strict, r'{"hours": 1, "rows": "[{\"a\": 1}]"}', Strict(hours=1, rows=[{"a": 1}])),
    (list[Model], r'"[{\"hours\": 1}]"', [Model(hours=1)]),
]


@pytest.mark.parametrize(("kind", "text", "value"), STRINGS)
def test_json_in_a_string_is_the_container_that_it_stands_for(kind, text, value):
    assert read(adapted(kind), text) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (str, '"[1]"'),
        (list[str], '["[1]", "{}"]'),
        (list[int] | str, '"[1]"'),
        (dict[str, Any], '{"a": "[1]"}'),
        (Model, r'{"hours": 1, "names": ["[1]"]}'),
    ],
)
def test_a_string_where_one_is_expected_stays_a_string(kind, text):
    found = read(adapted(kind), text)

    assert json.loads(text) == (found.model_dump(exclude_unset=True) if kind is Model else found)


@pytest.mark.parametrize("text", ['"[1, 2"', '"one, two"', "\"['a']\"", '""', r'"{\"a\": 1}"'])
def test_a_string_that_is_not_such_json_does_not_match(text):
    with pytest.raises(SchemaMismatchError, match="Expected"):
        read(list[int], text)


def test_strings_beside_a_repaired_number_are_unchanged():
    assert read(list[int | str], '["[1]", 2.0]') == ["[1]", 2]


def test_arguments_of_a_tool_are_repaired_like_outputs():
    def plan(cities: list[str], days: int) -> None: ...

    assert compile_tool(plan).read(r'{"cities": "[\"Rome\"]", "days": 2.0}') == {
        "cities": ["Rome"],
        "days": 2,
    }
    assert compile_tool(plan).read(r'"{\"cities\": [\"Rome\"], \"days\": 2}"')["days"] == 2


@pytest.mark.parametrize("item", ["1.0", r'{"hours": 1.0, "names": "[]"}'])
def test_the_cost_of_repairs_is_linear(item):
    kind = list[int] if item == "1.0" else list[Hours]

    def seconds(size):
        text = f"[{','.join([item] * size)}]"
        began = time.process_time()
        assert len(read(kind, text)) == size
        return time.process_time() - began

    small = min(seconds(2_000) for _ in range(3))
    assert min(seconds(20_000) for _ in range(3)) < 40 * max(small, 0.001)


def test_the_message_is_that_of_the_last_mismatch():
    with pytest.raises(
        SchemaMismatchError, match=r"Expected `str`, got `int` - at `\$\.names\[0]`"
    ):
        read(Hours, '{"hours": 1.0, "names": [1]}')
    with pytest.raises(SchemaMismatchError, match="names: Input should be a valid array"):
        read(Model, '{"hours": 1, "names": "[1"}')


def test_many_fields_of_a_record_are_repaired():
    names = [f"x{number}" for number in range(300)]
    text = json.dumps(dict.fromkeys(names[:200], 1.0))
    kind = msgspec.defstruct("Many", [(name, int) for name in names[:200]])

    assert read(kind, text) == kind(*[1] * 200)


def test_the_number_of_repairs_is_bounded():
    names = [f"x{number}" for number in range(300)]
    kind = msgspec.defstruct("Many", [(name, int) for name in names])

    with pytest.raises(SchemaMismatchError, match="Expected `int`, got `float`"):
        read(kind, json.dumps(dict.fromkeys(names, 1.0)))

    value = {"hours": 1}
    for _ in range(6):
        value = {"hours": 1, "inner": [json.dumps(value)]}
    with pytest.raises(SchemaMismatchError, match="inner"):
        read(Model, json.dumps(value))


@pytest.mark.parametrize("name", ["a[b", "a.b", "a]"])
def test_a_field_with_another_name_is_not_repaired(name):
    kind = msgspec.defstruct("Odd", [("x", int)], rename={"x": name})

    assert read(kind, json.dumps({name: 1})) == kind(1)
    with pytest.raises(SchemaMismatchError, match="Expected `int`, got `float`"):
        read(kind, json.dumps({name: 1.0}))
