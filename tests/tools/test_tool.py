"""Functions to tools (name, description, schema), and JSON to their arguments."""

from __future__ import annotations

import gc
import inspect
import math
import weakref
from collections.abc import Sequence
from functools import partial, update_wrapper, wraps
from inspect import iscoroutinefunction
from types import MethodType
from typing import Annotated, Literal

import msgspec
import pydantic
import pytest
from msgspec import Meta, Struct

from acechat import ConfigurationError, Tool, tool
from acechat._tools.schema import SchemaMismatchError
from acechat._tools.tool import _compiled, by_name, compile_tool


class Place(Struct):
    city: str
    country: str = "FR"


class Order(pydantic.BaseModel):
    amount: Annotated[int, pydantic.Field(ge=1)]


async def weather(
    place: Place, days: Annotated[int, Meta(ge=1, le=7)] = 1, unit: Literal["C", "F"] = "C"
) -> str:
    """Forecast the weather.

    Use it for the days to come.

    Args:
        place: Where, as far as
            it is known.
        days (int): How many: from today on.

    Returns:
        One line.
    """
    return f"{place.city} {days} {unit}"


class Shop:
    def price(self, item: str, amount: int = 1) -> float:
        """Return a price."""
        return amount * len(item)

    def __call__(self, item: str) -> str:
        """Buy something."""
        return item


def as_tools(*functions):
    """Yield a `Tool` with the definition that `run` sends for each function."""
    for compiled, function, _ in by_name(functions).values():
        definition = msgspec.json.decode(compiled.encoded)["function"]
        yield Tool(function=function, timeout=compiled.timeout, read=compiled.read, **definition)


def as_tool(function):
    return next(as_tools(function))


def parameters(function):
    return as_tool(function).definition["function"]["parameters"]


def test_the_signature_and_the_docstring_are_the_definition():
    assert as_tool(weather).definition == {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Forecast the weather.\n\nUse it for the days to come.",
            "parameters": {
                "type": "object",
                "properties": {
                    "place": {
                        "$ref": "#/$defs/Place",
                        "description": "Where, as far as it is known.",
                    },
                    "days": {
                        "type": "integer",
                        "minimum": 1,
                        "maximum": 7,
                        "default": 1,
                        "description": "How many: from today on.",
                    },
                    "unit": {"enum": ["C", "F"], "default": "C"},
                },
                "required": ["place"],
                "additionalProperties": False,
                "$defs": {
                    "Place": {
                        "title": "Place",
                        "type": "object",
                        "properties": {
                            "city": {"type": "string"},
                            "country": {"type": "string", "default": "FR"},
                        },
                        "required": ["city"],
                    }
                },
            },
        },
    }


def test_arguments_have_the_annotated_types():
    read = as_tool(weather).read('{"place": {"city": "Paris"}, "days": 2}')

    assert read == {"place": Place("Paris"), "days": 2}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("{}", "missing required field `place`"),
        ('{"place": {"city": 1}}', r"\$.place.city"),
        ('{"place": {"city": "x"}, "days": 9}', r"<= 7.*\$.days"),
        ('{"place": {"city": "x"}, "day": 1}', "unknown field `day`"),
        ('{"place": ', "invalid JSON"),
        ("[]", "Expected `object`"),
    ],
)
def test_invalid_arguments_raise_an_error_with_the_path(arguments, expected):
    with pytest.raises(SchemaMismatchError, match=expected):
        as_tool(weather).read(arguments)


def test_a_function_without_parameters_has_an_empty_object_schema():
    def now() -> str:
        return "12:00"

    assert parameters(now)["type"] == "object"
    assert as_tool(now).read("{}") == {}


def test_methods_and_callable_objects_are_tools():
    shop = Shop()

    price = as_tool(shop.price)
    assert (price.name, price.description) == ("price", "Return a price.")
    assert price(**price.read('{"item": "tea"}')) == 3
    assert (as_tool(shop).name, as_tool(shop).description) == ("Shop", "Buy something.")
    assert list(parameters(shop)["properties"]) == ["item"]


def test_bound_arguments_of_a_partial_are_not_in_the_schema():
    inner = as_tool(partial(partial(Shop().price, amount=3)))

    assert list(inner.parameters["properties"]) == ["item"]
    assert inner.name == "price"
    assert inner(**inner.read('{"item": "tea"}')) == 9
    assert list(parameters(partial(Shop.price, Shop()))["properties"]) == ["item", "amount"]


def test_a_wrapper_has_the_signature_of_its_function():
    @wraps(weather)
    async def logged(*args, **kwargs):
        return await weather(*args, **kwargs)

    assert as_tool(logged).definition == as_tool(weather).definition


def test_a_default_without_json_is_left_to_the_function():
    sentinel = object()

    def find(name: str = sentinel) -> object:  # type: ignore[assignment]
        return name

    made = as_tool(find)
    assert "default" not in made.parameters["properties"]["name"]
    assert made(**made.read("{}")) is sentinel


@pytest.mark.parametrize(
    ("hint", "default", "expected"),
    [
        (float, math.inf, {}),
        (float | None, math.nan, {}),
        (list[float], [math.inf], {}),
        (int, None, {}),
        (Annotated[int, Meta(ge=1)], 0, {}),
        (int | None, None, {"default": None}),
        (Sequence[str], (), {"default": []}),
        (Place, Place("Rom"), {"default": {"city": "Rom", "country": "FR"}}),
    ],
)
def test_a_default_is_in_the_schema_if_it_is_valid(hint, default, expected):
    def find(what=default) -> None: ...

    find.__annotations__["what"] = hint

    known = parameters(find)["properties"]["what"]
    assert {key: value for key, value in known.items() if key == "default"} == expected
    assert as_tool(find).read("{}") == {}


def test_a_decorated_function_is_unchanged_and_has_overrides():
    @tool(name="forecast", description="Look outside.", timeout=2)
    def look(city: str) -> str:
        """Unused."""
        return city

    made = as_tool(look)
    assert look("Rom") == "Rom"
    assert (made.name, made.description, made.timeout) == ("forecast", "Look outside.", 2)


def test_the_decorator_needs_no_arguments_and_works_on_methods():
    class House:
        @tool
        def door(self, open_: bool) -> None:
            """Move the door."""

        @tool(name="light")
        def lamp(self, on: bool) -> None: ...

    house = House()
    assert [as_tool(one).name for one in (house.door, house.lamp)] == ["door", "light"]
    assert list(parameters(house.lamp)["properties"]) == ["on"]


def test_one_function_may_be_several_tools():
    def look(place: str) -> str:
        return place

    front, back = tool(look, name="front", timeout=2), tool(look, name="back")

    assert front is look
    assert back("out") == "out"
    named = as_tools(front, back)
    assert [(one.name, one.timeout) for one in named] == [("front", 2), ("back", 2)]
    assert as_tool(tool(back, description="Behind.")).name == "back"
    assert tool(front, name="front") is front


def test_methods_of_two_objects_are_separate_tools():
    class Door:
        def __init__(self, place):
            self.place = place

        def move(self, open_: bool) -> str:
            """Move the door."""
            return f"{self.place} {open_}"

        @tool(timeout=5)
        async def lock(self) -> str:
            return self.place

    front, back = Door("front"), Door("back")

    made = as_tools(
        tool(front.move, name="front"),
        tool(back.move, name="back"),
        tool(front.lock, name="lock_front"),
        back.lock,
    )
    named = {one.name: one for one in made}

    assert list(named) == ["front", "back", "lock_front", "lock"]
    assert named["front"](open_=True) == "front True"
    assert named["back"](**named["back"].read('{"open_": false}')) == "back False"
    assert named["back"].description == "Move the door."
    assert {one.timeout for one in named.values()} == {None, 5}
    assert [iscoroutinefunction(one.function) for one in named.values()] == [
        False,
        False,
        True,
        True,
    ]


def test_objects_without_attributes_can_have_overrides():
    class Bell:
        __slots__ = ()

        def __call__(self) -> str:
            return "ding"

    made = Tool(name="row", function=dict, description="Keep.")

    assert as_tool(tool(Bell(), name="bell"))() == "ding"
    assert tool(made, name="column") == Tool(name="column", function=dict, description="Keep.")
    with pytest.raises(ConfigurationError, match="invalid tool name: 'two words'"):
        tool(made, name="two words")


def takes_anything(city: str, **more: str) -> None: ...
def takes_many(*cities: str) -> None: ...
def takes_positional(city: str, /) -> None: ...
def takes_untyped(city) -> None: ...
def takes_object(city: object) -> None: ...
def takes_nowhere(city: Nowhere) -> None: ...  # noqa: F821


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (takes_anything, r"'takes_anything' has the parameter \*\*more"),
        (takes_many, r"'takes_many' has the parameter \*cities"),
        (takes_positional, "has the positional-only parameter 'city'"),
        (takes_untyped, "has the parameter 'city' without a type"),
        (takes_object, "'city' of the tool 'takes_object'"),
        (takes_nowhere, "annotation of the tool 'takes_nowhere' .* 'Nowhere'"),
        (lambda: 1, "invalid tool name: '<lambda>'"),
        (dict.fromkeys, "cannot|without a type|positional-only"),
    ],
)
def test_unsupported_parameters_raise_an_error_with_their_name(function, expected):
    with pytest.raises(ConfigurationError, match=expected):
        as_tool(function)


def takes_one_or_more(amount: Annotated[int, pydantic.Field(ge=1)]) -> None: ...
def takes_some(amount: int = pydantic.Field(1, ge=1)) -> None: ...
def takes_positive(amount: list[pydantic.PositiveInt] | None = None) -> None: ...


@pytest.mark.parametrize("function", [takes_one_or_more, takes_some, takes_positive])
def test_pydantic_constraints_outside_of_a_model_are_rejected(function):
    with pytest.raises(ConfigurationError, match=r"'amount' of the tool .*msgspec\.Meta"):
        as_tool(function)


def test_pydantic_constraints_in_a_model_are_enforced():
    def buy(order: Annotated[Order, Meta(description="What to buy.")]) -> None: ...

    with pytest.raises(SchemaMismatchError, match="greater than or equal to 1"):
        as_tool(buy).read('{"order": {"amount": 0}}')


def test_duplicate_names_are_rejected():
    with pytest.raises(ConfigurationError, match="two tools are named 'weather'"):
        by_name([weather, weather])
    assert list(by_name([weather, partial(Shop().price)])) == ["weather", "price"]


def test_tools_without_a_function_are_rejected():
    with pytest.raises(ConfigurationError, match="not its JSON"):
        by_name([as_tool(weather).definition])
    with pytest.raises(TypeError, match="not int"):
        by_name([3])


def test_a_constructed_tool_receives_the_models_arguments():
    parameters = {"type": "object", "properties": {}}
    made = Tool(name="row", function=dict, parameters=parameters, description="Keep.")

    assert made(**made.read('{"a": [1]}')) == {"a": [1]}
    assert as_tool(made) == made
    with pytest.raises(SchemaMismatchError):
        made.read("[1]")


def test_a_non_finite_number_raises_an_error_with_the_path():
    with pytest.raises(ConfigurationError, match=r"function\.parameters\.minimum is nan"):
        compile_tool(Tool(name="row", function=dict, parameters={"minimum": math.nan}))


def test_the_cache_does_not_keep_a_function_alive():
    def once(city: str) -> str:
        return city

    compile_tool(once)
    seen = weakref.ref(once)
    del once
    gc.collect()

    assert seen() is None


def price(item: str, amount: int = 1) -> float:
    """Return a price."""
    return amount * len(item)


@pytest.mark.parametrize(
    "make",
    [
        lambda: price,
        lambda: Shop().price,
        lambda: partial(price, "tea"),
        lambda: partial(price, amount=object()),
        lambda: partial(Shop().price, amount=2),
    ],
    ids=["function", "method", "partial", "partial by name", "partial of a method"],
)
def test_equally_bound_functions_are_compiled_once(make):
    assert compile_tool(make()) is compile_tool(make())


def test_the_cache_of_one_function_is_bounded():
    for number in range(200):
        made = compile_tool(tool(partial(price, amount=1), description=f"For user {number}."))
        assert f"For user {number}." in made.encoded.decode()

    assert len(_compiled[weakref.ref(price)]) <= 32


def test_overrides_of_a_compiled_function_take_effect():
    def look(place: str) -> str:
        return place

    assert (compile_tool(look).name, compile_tool(look).timeout) == ("look", None)
    tool(look, timeout=3)
    assert (compile_tool(look).name, compile_tool(look).timeout) == ("look", 3)
    look.__name__ = "gaze"
    assert [compile_tool(look).name for _ in range(2)] == ["gaze", "gaze"]


def test_differently_bound_functions_are_compiled_separately():
    shop = Shop()
    ways = [
        (price, ["item", "amount"]),
        (partial(price, "tea"), ["amount"]),
        (partial(price, amount=3), ["item"]),
        (partial(price, item="tea"), ["amount"]),
        (partial(price, item="tea", amount=3), []),
        (update_wrapper(partial(price, "tea"), price), ["item", "amount"]),
        (shop.price, ["item", "amount"]),
        (partial(shop.price, "tea"), ["amount"]),
        (MethodType(price, "tea"), ["amount"]),
    ]

    for _ in range(2):
        assert [list(parameters(made)["properties"]) for made, _ in ways] == [
            taken for _, taken in ways
        ]
    with pytest.raises(ConfigurationError, match="parameter 'self' without a type"):
        as_tool(Shop.price)


def test_a_method_without_a_docstring_inherits_one():
    class Plain:
        def look(self) -> None: ...

    class Inside(Plain):
        def look(self) -> None:
            """Look inside."""

        def look_outside(self):
            return super().look

    assert as_tool(Plain().look).description == ""
    assert as_tool(Inside().look_outside()).description == "Look inside."


def test_the_cache_does_not_keep_the_object_of_a_method_alive():
    shop = Shop()
    as_tool(shop.price)
    as_tool(partial(shop.price, amount=2))
    seen = weakref.ref(shop)
    del shop
    gc.collect()

    assert seen() is None


def test_a_constructed_tool_has_no_parameters_by_default():
    made = Tool(name="now", function=lambda: "noon")

    assert made.parameters == {"type": "object", "properties": {}}
    assert made() == "noon"


def test_a_function_without_a_signature_is_rejected():
    with pytest.raises(ConfigurationError, match="cannot read the parameters of the tool 'max'"):
        as_tool(max)


def test_a_name_that_is_no_type_name_raises_a_configuration_error():
    with pytest.raises(ConfigurationError, match="cannot build a JSON Schema"):
        as_tool(tool(lambda: 1, name="a\0b"))


def test_args_may_follow_other_sections():
    def look(place: str) -> str:
        """Look.

        Returns:
            What is seen.

        Args:
            place: Where to.
        """
        return place

    made = as_tool(look)

    assert made.description == "Look."
    assert parameters(look)["properties"]["place"]["description"] == "Where to."


def test_a_docstring_without_args_is_the_description():
    def look(place: str) -> str:
        """Look.

        Returns:
            What is seen.
        """
        return place

    assert as_tool(look).description == "Look."
    assert "description" not in parameters(look)["properties"]["place"]


@pytest.mark.parametrize("name", ["größe", "ciudad_ñ", "城市", "x" * 65])
def test_parameter_names_that_the_service_rejects_are_refused(name):
    namespace = {}
    exec(f"def search({name}: int) -> str: ...", namespace)
    (parsed,) = inspect.signature(namespace["search"]).parameters  # in normal form

    with pytest.raises(ConfigurationError, match=f"the tool 'search' has the parameter '{parsed}'"):
        compile_tool(namespace["search"])
    with pytest.raises(ConfigurationError, match=f"'row' has the parameter '{parsed}'"):
        Tool(name="row", function=print, parameters={"properties": {parsed: {}}})


def test_a_parameter_name_may_have_64_characters_dots_and_dashes():
    properties = {"x" * 64: {}, "a.b-c_9": {}}

    made = Tool(name="row", function=print, parameters={"properties": properties})

    assert made.definition["function"]["parameters"] == {
        "type": "object",
        "properties": properties,
    }


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"type": "string"}, "must have the type 'object', not 'string'"),
        ({"type": ["object", "null"]}, "must have the type 'object'"),
        ({"anyOf": [{"type": "object"}]}, "have 'anyOf' at the top level"),
        ({"type": "object", "oneOf": []}, "have 'oneOf' at the top level"),
        ({"type": "object", "allOf": []}, "have 'allOf' at the top level"),
    ],
)
def test_parameters_that_the_service_rejects_are_refused(parameters, reason):
    with pytest.raises(ConfigurationError, match=f"the parameters of the tool 'row' {reason}"):
        Tool(name="row", function=print, parameters=parameters)


def test_parameters_without_a_type_or_properties_are_completed():
    for given in ({}, {"type": "object"}, {"properties": {}}):
        made = Tool(name="row", function=print, parameters=given)

        assert made.definition["function"]["parameters"] == {"type": "object", "properties": {}}


@pytest.mark.parametrize("arguments", ["null", "{}"])
def test_null_stands_for_no_arguments(arguments):
    def look(days: int = 1) -> None: ...

    assert compile_tool(look).read(arguments) == {}
    assert Tool(name="row", function=print).read(arguments) == {}


def test_null_is_no_value_of_a_required_parameter():
    def look(days: int) -> None: ...

    with pytest.raises(SchemaMismatchError, match="missing required field `days`"):
        compile_tool(look).read("null")
