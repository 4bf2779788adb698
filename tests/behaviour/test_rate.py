"""The rate limit shared by all calls of a client, async and sync, over real sockets."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time

import pytest

from acechat import (
    AsyncClient,
    Client,
    ClientClosedError,
    RateLimit,
    RequestTimeoutError,
    RetryPolicy,
    Timeout,
)
from acechat.emulator import error_event, fail, ok, raw, stall

TOKEN = "emulated-token"


@pytest.fixture
def shorter_minutes(monkeypatch):
    """Shorten a minute to 0.6 s."""
    monkeypatch.setattr("acechat._policy.rate_limiter._WINDOW", 0.6)


def gaps(service):
    times = [received.time for received in service.requests]
    return [after - before for before, after in itertools.pairwise(times)]


def test_copies_of_a_client_share_the_rate_limit(acechat_service, mode, shorter_minutes):
    settings = {
        "base_url": acechat_service.url,
        "rate_limit": RateLimit(requests_per_minute=2),
    }
    if mode == "blocking":
        with Client(TOKEN, **settings) as client:
            copy = client.with_options(retries=1)
            work = [
                threading.Thread(target=one.chat, args=("Hello",)) for one in [client, copy] * 2
            ]
            for thread in work:
                thread.start()
            for thread in work:
                thread.join()
    else:

        async def main():
            async with AsyncClient(TOKEN, **settings) as client:
                copy = client.with_options(retries=1)
                await asyncio.gather(*[one.chat("Hello") for one in [client, copy] * 2])

        asyncio.run(main())

    times = [received.time for received in acechat_service.requests]
    assert len(times) == 4
    assert times[3] - times[0] > 0.4


def test_waiting_calls_are_sent_in_order(acechat_service, shorter_minutes):
    async def main():
        async with AsyncClient(
            TOKEN, base_url=acechat_service.url, rate_limit=RateLimit(requests_per_minute=1)
        ) as client:
            await asyncio.gather(*[client.chat(str(number)) for number in range(4)])

    asyncio.run(main())

    said = [received.json["messages"][0]["content"] for received in acechat_service.requests]
    assert said == ["0", "1", "2", "3"]


def test_a_call_cancelled_while_waiting_takes_no_slot(acechat_service, shorter_minutes):
    async def main():
        async with AsyncClient(
            TOKEN, base_url=acechat_service.url, rate_limit=RateLimit(requests_per_minute=1)
        ) as client:
            await client.chat("first")
            waiting = [asyncio.create_task(client.chat(f"left {n}")) for n in range(20)]
            last = asyncio.create_task(client.chat("last"))
            await asyncio.sleep(0.05)
            for task in waiting:
                task.cancel()
            began = time.monotonic()
            await last
            return time.monotonic() - began

    waited = asyncio.run(main())

    said = [received.json["messages"][0]["content"] for received in acechat_service.requests]
    assert said == ["first", "last"]
    assert waited < 5


def test_waiting_counts_towards_the_total_only(make_ask, acechat_service):
    limits = {"api_token": TOKEN, "rate_limit": RateLimit(requests_per_minute=1)}
    patient = Timeout(total=0.3, connect=0.1, first_token=0.1, idle=0.1)

    async def main():
        async with AsyncClient(
            TOKEN, base_url=acechat_service.url, rate_limit=limits["rate_limit"]
        ) as c:
            await c.chat("Hello")
            with pytest.raises(RequestTimeoutError) as caught:
                await c.chat("Hello", timeout=patient)
            return caught.value.phase

    assert asyncio.run(main()) == "total"
    assert len(acechat_service.requests) == 1


def test_closing_the_client_ends_waiting_calls(acechat_service):
    async def main():
        client = AsyncClient(
            TOKEN, base_url=acechat_service.url, rate_limit=RateLimit(requests_per_minute=1)
        )
        await client.chat("Hello")
        waiting = asyncio.create_task(client.chat("Hello"))
        await asyncio.sleep(0.05)
        await client.aclose()
        with pytest.raises(ClientClosedError):
            await waiting

    asyncio.run(main())


def test_retry_after_delays_all_calls(acechat_service):
    acechat_service.script(fail(429, retry_after=0.5), ok("one"), ok("two"))

    async def main():
        async with AsyncClient(
            TOKEN, base_url=acechat_service.url, rate_limit=RateLimit()
        ) as client:
            first = asyncio.create_task(client.chat("first"))
            await asyncio.sleep(0.2)
            await asyncio.gather(first, client.chat("second"))

    asyncio.run(main())

    assert gaps(acechat_service)[0] > 0.45


@pytest.mark.parametrize(
    "refusal",
    [
        fail(500, "busy"),
        fail(500),
        fail(429),
        fail(503),
        fail(529),
        fail(502, "api_error"),
        error_event("api_error", of=ok("x")),
        raw(b'{"success": false, "error": {"code": "api_error"}}', content_type="application/json"),
    ],
    ids=["busy", "500", "429", "503", "529", "502 api_error", "event", "in a success"],
)
def test_an_overload_halves_the_request_rate(acechat_service, refusal):
    acechat_service.script(*[ok("x")] * 5, refusal, *[ok("x")] * 10)

    async def main():
        async with AsyncClient(
            TOKEN,
            base_url=acechat_service.url,
            rate_limit=RateLimit(requests_per_minute=400),
            retries=RetryPolicy(base_delay=0),
        ) as client:
            for _ in range(6):
                await client.chat("Hello", max_tokens=8_000)  # as a stream
            return client._state.gate._limiter.requests_per_minute(time.monotonic())

    now_allowed = asyncio.run(main())

    assert len(acechat_service.requests) == 7
    assert 200 <= now_allowed < 300


@pytest.mark.parametrize("code", ["bad_response", "timeout", "news"])
def test_other_failures_keep_the_request_rate(acechat_service, code):
    acechat_service.script(fail(500, code), ok("x"))

    async def main():
        async with AsyncClient(
            TOKEN,
            base_url=acechat_service.url,
            rate_limit=RateLimit(requests_per_minute=400),
            retries=RetryPolicy(base_delay=0),
        ) as client:
            await client.chat("Hello")
            return client._state.gate._limiter.requests_per_minute(time.monotonic())

    assert asyncio.run(main()) == 400


def test_tokens_per_minute_delay_later_calls(acechat_service, shorter_minutes):
    acechat_service.script(*[ok("x", usage={"total_tokens": 100})] * 3)

    async def main():
        async with AsyncClient(
            TOKEN, base_url=acechat_service.url, rate_limit=RateLimit(tokens_per_minute=150)
        ) as client:
            for _ in range(3):
                await client.chat("Hello")

    asyncio.run(main())

    assert all(gap > 0.4 for gap in gaps(acechat_service))


@pytest.mark.parametrize("method", ["chat", "stream"])
def test_no_call_counts_as_in_progress_after_its_end(acechat_service, method):
    left = stall(5, after=4, of=ok("one two three"))
    acechat_service.script(ok("x"), fail(401), fail(503), ok("y"), left)

    async def ask(client):
        if method == "chat":
            return await client.chat("Hello")
        return await client.stream("Hello").collect()

    async def main():
        async with AsyncClient(
            TOKEN,
            base_url=acechat_service.url,
            rate_limit=RateLimit(tokens_per_minute=10**6),
            retries=RetryPolicy(base_delay=0),
        ) as client:
            limiter = client._state.gate._limiter
            await asyncio.gather(*[ask(client) for _ in range(3)], return_exceptions=True)
            stream = client.stream("left")
            async with stream:
                assert limiter._under_way == 1
            task = asyncio.create_task(ask(client))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return limiter._under_way

    assert asyncio.run(main()) == 0


def test_free_calls_do_not_wait(acechat_service):
    with Client(
        TOKEN, base_url=acechat_service.url, rate_limit=RateLimit(requests_per_minute=1)
    ) as client:
        client.chat("Hello")

        assert client.models()
        assert client.count_tokens("Hello") > 0


def test_one_client_works_in_successive_loops(acechat_service, shorter_minutes):
    client = AsyncClient(
        TOKEN, base_url=acechat_service.url, rate_limit=RateLimit(requests_per_minute=2)
    )

    async def three():
        await asyncio.gather(*[client.chat("Hello") for _ in range(3)])

    asyncio.run(three())
    asyncio.run(three())

    assert len(acechat_service.requests) == 6
