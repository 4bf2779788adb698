"""Cost, budgets and the catalogue, async and sync."""

from __future__ import annotations

import asyncio
import os
import pickle
import threading
from contextlib import suppress
from decimal import Decimal

import pytest

from acechat import (
    AceChatError,
    AsyncClient,
    BadRequestError,
    Budget,
    BudgetExceededError,
    CallFailed,
    Client,
    HTTPResponse,
    NotFoundError,
    RateLimit,
    StreamTruncatedError,
)
from acechat.emulator import MODELS, cut, fail, ok, pace, raw, stall

TOKEN = "emulated-token"
BOTH = pytest.mark.parametrize("method", ["chat", "stream"])


@pytest.fixture
def client(mode, acechat_service):
    """Return a client whose methods block, async or sync."""
    made = []

    def make(**options):
        settings = {"base_url": acechat_service.url, **options}
        if mode == "blocking":
            made.append(Client(TOKEN, **settings))
            return made[-1]
        return Awaited(AsyncClient(TOKEN, **settings))

    yield make
    for one in made:
        one.close()


class Awaited:
    """An `AsyncClient`, each call of which has an event loop of its own."""

    def __init__(self, client):
        self.client = client
        self.meter = client.meter
        self.save_cassette = client.save_cassette

    def chat(self, *content, **options):
        return asyncio.run(self.client.chat(*content, **options))

    def read(self, *content):
        async def read():
            return await self.client.stream(*content).collect()

        return asyncio.run(read())

    def catalog(self):
        return asyncio.run(self.client.catalog())


def answer(client, method):
    if method == "chat":
        return client.chat("Hello")
    return client.read("Hello") if isinstance(client, Awaited) else client.stream("Hello").collect()


@BOTH
def test_a_completion_has_its_cost(client, acechat_service, method):
    acechat_service.script(ok("Hi", cost=0.00125))

    reply = answer(client(), method)

    assert reply.cost.amount == Decimal("0.00125")
    assert (reply.cost.currency, reply.cost.list_amount) == ("credits", Decimal("0.00125"))


@BOTH
def test_a_completion_without_a_reported_cost_has_cost_none(client, acechat_service, method):
    acechat_service.script(ok("Hi", cost=None))
    assert answer(client(), method).cost is None


@BOTH
def test_the_meter_sums_all_calls(client, acechat_service, method):
    acechat_service.script(ok("Hi", cost=0.1), ok("Hi", cost=0.2), ok("Hi", cost=None))
    one = client()

    replies = [answer(one, method) for _ in range(3)]

    spent = one.meter.snapshot()
    assert (spent.calls, spent.cost, spent.unpriced) == (3, Decimal("0.3"), 1)
    assert spent.total_tokens == sum(reply.usage.total_tokens for reply in replies)


def test_copies_share_the_meter(acechat_service):
    with Client(TOKEN, base_url=acechat_service.url) as client:
        client.with_options(retries=1).chat("Hello")

        assert client.meter.calls == 1


@BOTH
def test_failed_calls_do_not_count(client, acechat_service, method):
    acechat_service.script(fail(401), ok("Hi"))
    one = client()
    with pytest.raises(AceChatError):
        answer(one, method)

    answer(one, method)

    assert one.meter.calls == 1


def test_a_conversation_has_its_own_meter(acechat_service, mode):
    acechat_service.script(ok("a", cost=1), ok("b", cost=2), ok("c", cost=4))
    settings = {"base_url": acechat_service.url}
    if mode == "blocking":
        with Client(TOKEN, **settings) as client:
            talk = client.conversation()
            talk.send("one")
            talk.stream("two").collect()
            other = talk.fork()
            other.send("three")
    else:

        async def converse():
            async with AsyncClient(TOKEN, **settings) as client:
                talk = client.conversation()
                await talk.send("one")
                await talk.stream("two").collect()
                other = talk.fork()
                await other.send("three")
                return client, talk, other

        client, talk, other = asyncio.run(converse())

    assert (talk.meter.calls, talk.meter.cost) == (2, 3)
    assert (other.meter.calls, other.meter.cost) == (1, 4)
    assert (client.meter.calls, client.meter.cost) == (3, 7)


def test_a_turn_truncated_before_its_usage_does_not_count(acechat_service):
    acechat_service.script(cut(after=4, of=ok("one two three")))
    with Client(TOKEN, base_url=acechat_service.url) as client:
        talk = client.conversation()
        with pytest.raises(StreamTruncatedError):
            talk.stream("Hello").collect()

        assert talk.meter.calls == client.meter.calls == 0


@pytest.mark.parametrize("kind", [AsyncClient, Client])
@pytest.mark.parametrize("end", ["cut", "left"])
def test_a_truncated_completion_with_reported_usage_counts_once(kind, end, server, wire):
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}

    async def handler(reader, writer, number):
        writer.write(wire.sse(wire.delta("Hel", usage=usage) + wire.delta("lo"), end=False))
        await writer.drain()
        if end == "left":
            await reader.read()  # until the client leaves
        writer.close()

    server.handler = handler

    def read(client):
        with client.stream("Hello") as stream:
            if end == "left":
                next(iter(stream))
            else:
                with pytest.raises(StreamTruncatedError):
                    stream.collect()

    async def read_async(client):
        async with client, client.stream("Hello") as stream:
            if end == "left":
                await anext(stream)
            else:
                with pytest.raises(StreamTruncatedError):
                    await stream.collect()

    client = kind(TOKEN, base_url=server.url, retries=1)
    if kind is Client:
        with client:
            read(client)
    else:
        asyncio.run(read_async(client))

    assert (client.meter.calls, client.meter.total_tokens) == (1, 7)


@pytest.fixture
def in_a_conversation(mode, acechat_service):
    """Return a function that sends a turn with output type int, and both meters."""

    def turn(model):
        settings = {"base_url": acechat_service.url, "retries": 1, "timeout": 1, "model": model}
        if mode == "blocking":
            with Client(TOKEN, **settings) as client:
                talk = client.conversation()
                with suppress(AceChatError):
                    talk.send("Hello", output_type=int)
                return client.meter.snapshot(), talk.meter.snapshot()

        async def converse():
            async with AsyncClient(TOKEN, **settings) as client:
                talk = client.conversation()
                with suppress(AceChatError):
                    await talk.send("Hello", output_type=int)
                return client.meter.snapshot(), talk.meter.snapshot()

        return asyncio.run(converse())

    return turn


PAID = {"total_tokens": 8, "cost": {"amount": 0.5}}
MISFIT = ok(json="none", usage=PAID)
SILENT = raw(b'{"choices": [{"message": {"content": "1"}}]}', content_type="application/json")


@pytest.mark.parametrize(
    ("second", "calls"),
    [
        (fail(500), 1),
        (raw(b""), 1),
        (cut(after=1, of=ok("one two three")), 1),
        (stall(5, of=ok(json=1)), 1),
        (ok(json="none again"), 2),
        (ok(json=1), 2),
        (SILENT, 2),
    ],
    ids=["refused", "empty", "truncated", "late", "mismatched", "matching", "matching, no usage"],
)
@pytest.mark.parametrize("model", ["claude-sonnet-4-20250514", "claude-opus-4-20250514-thinking"])
def test_a_structured_call_counts_every_request_in_success_and_failure(
    in_a_conversation, acechat_service, second, calls, model
):
    acechat_service.script(MISFIT, second)

    of_the_client, of_the_talk = in_a_conversation(model)

    assert of_the_talk == of_the_client
    assert of_the_talk.calls == calls
    assert of_the_talk.total_tokens >= 8
    assert of_the_talk.cost >= Decimal("0.5")
    assert len(acechat_service.requests) == 2


def test_a_cancelled_turn_counts_its_earlier_completion(acechat_service):
    acechat_service.script(MISFIT, stall(5, of=ok(json=1)))

    async def converse():
        async with AsyncClient(TOKEN, base_url=acechat_service.url) as client:
            talk = client.conversation()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(talk.send("Hello", output_type=int), 0.5)
            return client.meter.snapshot(), talk.meter.snapshot()

    of_the_client, of_the_talk = asyncio.run(converse())

    assert of_the_talk == of_the_client
    assert of_the_talk.total_tokens == 8


# budgets


@BOTH
@pytest.mark.parametrize("budget", [Budget(tokens=10), Budget(credits=0.1)])
def test_a_call_after_the_budget_is_reached_is_not_sent(client, acechat_service, method, budget):
    acechat_service.script(ok("Hi", usage={"total_tokens": 10, "cost": {"amount": 0.1}}))
    one = client(budget=budget)
    answer(one, method)

    with pytest.raises(BudgetExceededError, match="is used up") as caught:
        answer(one, method)

    assert len(acechat_service.requests) == 1
    assert caught.value.attempts == ()
    assert not caught.value.retryable


@BOTH
def test_a_call_over_budget_keeps_the_recording_of_the_previous_call(
    client, acechat_service, method, tmp_path
):
    acechat_service.script(ok("Hi", usage={"total_tokens": 10}))
    one = client(budget=Budget(tokens=10))
    answer(one, method)
    one.save_cassette(tmp_path / "before.acecast")

    with pytest.raises(BudgetExceededError):
        answer(one, method)
    one.save_cassette(tmp_path / "after.acecast")

    assert (tmp_path / "after.acecast").read_text() == (tmp_path / "before.acecast").read_text()


def test_a_reset_restores_the_complete_budget(client, acechat_service):
    one = client(budget=Budget(tokens=1))
    one.chat("Hello")
    one.meter.reset()

    assert one.chat("Hello").text


def test_counting_and_models_ignore_the_budget(acechat_service):
    with Client(TOKEN, base_url=acechat_service.url, budget=Budget(tokens=1)) as client:
        client.chat("Hello")

        assert client.count_tokens("Hello") == 8
        assert client.models()


def as_type(content_type):
    """Make a middleware that changes the content type of streams."""

    async def change(request, call_next):
        answer = await call_next(request)
        if answer.headers["content-type"].startswith("text/event-stream"):
            answer.headers["content-type"] = content_type
        return answer

    return change


def crowd(mode, service, size, method="chat", *, last=True, **options):
    """Make *size* calls at once; return their outcomes, and a last completion.

    The last completion is requested after a reset of the budget; None unless *last*.
    """
    settings = {"base_url": service.url, "timeout": 5, **options}
    if mode == "blocking":
        with Client(TOKEN, **settings) as client:

            def ask():
                try:
                    got.append(answer(client, method))
                except AceChatError as error:
                    got.append(error)

            got = []
            threads = [threading.Thread(target=ask) for _ in range(size)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            client.meter.reset()
            return got, client.chat("Hello") if last else None

    async def main():
        async with AsyncClient(TOKEN, **settings) as client:

            async def ask():
                stream = method == "stream"
                return await (client.stream("Hello").collect() if stream else client.chat("Hello"))

            got = await asyncio.gather(*[ask() for _ in range(size)], return_exceptions=True)
            client.meter.reset()
            return got, await client.chat("Hello") if last else None

    return asyncio.run(main())


@BOTH
def test_a_call_waiting_for_a_slot_is_not_sent_once_the_budget_is_reached(
    mode, acechat_service, method
):
    events = []
    got, after = crowd(
        mode,
        acechat_service,
        10,
        method,
        budget=Budget(tokens=5),
        max_concurrency=1,
        observers=[events.append],
    )

    refused = [one for one in got if isinstance(one, BudgetExceededError)]
    assert len(refused) == 9
    assert all(error.attempts == () for error in refused)
    assert after.text  # all slots were released
    assert len(acechat_service.requests) == 2
    failed = [event for event in events if isinstance(event, CallFailed)]
    assert not any(event.may_be_billed or event.attempts for event in failed)


async def reads_and_waits(request, call_next):
    answer = await call_next(request)
    await answer.read()
    await asyncio.sleep(0.02)
    return answer


async def makes_another(request, call_next):
    body = await (await call_next(request)).read()
    await asyncio.sleep(0.02)
    return HTTPResponse(body)


async def forgets_the_usage(request, call_next):
    answer = await call_next(request)
    await answer.read()
    await asyncio.sleep(0.02)
    return HTTPResponse(b'{"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}')


async def waits_unread(request, call_next):
    answer = await call_next(request)
    await asyncio.sleep(0.02)
    return answer


async def waits_before(request, call_next):
    await asyncio.sleep(0.02)
    return await call_next(request)


async def fails_late(request, call_next):
    await reads_and_waits(request, call_next)
    return HTTPResponse(b"", status=400)


async def raises_late(request, call_next):
    await reads_and_waits(request, call_next)
    raise BadRequestError(400, None, "no")


SLOW = [
    reads_and_waits,
    makes_another,
    forgets_the_usage,
    waits_unread,
    waits_before,
    fails_late,
    raises_late,
]


@BOTH
@pytest.mark.parametrize("between", SLOW, ids=lambda one: one.__name__)
def test_a_slow_middleware_exceeds_the_budget_by_one_call_at_most(
    mode, acechat_service, method, between
):
    acechat_service.script(*[ok("Hi", usage=PAID)] * 30)
    crowd(
        mode,
        acechat_service,
        12,
        method,
        budget=Budget(tokens=20),
        max_concurrency=1,
        retries=1,
        middleware=[between],
        last=False,
    )

    assert len(acechat_service.requests) == 3  # 8 tokens each


@BOTH
def test_a_truncated_completion_read_by_a_middleware_counts_at_once(mode, server, wire, method):
    """It had reported its usage before it was truncated."""

    async def handler(reader, writer, number):
        body = wire.delta("Hel", usage=PAID) + wire.delta("lo")
        writer.write(wire.sse(body))

    server.handler = handler
    got, _ = crowd(
        mode,
        server,
        6,
        method,
        budget=Budget(tokens=8),
        max_concurrency=1,
        retries=1,
        middleware=[reads_and_waits],
        last=False,
    )

    assert len(server.requests) == 1
    assert sum(isinstance(one, BudgetExceededError) for one in got) == 5


@BOTH
@pytest.mark.parametrize("content_type", ["text/event-stream", "text/plain"])
def test_a_completion_is_counted_once_with_any_middleware(
    client, acechat_service, method, content_type
):
    async def waits_unread_twice(request, call_next):
        await call_next(request)
        return await call_next(request)

    async def reads_the_first(request, call_next):
        await (await call_next(request)).read()
        return await call_next(request)

    async def reads_both(request, call_next):
        one, other = await asyncio.gather(call_next(request), call_next(request))
        await one.read()
        await other.read()
        return one

    async def answers_itself(request, call_next):
        return HTTPResponse(b'{"choices": [{"message": {"content": "Hi"}}], "usage": {}}')

    for between, calls in [
        (reads_and_waits, 1),
        (makes_another, 1),
        (forgets_the_usage, 1),
        (waits_unread, 1),
        (waits_unread_twice, 1),
        (reads_the_first, 2),
        (reads_both, 2),
        (answers_itself, 1),
    ]:
        acechat_service.script(*[ok("Hi", usage=PAID)] * 2)
        one = client(middleware=[between, as_type(content_type)])
        answer(one, method)
        spent = one.meter.snapshot()
        assert spent.calls == calls, between
        assert spent.total_tokens == (0 if between is answers_itself else 8 * calls)
        acechat_service.script()


def test_a_middleware_may_use_the_client_after_reading_the_response(acechat_service):
    """With one slot for all, that would wait for itself if the slot were kept."""

    async def main():
        async def judged(request, call_next):
            answer = await call_next(request)
            await answer.read()
            if b"Judge" not in request.body:
                await client.chat("Judge")
            return answer

        async with AsyncClient(
            TOKEN,
            base_url=acechat_service.url,
            max_concurrency=1,
            budget=Budget(tokens=10**6),
            middleware=[judged],
        ) as client:
            await asyncio.wait_for(client.chat("Hello"), 5)
            return client.meter.calls

    assert asyncio.run(main()) == 2


@pytest.mark.parametrize("way", ["chat", "stream", "conversation", "run", "run_stream"])
@pytest.mark.parametrize("amount", ["1e999999999", "-1e999999999", "-1", '"sNaN"', '"inf"'])
def test_an_invalid_cost_does_not_lose_the_completion(acechat_service, mode, way, amount):
    body = (
        f'{{"usage": {{"total_tokens": 5, "cost": {{"amount": {amount}}}}},'
        '"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}'
    )
    acechat_service.script(*[raw(body.encode(), content_type="application/json")] * 2)
    options = {"base_url": acechat_service.url, "retries": 1, "budget": Budget(credits=1)}

    def ask(client):
        return {
            "chat": lambda: client.chat("Hello"),
            "stream": lambda: client.stream("Hello").collect(),
            "conversation": lambda: client.conversation().send("Hello"),
            "run": lambda: client.run("Hello"),
            "run_stream": lambda: client.run_stream("Hello").collect(),
        }[way]()

    async def main():
        async with AsyncClient(TOKEN, **options) as client:
            return [await ask(client) for _ in range(2)], client.meter.snapshot()

    if mode == "async":
        got, spent = asyncio.run(main())
    else:
        with Client(TOKEN, **options) as client:
            got, spent = [ask(client) for _ in range(2)], client.meter.snapshot()

    assert [one.text for one in got] == ["Hi", "Hi"]
    assert (spent.calls, spent.unpriced, spent.cost, spent.total_tokens) == (2, 2, None, 10)


def test_a_call_waiting_for_the_rate_limit_is_not_sent_once_the_budget_is_reached(
    mode, acechat_service, monkeypatch
):
    monkeypatch.setattr("acechat._policy.rate_limiter._WINDOW", 0.3)
    got, after = crowd(
        mode,
        acechat_service,
        3,
        budget=Budget(tokens=5),
        rate_limit=RateLimit(requests_per_minute=1),
    )

    assert sum(isinstance(one, BudgetExceededError) for one in got) == 2
    assert after.text
    assert len(acechat_service.requests) == 2


def test_calls_in_progress_exceed_the_budget_by_their_own_cost_at_most(mode, acechat_service):
    acechat_service.script(*[pace(0.3, of=ok("Hi", usage={"total_tokens": 10}))] * 2)
    got, _ = crowd(mode, acechat_service, 6, budget=Budget(tokens=1), max_concurrency=2)

    spent = [one.usage.total_tokens for one in got if not isinstance(one, Exception)]
    assert spent == [10, 10]
    assert sum(isinstance(one, BudgetExceededError) for one in got) == 4


@pytest.fixture(
    params=["async run", "async turns", "async run_stream", "blocking run", "blocking run_stream"]
)
def run(request, acechat_service):
    """Run a tool until the model stops, with several methods; return the turns."""
    mode, way = request.param.split()

    def add(a: int, b: int) -> int:
        return a + b

    async def main(settings, options):
        async with AsyncClient(TOKEN, base_url=acechat_service.url, **settings) as client:
            if way == "run_stream":
                return list(await client.run_stream("Hello", tools=[add], **options).collect())
            run = client.run("Hello", tools=[add], **options)
            return list(await run) if way == "run" else [turn async for turn in run]

    def go(client_options=None, **options):
        settings = client_options or {}
        if mode == "async":
            return asyncio.run(main(settings, options))
        with Client(TOKEN, base_url=acechat_service.url, **settings) as client:
            if way == "run":
                return list(client.run("Hello", tools=[add], **options))
            return list(client.run_stream("Hello", tools=[add], **options).collect())

    return go


def adds(tokens, amount):
    usage = {"total_tokens": tokens, "cost": {"amount": amount, "currency": "credits"}}
    return ok(tool_calls=[("add", {"a": 1, "b": 2})], usage=usage)


@pytest.mark.parametrize("budget", [Budget(tokens=20), Budget(credits=0.2)])
def test_a_run_over_budget_raises_with_its_turns(run, acechat_service, budget):
    acechat_service.script(adds(10, 0.1), adds(10, 0.1), ok("never"))

    with pytest.raises(BudgetExceededError, match=r"is used up: .* were spent") as caught:
        run(budget=budget)

    assert len(acechat_service.requests) == 2
    turns = caught.value.run.turns
    assert [turn.results[0].content for turn in turns] == ["3", "3"]
    assert len(caught.value.run.messages) == 5
    assert caught.value.attempts == ()


def test_a_run_within_its_budget_returns_its_completion(run, acechat_service):
    acechat_service.script(adds(10, 0.1), adds(9, 0.05), ok("3", usage={"total_tokens": 100}))

    assert run(budget=Budget(tokens=20, credits=0.2))[-1].text == "3"


def test_the_budget_of_a_run_does_not_count_earlier_calls(run, acechat_service):
    acechat_service.script(adds(10, 0.1), ok("3"), adds(10, 0.1), ok("3"))

    for _ in range(2):
        assert run(budget=Budget(tokens=11))[-1].text == "3"


def test_the_budget_of_the_client_ends_a_run(run, acechat_service):
    acechat_service.script(adds(10, 0.1), ok("never"))

    with pytest.raises(BudgetExceededError) as caught:
        run(client_options={"budget": Budget(tokens=10)}, budget=Budget(tokens=99))

    assert len(acechat_service.requests) == 1
    assert len(caught.value.run.turns) == 1


def test_a_pickled_client_keeps_its_budget_and_rate_limit(monkeypatch):
    monkeypatch.setenv("ACEDATACLOUD_API_TOKEN", "token")
    made = Client(budget=Budget(tokens=5), rate_limit=RateLimit(requests_per_minute=9))

    client = pickle.loads(pickle.dumps(made))

    assert client == made
    assert client._config.budget == Budget(tokens=5)
    assert client._state.gate is not None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_can_use_the_meter(script, server, wire):
    server.reply(wire.ok())
    done = script(
        """
        import os, threading
        from acechat import Client
        with Client(TOKEN, base_url=URL) as client:
            threads = [threading.Thread(target=client.meter.add, args=(None,)) for _ in range(50)]
            for thread in threads: thread.start()
            child = os.fork()
            if not child:
                client.meter.add(None)
                os._exit(0)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            for thread in threads: thread.join()
            print(code, client.meter.calls)
    """,
        timeout=25,
    )

    assert done.stdout == "0 50\n"


# the catalogue


def test_the_catalogue_has_prices(client):
    models = {model.id: model for model in client().catalog()}

    assert list(models) == list(MODELS)
    sonnet = models["claude-sonnet-4-20250514"]
    assert sonnet.pricing.input_credits == pytest.approx(Decimal("6.308571"))
    assert (sonnet.modality, sonnet.unit) == ("chat", "1M tokens")


def test_the_catalogue_is_requested_without_token_headers_or_middleware(client, acechat_service):
    async def never(request, call_next):
        raise AssertionError

    events = []

    client(headers={"X-Secret": "1"}, middleware=[never], observers=[events.append]).catalog()

    (received,) = acechat_service.requests
    assert received.path == "/api/v1/models/catalog/?modality=chat"
    assert "authorization" not in received.headers
    assert "x-secret" not in received.headers
    assert len(events) == 2


def test_a_gateway_without_a_catalogue_raises_a_clear_error(server, wire, make_ask):
    error = {"error": {"code": "no_api", "message": "no"}}
    server.reply(wire.http(error, "404 Not Found"))

    with pytest.raises(NotFoundError):
        make_ask(server.url).run("catalog")
