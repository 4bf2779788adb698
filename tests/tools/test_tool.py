"""Functions become tools: name, description, schema; and JSON becomes their arguments."""

from __future__ import annotations

import gc
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
from acechat._tools.tool import _forms, by_name, compile_tool


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
        """Tell a price."""
        return amount * len(item)

    def __call__(self, item: str) -> str:
        """Buy something."""
        return item


def as_tools(*functions):
    """Make by hand what `run` makes of functions: what the service is told, and what is called."""
    for form, function in by_name(functions).values():
        told = msgspec.json.decode(form.written)["function"]
        yield Tool(function=function, timeout=form.timeout, read=form.read, **told)


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


def test_arguments_come_as_the_types_that_the_function_names():
    read = as_tool(weather).read('{"place": {"city": "Paris"}, "days": 2}')

    assert read == {"place": Place("Paris"), "days": 2}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("{}", "missing required field `place`"),
        ('{"place": {"city": 1}}', r"\$.place.city"),
        ('{"place": {"city": "x"}, "days": 9}', r"<= 7.*\$.days"),
        ('{"place": {"city": "x"}, "day": 1}', "unknown field `day`"),
        ('{"place": ', "no JSON"),
        ("[]", "Expected `object`"),
    ],
)
def test_arguments_that_do_not_fit_are_told_where(arguments, told):
    with pytest.raises(SchemaMismatchError, match=told):
        as_tool(weather).read(arguments)


def test_a_function_without_parameters_has_an_object_as_its_schema_all_the_same():
    def now() -> str:
        return "12:00"

    assert parameters(now)["type"] == "object"
    assert as_tool(now).read("{}") == {}


def test_methods_and_objects_that_can_be_called_are_tools():
    shop = Shop()

    price = as_tool(shop.price)
    assert (price.name, price.description) == ("price", "Tell a price.")
    assert price(**price.read('{"item": "tea"}')) == 3
    assert (as_tool(shop).name, as_tool(shop).description) == ("Shop", "Buy something.")
    assert list(parameters(shop)["properties"]) == ["item"]


def test_what_a_partial_holds_is_not_the_models_business():
    inner = as_tool(partial(partial(Shop().price, amount=3)))

    assert list(inner.parameters["properties"]) == ["item"]
    assert inner.name == "price"
    assert inner(**inner.read('{"item": "tea"}')) == 9
    assert list(parameters(partial(Shop.price, Shop()))["properties"]) == ["item", "amount"]


def test_a_wrapper_that_names_its_function_is_that_function():
    @wraps(weather)
    async def logged(*args, **kwargs):
        return await weather(*args, **kwargs)

    assert as_tool(logged).definition == as_tool(weather).definition


def test_a_default_that_no_json_can_hold_stays_with_the_function():
    sentinel = object()

    def find(name: str = sentinel) -> object:  # type: ignore[assignment]
        return name

    made = as_tool(find)
    assert "default" not in made.parameters["properties"]["name"]
    assert made(**made.read("{}")) is sentinel


@pytest.mark.parametrize(
    ("hint", "default", "told"),
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
def test_a_default_is_told_if_the_model_could_send_it(hint, default, told):
    def find(what=default) -> None: ...

    find.__annotations__["what"] = hint

    known = parameters(find)["properties"]["what"]
    assert {key: value for key, value in known.items() if key == "default"} == told
    assert as_tool(find).read("{}") == {}


def test_a_decorated_function_stays_itself_and_is_told_otherwise():
    @tool(name="forecast", description="Look outside.", timeout=2)
    def look(city: str) -> str:
        """Do not say this."""
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


def test_methods_of_two_objects_are_told_apart():
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


def test_what_can_hold_no_note_may_be_told_otherwise():
    class Bell:
        __slots__ = ()

        def __call__(self) -> str:
            return "ding"

    made = Tool(name="row", function=dict, description="Keep.")

    assert as_tool(tool(Bell(), name="bell"))() == "ding"
    assert tool(made, name="column") == Tool(name="column", function=dict, description="Keep.")
    with pytest.raises(ConfigurationError, match="cannot be named 'two words'"):
        tool(made, name="two words")


def takes_anything(city: str, **more: str) -> None: ...
def takes_many(*cities: str) -> None: ...
def takes_by_place(city: str, /) -> None: ...
def takes_untyped(city) -> None: ...
def takes_object(city: object) -> None: ...
def takes_nowhere(city: Nowhere) -> None: ...  # noqa: F821


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (takes_anything, r"'takes_anything' takes \*\*more"),
        (takes_many, r"'takes_many' takes \*cities"),
        (takes_by_place, "'takes_by_place' takes 'city' by position only"),
        (takes_untyped, "'takes_untyped' does not say of what type 'city' is"),
        (takes_object, "'city' of the tool 'takes_object'"),
        (takes_nowhere, "'takes_nowhere' names a type .* 'Nowhere'"),
        (lambda: 1, "cannot be named '<lambda>'"),
        (dict.fromkeys, "cannot|does not|by position only"),
    ],
)
def test_what_no_model_can_call_is_refused_with_the_parameters_name(function, told):
    with pytest.raises(ConfigurationError, match=told):
        as_tool(function)


def takes_one_or_more(amount: Annotated[int, pydantic.Field(ge=1)]) -> None: ...
def takes_some(amount: int = pydantic.Field(1, ge=1)) -> None: ...
def takes_positive(amount: list[pydantic.PositiveInt] | None = None) -> None: ...


@pytest.mark.parametrize("function", [takes_one_or_more, takes_some, takes_positive])
def test_constraints_that_would_not_hold_are_refused(function):
    with pytest.raises(ConfigurationError, match=r"'amount' of the tool .*msgspec\.Meta"):
        as_tool(function)


def test_in_a_pydantic_model_pydantics_constraints_hold():
    def buy(order: Annotated[Order, Meta(description="What to buy.")]) -> None: ...

    with pytest.raises(SchemaMismatchError, match="greater than or equal to 1"):
        as_tool(buy).read('{"order": {"amount": 0}}')


def test_two_tools_of_one_name_are_refused():
    with pytest.raises(ConfigurationError, match="two tools are named 'weather'"):
        by_name([weather, weather])
    assert list(by_name([weather, partial(Shop().price)])) == ["weather", "price"]


def test_json_cannot_be_called():
    with pytest.raises(ConfigurationError, match="JSON cannot be called"):
        by_name([as_tool(weather).definition])
    with pytest.raises(TypeError, match="not int"):
        by_name([3])


def test_a_tool_made_by_hand_gets_what_the_model_sends():
    made = Tool(name="row", function=dict, parameters={"type": "object"}, description="Keep.")

    assert made(**made.read('{"a": [1]}')) == {"a": [1]}
    assert as_tool(made) == made
    with pytest.raises(SchemaMismatchError):
        made.read("[1]")


def test_a_number_that_json_cannot_hold_is_refused_where_it_stands():
    with pytest.raises(ConfigurationError, match=r"function\.parameters\.minimum is nan"):
        compile_tool(Tool(name="row", function=dict, parameters={"minimum": math.nan}))


def test_a_function_that_nobody_keeps_is_not_kept_as_a_tool():
    def once(city: str) -> str:
        return city

    compile_tool(once)
    seen = weakref.ref(once)
    del once
    gc.collect()

    assert seen() is None


def price(item: str, amount: int = 1) -> float:
    """Tell a price."""
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
def test_what_is_made_of_a_function_in_the_same_way_is_read_once(make):
    assert compile_tool(make()) is compile_tool(make())


def test_a_function_of_which_something_else_is_said_each_time_keeps_little():
    for number in range(200):
        made = compile_tool(tool(partial(price, amount=1), description=f"For user {number}."))
        assert f"For user {number}." in made.written.decode()

    assert len(_forms[weakref.ref(price)]) <= 32


def test_what_is_said_of_a_function_that_has_been_a_tool_holds_from_then_on():
    def look(place: str) -> str:
        return place

    assert (compile_tool(look).name, compile_tool(look).timeout) == ("look", None)
    tool(look, timeout=3)
    assert (compile_tool(look).name, compile_tool(look).timeout) == ("look", 3)
    look.__name__ = "gaze"
    assert [compile_tool(look).name for _ in range(2)] == ["gaze", "gaze"]


def test_what_is_made_of_a_function_in_other_ways_is_told_apart():
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
    with pytest.raises(ConfigurationError, match="'self' is"):
        as_tool(Shop.price)


def test_a_method_without_a_docstring_has_that_of_its_objects_class():
    class Plain:
        def look(self) -> None: ...

    class Inside(Plain):
        def look(self) -> None:
            """Look inside."""

        def look_outside(self):
            return super().look

    assert as_tool(Plain().look).description == ""
    assert as_tool(Inside().look_outside()).description == "Look inside."


def test_an_object_that_nobody_keeps_is_not_kept_for_its_method():
    shop = Shop()
    as_tool(shop.price)
    as_tool(partial(shop.price, amount=2))
    seen = weakref.ref(shop)
    del shop
    gc.collect()

    assert seen() is None


def test_a_tool_made_by_hand_takes_nothing_unless_it_says_so():
    made = Tool(name="now", function=lambda: "noon")

    assert made.parameters == {"type": "object", "properties": {}}
    assert made() == "noon"


def test_a_function_that_hides_what_it_takes_is_refused():
    with pytest.raises(ConfigurationError, match="'max' does not tell what it takes"):
        as_tool(max)


def test_a_name_that_no_type_can_have_is_refused_by_us():
    with pytest.raises(ConfigurationError, match="cannot be told as JSON"):
        as_tool(tool(lambda: 1, name="a\0b"))


def test_what_a_tool_takes_may_stand_after_other_sections():
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


def test_a_docstring_with_sections_need_not_speak_of_arguments():
    def look(place: str) -> str:
        """Look.

        Returns:
            What is seen.
        """
        return place

    assert as_tool(look).description == "Look."
    assert "description" not in parameters(look)["properties"]["place"]
