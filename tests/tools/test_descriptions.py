"""Descriptions of functions, parameters and fields, from docstrings and annotations."""

from __future__ import annotations

import dataclasses
import functools
from typing import Annotated, Generic, NotRequired, Optional, TypedDict, TypeVar

import annotated_doc
import msgspec
import pydantic
import pytest
import typing_extensions
from msgspec import Meta, Struct

from acechat._tools.output import Output, OutputSpec
from acechat._tools.schema import schema_of
from acechat._tools.tool import compile_tool

T = TypeVar("T")


def definition(function):
    return msgspec.json.decode(compile_tool(function).encoded)["function"]


class Place(Struct, rename="camel"):
    city_name: Annotated[str, "In English"]
    country: str = "FR"


@dataclasses.dataclass
class Data:
    city: Annotated[str, typing_extensions.Doc("In English")]


class Typed(TypedDict):
    city: NotRequired[Annotated[str, "In English"]]


class Box(Struct, Generic[T]):
    item: Annotated[T, "In English"]


class Tree(Struct):
    name: Annotated[str, "In English"]
    children: list[Tree] = []


class Array(Struct, array_like=True):
    city: Annotated[str, "In English"]


ANNOTATIONS = [
    (Annotated[str, "In English"], "In English"),
    (Annotated[str, typing_extensions.Doc("In English")], "In English"),
    (Annotated[str, annotated_doc.Doc("In English")], "In English"),
    (Annotated[str, "In English", "another"], "In English"),
    (Annotated[str, Meta(max_length=9), "In English"], "In English"),
    (Annotated[str, "text", Meta(description="In English")], "In English"),
    (Annotated[Place, "In English"], "In English"),
    (Optional[Annotated[str, "In English"]], None),  # noqa: UP045 - the description of a member
    (Annotated[str, object()], None),
    (Annotated[str, ""], None),
    (str, None),
]


@pytest.mark.parametrize(("hint", "text"), ANNOTATIONS)
def test_a_text_in_an_annotation_describes_the_parameter(hint, text):
    def weather(city): ...

    weather.__annotations__["city"] = hint

    assert definition(weather)["parameters"]["properties"]["city"].get("description") == text


def test_an_annotation_wins_over_the_docstring():
    def weather(city: Annotated[str, "Of the annotation"], day: str) -> None:
        """Forecast.

        Args:
            city: Of the docstring.
            day: Of the docstring.
        """

    properties = definition(weather)["parameters"]["properties"]

    assert properties["city"]["description"] == "Of the annotation"
    assert properties["day"]["description"] == "Of the docstring."


@pytest.mark.parametrize(
    ("hint", "path"),
    [
        (list[Annotated[str, "In English"]], ["items"]),
        (dict[str, Annotated[str, "In English"]], ["additionalProperties"]),
        (Annotated[str, "In English"] | None, ["anyOf", 0]),
        (list[list[Annotated[str, "In English"]]], ["items", "items"]),
    ],
)
def test_a_text_inside_of_a_type_describes_the_part(hint, path):
    schema = msgspec.json.decode(compile_tool(_with_hint(hint)).encoded)["function"]["parameters"]
    part = schema["properties"]["city"]
    for step in path:
        part = part[step]

    assert part["description"] == "In English"


def _with_hint(hint):
    def weather(city): ...

    weather.__annotations__["city"] = hint
    return weather


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (Place, "cityName"),
        (Data, "city"),
        (Typed, "city"),
        (Box[str], "item"),
        (Box[list[int]], "item"),
        (Tree, "name"),
    ],
)
@pytest.mark.parametrize("where", ["top", "nested", "parameter"])
def test_a_text_describes_the_field_of_a_record(kind, name, where):
    if where == "top":
        schema = schema_of(kind)
    elif where == "nested":
        schema = schema_of(dict[str, list[kind]])
    else:
        schema = definition(_with_hint(kind))["parameters"]
    if where != "top":
        (record,) = [one for one in schema["$defs"].values() if name in one["properties"]]
        schema = record

    assert schema["properties"][name]["description"] == "In English"


def test_a_description_of_msgspec_wins_over_a_text():
    class Both(Struct):
        city: Annotated[str, "text", Meta(description="In English")]

    assert schema_of(Both)["properties"]["city"]["description"] == "In English"


def test_a_record_that_is_written_as_an_array_has_no_texts():
    assert schema_of(Array)["prefixItems"] == [{"type": "string"}]


def test_an_output_type_may_be_annotated():
    spec = OutputSpec(Output(Annotated[list[Annotated[int, "Hours"]], "All of them"]))

    assert spec._schema["properties"]["value"] == {
        "description": "All of them",
        "type": "array",
        "items": {"type": "integer", "description": "Hours"},
    }


class Decorator:
    def __init__(self, function):
        functools.update_wrapper(self, function)
        self._function = function

    def __call__(self, *args, **kwargs):
        """Call the function."""
        return self._function(*args, **kwargs)


class Undocumented(Decorator):
    """A decorator that counts."""

    def __call__(self, *args, **kwargs):
        return self._function(*args, **kwargs)


class Search:
    """Search the web."""

    def __call__(self, query: str) -> str: ...


class Explicit:
    """Hold the settings."""

    def __call__(self, query: str) -> str:
        """Search the web.

        Args:
            query: A few words.
        """


class OwnDoc:
    def __init__(self):
        self.__doc__ = "Search the web."

    def __call__(self, query: str) -> str:
        """Call it."""


def search(query: str) -> str:
    """Search the web.

    Args:
        query: A few words.
    """


@functools.wraps(search)
def wrapper(*args, **kwargs):
    return search(*args, **kwargs)


@pytest.mark.parametrize(
    "function",
    [
        search,
        Decorator(search),
        Undocumented(search),
        Decorator(Undocumented(search)),
        functools.lru_cache(search),
        functools.partial(search),
        functools.partial(Decorator(search)),
        wrapper,
        Search(),
        Explicit(),
        OwnDoc(),
    ],
    ids=lambda function: type(function).__name__,
)
def test_a_callable_is_described_by_its_own_docstring(function):
    defined = definition(function)

    assert defined["description"] == "Search the web."
    assert list(defined["parameters"]["properties"]) == ["query"]


@pytest.mark.parametrize(
    ("function", "name"),
    [(Decorator(search), "search"), (functools.lru_cache(search), "search"), (Search(), "Search")],
)
def test_a_callable_has_the_name_of_its_function_or_class(function, name):
    assert definition(function)["name"] == name


def test_the_args_of_a_decorated_function_describe_its_parameters():
    for function in (Decorator(search), functools.lru_cache(search), Explicit()):
        properties = definition(function)["parameters"]["properties"]

        assert properties["query"]["description"] == "A few words."


class Line(pydantic.BaseModel):
    text: str


class Page(pydantic.BaseModel, Generic[T]):
    line: Line
    item: T


class Größe(  # noqa: PLC2401 - it is tested
    pydantic.BaseModel
):
    line: Line


def other_line():
    class Line(pydantic.BaseModel):
        number: int

    class Page(pydantic.BaseModel):
        line: Line

    return Page


@pytest.mark.parametrize(
    "kind", [Page[int], Page[Line], list[Page[dict[str, Line]]], Größe, list[Größe], Box[list[int]]]
)
def test_references_have_only_safe_characters_and_targets(kind):
    schema = schema_of(kind)
    text = msgspec.json.encode(schema).decode()

    references = {part.partition('"')[0] for part in text.split('"$ref":"')[1:]}

    assert references == {f"#/$defs/{name}" for name in schema.get("$defs", {})}
    for reference in references:
        assert set(reference.removeprefix("#/$defs/")) <= set(
            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"
        )


def test_models_of_the_same_name_keep_their_own_definitions():
    other = other_line()
    book = msgspec.defstruct("Book", [("first", Page[int]), ("second", other)])
    again = msgspec.defstruct("Book", [("first", other), ("second", list[other_line()])])

    first = schema_of(book)
    second = schema_of(again)

    assert [sorted(one["properties"]) for one in first["$defs"].values()] == [["text"], ["number"]]
    assert len(second["$defs"]) == 2
