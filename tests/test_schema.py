"""Types become schemas, and JSON becomes their values, or an error that says where."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import msgspec
import pytest
from msgspec import Meta, Struct

from acechat import ConfigurationError
from acechat._schema import MisfitError, read, schema_of


class Step(Struct):
    """One thing to do."""

    name: str
    minutes: Annotated[int, Meta(ge=1, description="How long.")] = 5


class Plan(Struct):
    title: str
    steps: list[Step]


@dataclass
class Trip:
    city: str
    tags: list[str] = field(default_factory=list)


class Options(TypedDict):
    unit: Literal["C", "F"]
    days: NotRequired[int]


class Tree(Struct):
    name: str
    children: list[Tree] = []


class Color(enum.Enum):
    RED = "red"


class Unfinished(Struct):
    what: Nowhere  # noqa: F821 - that is the point


STEP = {
    "title": "Step",
    "description": "One thing to do.",
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "minutes": {"type": "integer", "minimum": 1, "description": "How long.", "default": 5},
    },
    "required": ["name"],
}


def test_a_struct_stands_at_the_top_of_its_schema():
    assert schema_of(Step) == STEP


def test_what_a_struct_refers_to_is_defined_beside_it():
    assert schema_of(Plan) == {
        "title": "Plan",
        "type": "object",
        "properties": {
            "title": {"type": "string"},
            "steps": {"type": "array", "items": {"$ref": "#/$defs/Step"}},
        },
        "required": ["title", "steps"],
        "$defs": {"Step": STEP},
    }


def test_a_type_that_holds_itself_is_defined_and_stands_at_the_top():
    schema = schema_of(Tree)

    assert schema["properties"]["children"]["items"] == {"$ref": "#/$defs/Tree"}
    assert schema["$defs"]["Tree"]["properties"] == schema["properties"]


@pytest.mark.parametrize(
    ("kind", "schema"),
    [
        (list[int], {"type": "array", "items": {"type": "integer"}}),
        (Literal["a", "b"], {"enum": ["a", "b"]}),
        (int | None, {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        (Any, {}),
        (Annotated[int, Meta(le=3)], {"type": "integer", "maximum": 3}),
    ],
)
def test_types_without_a_name_are_described_in_place(kind, schema):
    assert schema_of(kind) == schema


@pytest.mark.parametrize("kind", [Trip, Options, Plan])
def test_records_of_every_kind_are_objects(kind):
    assert schema_of(kind)["type"] == "object"


def test_a_description_of_the_whole_wins_over_the_types_own():
    assert schema_of(Annotated[Step, Meta(description="Mine.")])["description"] == "Mine."


@pytest.mark.parametrize("kind", [object, type("Socket", (), {}), "Nowhere", Unfinished])
def test_what_json_cannot_hold_is_refused_with_its_name(kind):
    with pytest.raises(ConfigurationError, match="cannot be told as JSON") as caught:
        schema_of(kind)

    assert "\n" not in str(caught.value)
    assert getattr(kind, "__name__", kind) in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "data", "value"),
    [
        (Step, '{"name": "a"}', Step("a")),
        (Plan, b'{"title": "t", "steps": [{"name": "a"}]}', Plan("t", [Step("a")])),
        (Trip, '{"city": "Rom"}', Trip("Rom")),
        (Options, '{"unit": "C"}', {"unit": "C"}),
        (list[int], "[1, 2]", [1, 2]),
        (Literal["a"], '"a"', "a"),
        (Color, '"red"', Color.RED),
        (dict[str, Step], '{"x": {"name": "a"}}', {"x": Step("a")}),
    ],
)
def test_json_becomes_a_value_of_the_type(kind, data, value):
    assert read(kind, data) == value


@pytest.mark.parametrize(
    ("kind", "data", "told"),
    [
        (Plan, '{"title": "t", "steps": [{"name": 1}]}', "Expected `str`.*`\\$.steps\\[0\\].name`"),
        (Step, '{"name": "a", "minutes": 0}', "`int` >= 1.*`\\$.minutes`"),
        (Step, "{}", "missing required field `name`"),
        (Step, "{", "no JSON"),
        (Step, "", "empty"),
        (Step, b'{"name": "\xff"}', "no JSON"),
        (Step, '{"name": "\\ud800"}', "no JSON"),
        (Any, "[" * 100_000, "no JSON"),
    ],
)
def test_what_does_not_fit_is_one_error_that_says_where(kind, data, told):
    with pytest.raises(MisfitError, match=told):
        read(kind, data)


class TestPydantic:
    @pytest.fixture
    def models(self):
        pydantic = pytest.importorskip("pydantic")

        class Inner(pydantic.BaseModel):
            number: int

        class Outer(pydantic.BaseModel):
            """From elsewhere."""

            inners: list[Inner]

        return Outer, Inner

    def test_a_model_is_described_by_itself(self, models):
        schema = schema_of(models[0])

        assert (schema["type"], schema["description"]) == ("object", "From elsewhere.")
        (name,) = schema["$defs"]
        assert schema["properties"]["inners"]["items"] == {"$ref": f"#/$defs/{name}"}
        assert schema["$defs"][name]["properties"]["number"]["type"] == "integer"

    def test_a_model_inside_of_other_types_brings_its_definitions_along(self, models):
        outer, _ = models
        kind = msgspec.defstruct("Both", [("one", outer), ("many", list[outer])])

        schema = schema_of(kind)

        assert list(schema["$defs"]) == ["Outer.Inner"]
        assert "$defs" not in schema["properties"]["one"]
        value = read(kind, '{"one": {"inners": [{"number": 1}]}, "many": []}')
        assert value.one.inners[0].number == 1

    def test_json_becomes_a_model(self, models):
        outer, inner = models

        assert read(outer, '{"inners": [{"number": 1}]}') == outer(inners=[inner(number=1)])
        assert read(list[inner], '[{"number": 1}]') == [inner(number=1)]

    def test_what_does_not_fit_a_model_says_where_too(self, models):
        outer, inner = models

        with pytest.raises(MisfitError, match=r"inners\[0\].number: .*valid integer"):
            read(outer, '{"inners": [{"number": "x"}]}')
        with pytest.raises(MisfitError, match=r"number: Field required - at `\$\[0\]`"):
            read(list[inner], "[{}]")


def test_what_a_type_itself_complains_of_reaches_the_model():
    class Even:
        @classmethod
        def model_validate_json(cls, data):
            raise ValueError(f"{data.decode()} is odd")

    with pytest.raises(MisfitError, match=r"3 is odd.*at `\$\[0\]`"):
        read(list[Even], "[3]")
