"""`client.map`: order, errors, memory, blocking and async."""

from __future__ import annotations

import asyncio
import gc
import itertools
import time
import warnings

import pytest

from acechat import BatchRowError, BatchStoppedError, Client, RetryPolicy
from acechat.batch.storage.journal import RowStates


def numbers(count):
    return [f"p{n}" for n in range(count)]


@pytest.fixture
def uneven(service):
    """Make even rows slow."""

    async def handler(prompt, _):
        await asyncio.sleep(0.05 if int(prompt[1:]) % 2 == 0 else 0)

    service.handler = handler


def test_results_come_in_order_of_the_items(connect, run, uneven):
    async def running():
        async with connect() as client:
            return [result.text async for result in client.map(numbers(100))]

    assert run(running) == numbers(100)


def test_results_can_come_as_they_are_completed(connect, run, uneven):
    async def running():
        async with connect() as client:
            return [result.row async for result in client.map(numbers(40), as_completed=True)]

    rows = run(running)
    assert sorted(rows) == list(range(40))
    assert rows != sorted(rows)


@pytest.mark.parametrize("status", ["429 Slow", "503 Busy", "500 Error"])
def test_the_limit_adapts_and_refusals_fail_no_item(connect, run, service, wire, status):
    """The service bears ten requests at a time; `map` starts with eight and doubles."""
    code = {"429": "too_many_requests", "503": "busy", "500": "api_error"}[status[:3]]
    refused = 0

    async def handler(prompt, _):
        nonlocal refused
        if service.running > 10:
            refused += 1
            return wire.refusal(status, code)
        await asyncio.sleep(0.02)
        return None

    service.handler = handler

    async def running():
        async with connect() as client, client.map(numbers(600), retries=1) as batch:
            results = [result async for result in batch]
            return results, batch.progress

    results, progress = run(running)
    assert [result.text for result in results] == numbers(600)
    assert 0 < refused < 200
    assert progress.summary.refused == refused
    assert service.most > 10


def test_one_retry_after_holds_all_items(connect, run, service, wire):
    times = []

    def handler(prompt, _):
        times.append(time.monotonic())
        if len(times) == 20:
            return wire.refusal("429 Slow", "too_many_requests", retry_after="1")
        return None

    service.handler = handler

    async def running():
        async with connect() as client:
            return [result.text async for result in client.map(numbers(100))]

    assert run(running) == numbers(100)
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert max(gaps) >= 0.9
    assert sum(gap >= 0.5 for gap in gaps) == 1


def test_an_error_is_a_result(connect, run, service, wire):
    service.handler = lambda prompt, _: (
        wire.refusal("400 No", "bad_request") if prompt == "p3" else None
    )

    async def running():
        async with connect() as client:
            return [result async for result in client.map([*numbers(5), 7])]

    results = run(running)
    assert [result.error is None for result in results] == [True] * 3 + [False, True, False]
    assert isinstance(results[5].error, BatchRowError)


def test_items_have_many_forms(connect, run, service):
    message = {"role": "user", "content": "c"}
    items = ["a", {"prompt": "b", "max_tokens": 1}, [message], {"messages": [message]}, ("d",)]

    async def running():
        async with connect() as client:
            return [result.text async for result in client.map(items, system="S")]

    assert run(running) == ["a", "b", "c", "c", "d"]
    assert all(body["messages"][0]["content"] == "S" for body in service.bodies)


@pytest.mark.parametrize("as_completed", [False, True])
def test_items_are_taken_when_there_is_room(connect, run, service, as_completed):
    """One slow row, or a slow caller, does not make memory grow."""
    taken = 0

    async def items():
        nonlocal taken
        while True:
            yield f"p{taken}"
            taken += 1

    async def handler(prompt, _):
        if prompt == "p0" and not as_completed:
            await asyncio.sleep(30)

    service.handler = handler

    async def running():
        async with connect() as client, client.map(items(), as_completed=as_completed) as batch:
            if as_completed:
                await batch.receive()
            await asyncio.sleep(3)
            batch.cancel()

    run(running)
    assert 100 < taken <= 2500


def test_a_loop_that_breaks_leaves_nothing(connect, run, service):
    service.latency = 0.02

    async def running():
        async with connect() as client, client.map(numbers(100)) as batch:
            async for _ in batch:
                break

    run(running)


def test_a_loop_that_breaks_without_a_block_warns(connect, run, service):
    service.latency = 0.02

    async def running():
        async with connect() as client:
            async for _ in client.map(numbers(100)):
                break
            gc.collect()
            await asyncio.sleep(0.1)

    with pytest.warns(ResourceWarning, match="unclosed AsyncBatch"):
        run(running)


def test_blocking(service):
    with Client("t-1", base_url=service.url, proxy="") as client:
        assert [result.text for result in client.map(numbers(50))] == numbers(50)
        with client.map(numbers(20), concurrency=3, retries=RetryPolicy()) as batch:
            assert [result.text for result in batch] == numbers(20)
    assert service.most <= 256


def test_structured_output(connect, run, service, wire):
    body = wire.completion("")
    call = {"id": "t", "type": "function"}
    call["function"] = {"name": "answer", "arguments": '{"value": 5}'}
    body["choices"][0]["message"] |= {"content": None, "tool_calls": [call]}
    service.handler = lambda prompt, _: wire.reply(body)

    async def running():
        async with connect() as client:
            return [each.output async for each in client.map(["a", "b"], output_type=int)]

    assert run(running) == [5, 5]


def test_states_take_five_bytes_a_row():
    states = RowStates()
    states.set(99_999, 1, 7)

    assert len(states._states) + len(states._contents) * states._contents.itemsize == 500_000


def test_no_warning_for_one_that_was_never_read(connect, run):
    async def running():
        async with connect() as client:
            client.map(numbers(3))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(running)
        gc.collect()


def test_a_row_that_waits_for_another_attempt_is_not_forgotten_by_the_rows_after_it(
    connect, run, service, wire
):
    """1,000 results wait for it; more rows would have no room."""
    service.handler = lambda prompt, n: (
        wire.refusal("500 No", "api_error") if prompt == "p0" and n < 3 else None
    )

    async def reading():
        async with connect() as client, client.map(f"p{n}" for n in range(2500)) as results:
            return [result.text async for result in results]

    assert run(reading) == [f"p{n}" for n in range(2500)]


@pytest.mark.parametrize("kind", [asyncio.CancelledError, GeneratorExit])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_an_iterable_that_ends_by_no_common_exception_is_no_complete_one(
    connect, run, kind, asynchronous
):
    def items():
        yield "a"
        raise kind

    async def async_items():
        yield "a"
        raise kind

    async def reading():
        async with connect() as client:
            results = client.map(async_items() if asynchronous else items())
            first = await anext(results)
            with pytest.raises(BatchStoppedError, match=kind.__name__):
                await results.collect()
            return first.text

    assert run(reading) == "a"


@pytest.mark.parametrize("yields", [False, True])
@pytest.mark.parametrize("breaks", [False, True])
def test_an_iterable_that_cannot_be_closed_does_not_stop_the_end(connect, run, yields, breaks):
    async def items():
        try:
            for n in range(10_000):
                yield f"p{n}"
        finally:
            if yields:
                yield "more"  # forbidden: RuntimeError
            raise LookupError("closing")

    async def reading():
        async with connect() as client:
            given = items()
            async with client.map(given) as results:
                await anext(results)
                if not breaks:
                    results.drain()
                    with pytest.raises((LookupError, RuntimeError), match=r"closing|GeneratorExit"):
                        await results.collect()
            if yields:
                with pytest.raises(LookupError):  # ends it
                    await anext(given)

    run(reading)
