"""One task at a time reads a stream, and each reads its own response only."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress

import aiohttp
import pytest

from acechat import (
    AsyncClient,
    Client,
    RequestTimeoutError,
    StreamInterruptedError,
    StreamTruncatedError,
    Timeout,
)
from acechat._sync import delta_queue as _pipe


@pytest.fixture
def on_one_connection(server, wire):
    """Serve two streams on one connection: the first is complete, the second breaks.

    Each continues when its event is set.
    """
    parts = [threading.Event(), threading.Event()]

    async def handler(reader, writer, number):
        writer.write(wire.head() + wire.chunk(wire.delta(f"{number} begins")))
        await asyncio.to_thread(parts[number - 1].wait, 5)
        ends = wire.delta(f", {number} ends")
        if number == 1:
            rest = wire.chunk(ends + wire.delta(finish="stop") + wire.done)
            writer.write(rest + b"0\r\n\r\n")
        else:
            writer.write(wire.chunk(ends))
            await writer.drain()
            await asyncio.sleep(0.05)
            server.reset(writer)

    server.handler = handler
    return parts


def test_responses_on_one_connection_are_not_mixed(server, wire, on_one_connection):
    async def tell(number):
        on_one_connection[number - 1].set()
        await asyncio.sleep(0.2)  # it arrives while no task reads

    async def read():
        async with AsyncClient(wire.token, base_url=server.url, retries=1) as client:
            slow, next_one = client.stream("1"), client.stream("2")
            texts = [str(await anext(slow))]
            await tell(1)  # complete: the connection is free
            texts.append(str(await anext(next_one)))
            await tell(2)
            texts += [str(delta) async for delta in slow]
            texts.append(str(await anext(next_one)))
            with pytest.raises(StreamInterruptedError):
                await anext(next_one)
            return texts, slow.completion.text

    texts, whole = asyncio.run(read())

    assert len({request.connection for request in server.requests}) == 1
    assert texts == ["1 begins", "2 begins", ", 1 ends", ", 2 ends"]
    assert whole == "1 begins, 1 ends"


@pytest.mark.parametrize("own", [False, True], ids=["", "in a session of the caller's"])
@pytest.mark.parametrize("begun", [False, True], ids=["while it opens", "while it flows"])
def test_a_second_reading_task_gets_an_error_and_the_first_continues(server, wire, begun, own):
    async def handler(reader, writer, number):
        await asyncio.sleep(0.2)
        writer.write(wire.head() + wire.chunk(wire.delta("Hel")))
        await asyncio.sleep(0.2)
        writer.write(wire.chunk(wire.delta("lo") + wire.delta(finish="stop") + wire.done))
        writer.write(b"0\r\n\r\n")

    async def read():
        async with (
            aiohttp.ClientSession() as theirs,
            AsyncClient(
                wire.token, base_url=server.url, retries=1, session=theirs if own else None
            ) as client,
        ):
            stream = client.stream("Hello")
            if begun:
                await anext(stream)
            first = asyncio.create_task(stream.collect())
            await asyncio.sleep(0.05)
            with pytest.raises(RuntimeError, match="another task is reading this stream"):
                await anext(stream)
            return (await first).text

    server.handler = handler

    assert asyncio.run(read()) == "Hello"


@pytest.mark.parametrize("way", ["connects", "waits for its turn", "waits for the head"])
def test_closing_a_stream_ends_the_task_that_opens_it(server, wire, black_hole, way):
    went_on = []

    async def handler(reader, writer, number):
        await reader.read()  # until the client leaves

    async def read(stream):
        with pytest.raises(StreamInterruptedError, match="the stream was closed") as caught:
            async for _ in stream:
                pass
        await asyncio.sleep(0)  # it was not cancelled
        went_on.append(caught.value)

    async def close():
        url = black_hole if way == "connects" else server.url
        limit = 1 if way == "waits for its turn" else None
        async with AsyncClient(wire.token, base_url=url, max_concurrency=limit) as client:
            others = [asyncio.create_task(read(client.stream("1")))] if limit else []
            await asyncio.sleep(0.1 * len(others))
            stream = client.stream("2")
            reader = asyncio.create_task(read(stream))
            await asyncio.sleep(0.2)
            await stream.aclose()
            await asyncio.wait_for(reader, 1)
            for other in others:
                other.cancel()
            await asyncio.gather(*others, return_exceptions=True)

    server.handler = handler
    asyncio.run(close())

    assert len(went_on) == 1


def test_a_task_cancelled_while_another_closes_its_stream_is_cancelled(server, wire):
    async def handler(reader, writer, number):
        await reader.read()  # until the client leaves

    async def close():
        async with AsyncClient(wire.token, base_url=server.url) as client:
            stream = client.stream("Hello")
            reader = asyncio.create_task(stream.collect())
            await asyncio.sleep(0.1)
            reader.cancel()
            await stream.aclose()
            with pytest.raises(asyncio.CancelledError):
                await reader

    server.handler = handler
    asyncio.run(close())


@pytest.mark.parametrize("who", ["another task", "itself"])
def test_a_task_whose_middleware_continues_after_aclose_is_uncancelled(server, wire, who):
    async def handler(reader, writer, number):
        if who == "another task" and number == 1:
            await reader.read()
        else:
            writer.write(wire.sse(wire.delta("Hello") + wire.delta(finish="stop") + wire.done))

    async def stubborn(request, call_next):
        try:
            answer = await call_next(request)
        except asyncio.CancelledError:
            answer = await call_next(request)
        if who == "itself":
            await streams[0].aclose()
        return answer

    async def read():
        with suppress(StreamInterruptedError):
            await streams[0].collect()
        await asyncio.sleep(0)
        return asyncio.current_task().cancelling()

    async def close():
        async with AsyncClient(
            wire.token, base_url=server.url, middleware=[stubborn], retries=1
        ) as client:
            streams.append(client.stream("Hello"))
            reader = asyncio.create_task(read())
            await asyncio.sleep(0.2)
            if who == "another task":
                await streams[0].aclose()
            return await asyncio.wait_for(reader, 2)

    streams = []
    server.handler = handler
    assert asyncio.run(close()) == 0


@pytest.mark.timeout(60)
def test_simultaneous_timeouts_in_several_loops_end_every_read(server, wire):
    async def handler(reader, writer, number):
        writer.write(wire.head() + wire.chunk(wire.delta("Hel")))
        await reader.read()

    async def wait(client):
        with pytest.raises(RequestTimeoutError):
            async for _ in client.stream("Hello"):
                pass
        ended.append(client)

    async def main():
        limits = Timeout(idle=1, total=None)
        async with AsyncClient(
            wire.token, base_url=server.url, timeout=limits, retries=1
        ) as client:
            waits = [asyncio.create_task(wait(client)) for _ in range(60)]
            await asyncio.wait(waits, timeout=8)

    ended = []
    server.handler = handler
    threads = [threading.Thread(target=asyncio.run, args=(main(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ended) == 240


def test_a_blocking_stream_closed_by_another_thread_while_opening_ends(server, wire):
    async def handler(reader, writer, number):
        await reader.read()  # until the client leaves

    server.handler = handler

    with Client(wire.token, base_url=server.url) as client:
        stream = client.stream("Hello")
        timer = threading.Timer(0.2, stream.close)
        timer.start()
        began = time.monotonic()
        with pytest.raises(StreamInterruptedError, match="the stream was closed"):
            stream.__enter__()
        assert time.monotonic() - began < 2
        timer.join()


@pytest.mark.parametrize("whole", [True, False], ids=["complete", "truncated"])
def test_the_last_delta_and_the_end_may_arrive_together(ask, server, wire, whole):
    async def handler(reader, writer, number):
        writer.write(wire.head() + wire.chunk(wire.delta("Hel")))
        await writer.drain()
        await asyncio.sleep(0.1)
        last = wire.delta("lo") + (wire.delta(finish="stop") if whole else b"")
        writer.write(wire.chunk(last) + b"0\r\n\r\n")

    server.handler = handler

    got = ask.stream(client_options={"retries": 1, "timeout": 3})
    assert got.text == "Hello"
    assert type(got.error) is (type(None) if whole else StreamTruncatedError)


def test_a_paused_reader_pauses_the_network_read(server, wire, monkeypatch):
    monkeypatch.setattr(_pipe, "_HIGH", 8)
    written = []

    async def handler(reader, writer, number):
        writer.write(wire.head())
        for count in range(4000):
            writer.write(wire.chunk(wire.delta("x" * 10_000)))
            await writer.drain()
            written.append(count)
            await asyncio.sleep(0)
        writer.write(wire.chunk(wire.delta(finish="stop") + wire.done) + b"0\r\n\r\n")

    server.handler = handler

    with (
        Client(wire.token, base_url=server.url, timeout=20) as client,
        client.stream("Hello") as stream,
    ):
        next(stream)
        time.sleep(1)
        early = len(written)
        assert len("".join(map(str, stream))) == 39_990_000
    assert early < 4000, "all of it was read, though nobody wanted it"
