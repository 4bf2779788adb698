"""Types to JSON Schema, and JSON to values, or an error with the path."""

from __future__ import annotations

import enum
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import msgspec
import pydantic
import pytest
from msgspec import Meta, Struct

from acechat import ConfigurationError
from acechat._tools.schema import SchemaMismatchError, adapted, read, schema_of


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


def test_fields_of_a_struct_are_at_the_top_level():
    assert schema_of(Step) == STEP


def test_referenced_structs_are_in_defs():
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


def test_a_recursive_type_is_in_defs_and_at_the_top_level():
    schema = schema_of(Tree)

    assert schema["properties"]["children"]["items"] == {"$ref": "#/$defs/Tree"}
    assert schema["$defs"]["Tree"]["properties"] == schema["properties"]


def test_defs_include_indirect_references():
    class Journey(Struct):
        plans: list[Plan]

    schema = schema_of(Journey)

    assert set(schema["$defs"]) == {"Plan", "Step"}
    assert schema["$defs"]["Step"] == STEP


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
def test_unnamed_types_are_inlined(kind, schema):
    assert schema_of(kind) == schema


@pytest.mark.parametrize("kind", [Trip, Options, Plan])
def test_all_record_types_are_objects(kind):
    assert schema_of(kind)["type"] == "object"


def test_an_annotated_description_overrides_that_of_the_type():
    assert schema_of(Annotated[Step, Meta(description="Mine.")])["description"] == "Mine."


@pytest.mark.parametrize("kind", [object, type("Socket", (), {}), "Nowhere", Unfinished])
def test_unsupported_types_raise_an_error_with_their_name(kind):
    with pytest.raises(ConfigurationError, match="cannot build a JSON Schema") as caught:
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
    ("kind", "data", "message"),
    [
        (Plan, '{"title": "t", "steps": [{"name": 1}]}', "Expected `str`.*`\\$.steps\\[0\\].name`"),
        (Step, '{"name": "a", "minutes": 0}', "`int` >= 1.*`\\$.minutes`"),
        (Step, "{}", "missing required field `name`"),
        (Step, "{", "invalid JSON"),
        (Step, "", "empty"),
        (Step, b'{"name": "\xff"}', "invalid JSON"),
        (Step, '{"name": "\\ud800"}', "invalid JSON"),
        (Any, "[" * 100_000, "invalid JSON"),
    ],
)
def test_mismatches_raise_an_error_with_the_path(kind, data, message):
    with pytest.raises(SchemaMismatchError, match=message):
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

    def test_a_model_builds_its_own_schema(self, models):
        schema = schema_of(models[0])

        assert (schema["type"], schema["description"]) == ("object", "From elsewhere.")
        (name,) = schema["$defs"]
        assert schema["properties"]["inners"]["items"] == {"$ref": f"#/$defs/{name}"}
        assert schema["$defs"][name]["properties"]["number"]["type"] == "integer"

    def test_a_nested_model_adds_its_definitions(self, models):
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

    def test_a_mismatch_in_a_model_has_the_path(self, models):
        outer, inner = models

        with pytest.raises(SchemaMismatchError, match=r"inners\[0\].number: .*valid integer"):
            read(outer, '{"inners": [{"number": "x"}]}')
        with pytest.raises(SchemaMismatchError, match=r"number: Field required - at `\$\[0\]`"):
            read(list[inner], "[{}]")


class Cat(pydantic.BaseModel):
    lives: int


class Dog(pydantic.BaseModel):
    age: Annotated[int, pydantic.Field(ge=1)]


@pydantic.dataclasses.dataclass
class Fish:
    fins: Annotated[int, pydantic.Field(ge=1)]


@dataclass
class Bounded:
    x: Annotated[int, Meta(ge=1)]


class TestWhatPydanticIsToRead:
    @pytest.mark.parametrize(
        ("kind", "good", "bad", "message"),
        [
            (Fish, '{"fins": 1}', '{"fins": 0}', "fins: .*greater than or equal to 1"),
            (list[Fish], '[{"fins": 1}]', '[{"fins": 0}]', r"fins: .* - at `\$\[0\]`"),
            (dict[str, Fish | None], '{"a": null}', '{"a": {}}', "fins: Field required"),
            (tuple[Fish, ...], "[]", '[{"fins": "x"}]', "fins: .*valid integer"),
            (Annotated[int, pydantic.Field(ge=1)], "1", "0", "greater than or equal to 1"),
            (list[pydantic.PositiveInt], "[1]", "[0]", "greater than 0"),
            (Cat | int, "7", '"x"', "int: .*valid integer"),
            (Cat | int | None, "null", '"x"', "int: .*valid integer"),
            (Cat | Dog, '{"age": 1}', '{"age": 0}', r"Dog\.age: .*equal to 1"),
            (Cat | Fish, '{"fins": 1}', '{"fins": 0}', r"Fish\.fins: .*equal to 1"),
            (Cat | Literal["none"], '"none"', '"all"', "'none'"),
            (Cat | Color, '"red"', '"blue"', "'red'"),
            (Cat | Trip, '{"city": "Rom"}', '{"city": 1}', r"Trip\.city: .*valid string"),
            (list[Cat | Dog], '[{"lives": 9}]', "[{}]", r" - at `\$\[0\]`"),
            (Annotated[Cat | int, Meta(description="It.")], '{"lives": 9}', '"x"', "valid integer"),
        ],
        ids=str,
    )
    def test_pydantic_decodes_it(self, kind, good, bad, message):
        assert read(adapted(kind), good) == pydantic.TypeAdapter(kind).validate_json(good)
        with pytest.raises(SchemaMismatchError, match=message):
            read(adapted(kind), bad)

    def test_pydantic_builds_the_schema(self):
        schema = schema_of(adapted(list[Cat | Fish]))

        assert schema["items"] == {
            "anyOf": [
                {"$ref": "#/$defs/Cat_or_Fish.Cat"},
                {"$ref": "#/$defs/Cat_or_Fish.Fish"},
            ]
        }
        assert schema["$defs"]["Cat_or_Fish.Fish"]["properties"]["fins"]["minimum"] == 1

    @pytest.mark.parametrize(
        "kind",
        [
            Cat | Step,
            Fish | Step,
            Cat | Bounded,
            Cat | Annotated[int, Meta(ge=1)],
            Cat | list[Annotated[int, Meta(ge=1)]],
            Cat | Annotated[int, Meta(description="Or so.")],
        ],
        ids=str,
    )
    def test_unions_with_msgspec_constraints_are_rejected(self, kind):
        with pytest.raises(ConfigurationError, match="cannot build a JSON Schema"):
            schema_of(adapted(kind))

    @pytest.mark.parametrize("kind", [Fish, msgspec.defstruct("Tank", [("all", list[Fish])])])
    def test_a_pydantic_dataclass_that_msgspec_would_not_validate_is_rejected(self, kind):
        with pytest.raises(ConfigurationError, match="Fish is a pydantic dataclass"):
            schema_of(kind)

    def test_a_model_without_a_schema_raises_a_one_line_error(self):
        model = pydantic.create_model("Calls", back=(Callable[[], int], ...))

        with pytest.raises(
            ConfigurationError, match="cannot build a JSON Schema for Calls"
        ) as caught:
            schema_of(model)

        assert "\n" not in str(caught.value)
        assert "visit" not in str(caught.value)

    @pytest.mark.parametrize("kind", [Cat, Cat | None, list[Plan], Step | None, int, "int", 3])
    def test_types_without_pydantic_are_unchanged(self, kind):
        assert adapted(kind) is kind

    def test_an_unresolvable_type_is_rejected(self):
        @dataclass
        class Broken:
            x: Nowhere  # noqa: F821 - the name does not exist

        with pytest.raises(ConfigurationError, match="cannot build a JSON Schema"):
            schema_of(adapted(Cat | Broken))

    def test_pydantic_is_not_imported(self):
        code = (
            "import sys; from acechat._tools.schema import adapted, schema_of;"
            "schema_of(adapted(int | list[str])); sys.exit('pydantic' in sys.modules)"
        )
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_value_error_of_a_type_is_the_message():
    class Even:
        @classmethod
        def model_validate_json(cls, data):
            raise ValueError(f"{data.decode()} is odd")

    with pytest.raises(SchemaMismatchError, match=r"3 is odd.*at `\$\[0\]`"):
        read(list[Even], "[3]")
