"""What the model receives of a tool's value or exception, and the context that a tool runs in."""

from __future__ import annotations

import asyncio
import contextvars
import math
from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pydantic
import pytest

from acechat import AsyncClient, Client, ToolError
from acechat.emulator import call, ok


@pytest.fixture(params=["async", "async stream", "blocking", "blocking stream"])
def result_of(request, acechat_service):
    """Run one call of a tool and return its result."""
    mode, _, stream = request.param.partition(" ")
    settings = {"base_url": acechat_service.url, "api_token": acechat_service.token}

    async def asynchronous(**options):
        async with AsyncClient(**settings) as client:
            if stream:
                return await client.run_stream("x", **options).collect()
            return await client.run("x", **options)

    def run(function, **options):
        acechat_service.script(call(function.__name__), ok("Fine."))
        options["tools"] = [function]
        if mode == "async":
            result = asyncio.run(asynchronous(**options))
        else:
            with Client(**settings) as client:
                run = client.run_stream if stream else client.run
                result = run("x", **options)
                result = result.collect() if stream else result
        return result.turns[0].results[0]

    return run


class Point(msgspec.Struct):
    x: float
    at: datetime


class Model(pydantic.BaseModel):
    x: float
    name: str | None = None


NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"count": 0, "mean": math.nan}, '{"count":0,"mean":NaN}'),
        (math.nan, "NaN"),
        (math.inf, "Infinity"),
        ([1.5, -math.inf, None], "[1.5,-Infinity,null]"),
        ({"a": [{"b": (math.nan,)}]}, '{"a":[{"b":[NaN]}]}'),
        ({1: math.nan, "é": None}, '{"1":NaN,"é":null}'),
        (Point(math.nan, NOW), '{"x":NaN,"at":"2026-01-02T00:00:00Z"}'),
        (Model(x=math.nan), '{"x":NaN,"name":null}'),
        ([Model(x=math.inf)], '[{"x":Infinity,"name":null}]'),
        ({"a": Decimal("NaN"), "b": None}, '{"a":"NaN","b":null}'),
        ({"a": None, "é": 1}, '{"a":null,"é":1}'),
        (None, "null"),
        ("null", "null"),
        ({"null": 1.5}, '{"null":1.5}'),
    ],
    ids=repr,
)
def test_a_number_without_json_is_named_in_the_result(result_of, value, told):
    def measure():
        return value

    result = result_of(measure)

    assert (result.content, result.failed) == (told, False)


def fail_with(*errors, notes=()):
    error = errors[0] if len(errors) == 1 else ExceptionGroup("unhandled errors", list(errors))
    for note in notes:
        error.add_note(note)

    def broken() -> None:
        raise error

    return broken


async def lookup() -> None:
    async def part(city):
        raise ValueError(f"no city is called {city}")

    async with asyncio.TaskGroup() as group:
        group.create_task(part("Pariss"))
        group.create_task(part("Romme"))


CITY = ValueError("no such city")


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (lookup, "ValueError: no city is called Pariss; ValueError: no city is called Romme"),
        (fail_with(CITY, KeyError("a")), "ValueError: no such city; KeyError: 'a'"),
        (
            fail_with(ExceptionGroup("inner", [CITY, OSError()]), KeyError("a")),
            "ValueError: no such city; OSError; KeyError: 'a'",
        ),
        (
            fail_with(ValueError("no such city"), notes=["Use English names.", "Try Paris."]),
            "ValueError: no such city\nUse English names.\nTry Paris.",
        ),
        (fail_with(LookupError(), notes=["Use English names."]), "LookupError: Use English names."),
        (
            fail_with(ExceptionGroup("inner", [CITY]), notes=["of the group"]),
            "ValueError: no such city",
        ),
    ],
)
def test_the_reason_reaches_the_model(result_of, function, told):
    result = result_of(function)

    assert (result.content, result.failed) == (f"Error: {told}", True)


def test_a_group_of_many_exceptions_is_shortened(result_of):
    result = result_of(fail_with(*[ValueError(str(number) * 30) for number in range(200)]))

    assert result.content.startswith(f"Error: ValueError: {'0' * 30}; ValueError: {'1' * 30}; ")
    assert len(result.content) < 1100


def test_a_raised_group_is_the_cause_of_the_tool_error(result_of):
    with pytest.raises(ToolError, match="ValueError: no such city; KeyError: 'a'") as caught:
        result_of(fail_with(CITY, KeyError("a")), raise_tool_errors=True)

    assert isinstance(caught.value.__cause__, ExceptionGroup)


def test_a_notes_attribute_of_another_type_is_ignored(result_of):
    class OddError(Exception):
        __notes__ = 3

    assert result_of(fail_with(OddError("no"))).content == "Error: OddError: no"


def test_an_interrupt_inside_of_a_group_ends_the_run(acechat_service):
    async def interrupted() -> None:
        raise BaseExceptionGroup("unhandled errors", [CITY, KeyboardInterrupt()])

    async def main():
        acechat_service.script(call("interrupted"))
        settings = {"base_url": acechat_service.url, "api_token": acechat_service.token}
        async with AsyncClient(**settings) as client:
            with pytest.raises(BaseExceptionGroup, match="unhandled errors"):
                await client.run("x", tools=[interrupted])

    asyncio.run(main())


user = contextvars.ContextVar("user", default="outer")


async def act() -> str:
    before = user.get()
    user.set("tool")
    await asyncio.sleep(0.01)
    return f"{before} {user.get()}"


def act_in_thread() -> str:
    before = user.get()
    user.set("tool")
    return f"{before} {user.get()}"


class Act:
    __name__ = "act"

    async def __call__(self) -> str:
        return await act()


@pytest.mark.parametrize("calls", [1, 2, 3])
@pytest.mark.parametrize("function", [act, act_in_thread, Act()], ids=["async", "thread", "object"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("limit", [None, 5])
def test_each_call_has_its_own_copy_of_the_context(acechat_service, calls, function, stream, limit):
    async def main():
        user.set("caller")
        acechat_service.script(ok(tool_calls=[(function.__name__, {})] * calls), ok("Fine."))
        settings = {"base_url": acechat_service.url, "api_token": acechat_service.token}
        async with AsyncClient(**settings) as client:
            run = client.run_stream if stream else client.run
            result = await run("x", tools=[function], tool_timeout=limit).collect()
        return [one.content for one in result.turns[0].results], user.get()

    assert asyncio.run(main()) == (["caller tool"] * calls, "caller")


def test_a_tool_in_its_own_context_can_be_cancelled_and_clean_up(acechat_service):
    seen = []

    async def slow() -> None:
        user.set("tool")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            seen.append(user.get())
            await asyncio.sleep(0)
            seen.append("cleaned up")
            raise

    async def main():
        acechat_service.script(call("slow"))
        settings = {"base_url": acechat_service.url, "api_token": acechat_service.token}
        async with AsyncClient(**settings) as client:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await client.run("x", tools=[slow])

    asyncio.run(main())

    assert seen == ["tool", "cleaned up"]
