"""Every wait ends, in the phase that it is named after. Marks name the cases of the table."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from acechat import ConnectError, RequestTimeoutError, RetryPolicy, Timeout

BOTH = pytest.mark.parametrize("method", ["chat", "stream"])
SHORT = Timeout(total=None, connect=0.3, first_token=0.3, idle=0.3)


@pytest.fixture
def times_out(either):
    """Check that a call ends in a phase, within a second of that limit; return its error."""

    def check(method, phase, timeout=SHORT, **options):
        began = time.monotonic()
        error = either(method, timeout=timeout, **options)
        took = time.monotonic() - began
        assert isinstance(error, RequestTimeoutError), repr(error)
        assert isinstance(error, TimeoutError)
        assert error.phase == phase
        assert 0.2 < took < getattr(timeout, phase) + 1
        return error

    return check


def send_and_wait(server, *pieces, pause=0.0):
    async def handler(reader, writer, number):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)
        await reader.read()

    server.handler = handler


def drip(server, first, piece, pause=0.05):
    """Send *first*, and then *piece* without end."""

    async def handler(reader, writer, number):
        writer.write(first)
        while not writer.is_closing():
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)

    server.handler = handler


@BOTH
@pytest.mark.case("to-headers", "to-headers-stream")
def test_missing_headers_reach_a_timeout(times_out, server, method):
    send_and_wait(server)
    error = times_out(method, "first_token")
    assert error.attempts[0].failure == "timed_out"
    assert error.attempts[0].may_be_billed


@BOTH
def test_a_missing_body_reaches_a_timeout(times_out, server, wire, method):
    kind = "application/json" if method == "chat" else "text/event-stream"
    send_and_wait(server, wire.head(kind))
    times_out(method, "first_token")


@pytest.mark.case("to-body")
def test_a_stalled_body_reaches_a_timeout(times_out, server, wire):
    send_and_wait(server, wire.ok()[:-20])
    times_out("chat", "idle")


@pytest.mark.case("to-midstream")
def test_a_stalled_stream_reaches_a_timeout(times_out, server, wire):  # law 13
    send_and_wait(server, wire.sse(wire.delta("Hel") + wire.delta("lo"), end=False))
    error = times_out("stream", "idle")
    assert error.partial.text == "Hello"
    assert len(server.requests) == 1


def test_a_stream_stalled_inside_an_event_reaches_a_timeout(times_out, server, wire):
    send_and_wait(server, wire.sse(wire.delta("Hel") + wire.delta("lo")[:-9], end=False))
    assert times_out("stream", "idle").partial.text == "Hel"


def test_an_error_response_with_a_stalled_body_keeps_its_status(either, server, wire):
    send_and_wait(server, wire.refusal("400 Bad Request", "x")[:-5])
    assert either("chat", timeout=SHORT).status == 400


@BOTH
@pytest.mark.case("to-slow-loris-body")
def test_the_total_limit_ends_a_slow_body(times_out, server, wire, method):
    kind = "application/json" if method == "chat" else "text/event-stream"
    drip(server, wire.head(kind), wire.chunk(b" " if method == "chat" else b":"))
    times_out(method, "total", Timeout(total=0.4))


@BOTH
@pytest.mark.case("to-slow-headers")
def test_the_total_limit_ends_slow_headers(times_out, server, method):
    drip(server, b"HTTP/1.1 200 OK\r\nX: ", b"x")
    times_out(method, "total", Timeout(total=0.4))


@BOTH
def test_the_first_token_limit_ends_slow_headers(times_out, server, method):
    drip(server, b"HTTP/1.1 200 OK\r\nX: ", b"x")
    times_out(method, "first_token")


def test_the_total_limit_applies_while_content_arrives(times_out, server, wire):
    drip(server, wire.head(), wire.chunk(wire.delta("x")), pause=0.01)
    assert times_out("stream", "total", Timeout(total=0.4)).partial.text.startswith("xxx")


def test_the_total_limit_applies_to_a_flood_of_events(times_out, server, wire):
    drip(server, wire.head(), wire.chunk(wire.delta("x") * 500), pause=0)
    times_out("stream", "total", Timeout(total=0.4))


@pytest.mark.parametrize(
    "beat",
    [
        b": PING\n\n",
        b"event: ping\n\n",
        b"data:\n\n",
        b'data: {"choices": [{"index": 0, "delta": {}}]}\n\n',
        b'data: {"choices": [{"index": 0, "delta": {"content": ""}}]}\n\n',
        b'data: {"choices": []}\n\n',
        b"\n",
    ],
    ids=["comment", "ping", "empty-data", "empty-delta", "empty-content", "no-choices", "blank"],
)
@pytest.mark.parametrize("begun", [False, True], ids=["before", "after"])
@pytest.mark.case("to-pings-only")
def test_heartbeats_do_not_count_as_content(times_out, server, wire, begun, beat):  # law 13
    first = wire.chunk(wire.delta("Hel")) if begun else b""
    drip(server, wire.head() + first, wire.chunk(beat))
    error = times_out("stream", "idle" if begun else "first_token")
    assert error.partial.text == ("Hel" if begun else "")


def test_reasoning_counts_as_content(ask, server, wire):
    thought = {"choices": [{"index": 0, "delta": {"reasoning_content": "hm"}}]}
    import json

    event = wire.chunk(b"data: " + json.dumps(thought).encode() + b"\n\n")
    last = wire.chunk(wire.events("Hello")) + wire.chunk(b"")
    send_and_wait(server, wire.head(), *[event] * 6, last, pause=0.1)
    got = ask.stream(timeout=SHORT)
    assert got.error is None
    assert got.completion.reasoning == "hm" * 6


def test_a_slow_reader_does_not_reach_a_timeout(make_ask, server, wire, mode):
    from acechat import AsyncClient, Client

    body = b"".join(wire.chunk(wire.delta(letter)) for letter in "Hello")
    body += wire.chunk(wire.delta(finish="stop") + wire.done) + wire.chunk(b"")
    server.reply(wire.head() + body)
    options = make_ask(server.url).options({"timeout": Timeout(idle=0.2, first_token=1)})
    if mode == "blocking":
        with Client(**options) as client, client.stream("Hello") as stream:
            for _ in stream:
                time.sleep(0.1)
        assert stream.completion.text == "Hello"
        return

    async def slow():
        async with AsyncClient(**options) as client, client.stream("Hello") as stream:
            async for _ in stream:
                await asyncio.sleep(0.1)
        assert stream.completion.text == "Hello"

    asyncio.run(slow())


@pytest.mark.case("to-done-open-socket")
def test_a_stream_ends_at_done_on_an_open_connection(ask, server, wire):
    send_and_wait(server, wire.sse(wire.events("Hello"), end=False))
    began = time.monotonic()
    got = ask.stream()
    assert time.monotonic() - began < 1
    assert got.completion.text == "Hello"
    assert server.gone()


def test_after_done_an_unfinished_connection_is_closed(server, wire, make_ask):
    from acechat import Client

    send_and_wait(server, wire.sse(wire.events("Hello"), end=False))
    with Client(**make_ask(server.url).options({})) as client:
        assert client.stream("Hello").collect().text == "Hello"
        assert server.gone()


@pytest.mark.case("to-connect")
def test_connecting_has_its_own_limit(make_ask, black_hole):
    began = time.monotonic()
    with pytest.raises(RequestTimeoutError) as caught:
        make_ask(black_hole).chat(timeout=Timeout(connect=0.3), retries=2)
    assert caught.value.phase == "connect"
    assert [attempt.failure for attempt in caught.value.attempts] == ["unsent"] * 2
    assert not any(attempt.may_be_billed for attempt in caught.value.attempts)
    assert 0.5 < time.monotonic() - began < 1.5


def test_the_total_limit_ends_connecting(make_ask, black_hole):
    with pytest.raises(RequestTimeoutError) as caught:
        make_ask(black_hole).chat(timeout=Timeout(connect=5, total=0.3))
    assert caught.value.phase == "total"


def test_the_tls_handshake_counts_as_connecting(make_ask, make_server):
    async def silent(reader, writer):
        await reader.read()

    server = make_server(on_connect=silent)
    with pytest.raises(RequestTimeoutError) as caught:
        make_ask(server.url.replace("http:", "https:")).chat(
            timeout=Timeout(connect=0.3), retries=1
        )
    assert caught.value.phase == "connect"


def test_the_total_limit_ends_the_delay_between_attempts(either, server, wire):
    server.reply(wire.refusal("503 Busy", "busy", Retry_After="0.2"))
    began = time.monotonic()
    error = either("chat", timeout=0.7, retries=RetryPolicy(max_attempts=20))
    assert error.status == 503
    assert time.monotonic() - began < 1
    assert 2 <= len(server.requests) <= 4


@BOTH
@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(b"zz\r\nx\r\n", id="to-bad-chunk-hang"),
        pytest.param(b"HTTP/1.1 502 Bad Gateway\r\n\r\n", id="injected-502"),
        pytest.param(b"-1\r\nx\r\n", id="minus"),
        pytest.param(b"fffffffffffffffffffff\r\nx\r\n", id="huge-size"),
        pytest.param(b"5\r\nabcdefgh\r\n", id="no-crlf-after-data"),
        pytest.param(b"5\nabcde\n", id="lf-only"),
    ],
)
def test_a_malformed_chunk_ends_the_call(either, server, wire, method, broken):
    kind = "application/json" if method == "chat" else "text/event-stream"
    first = b'{"id": ' if method == "chat" else wire.delta("Hel")

    async def handler(reader, writer, number):
        writer.write(wire.head(kind) + wire.chunk(first))
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(broken)
        await reader.read()

    server.handler = handler
    began = time.monotonic()
    error = either(method, timeout=SHORT)
    assert time.monotonic() - began < 1.5
    assert error.partial is None or error.partial.text == "Hel"
    assert len(server.requests) == 1


def test_a_malformed_first_chunk_ends_the_call(either, server, wire):
    server.reply(wire.head() + b"zz\r\nx\r\n")
    began = time.monotonic()
    either("stream", timeout=SHORT)
    assert time.monotonic() - began < 2.5


@pytest.mark.case("to-pool")
def test_waiting_for_a_slot_counts_towards_the_total_only(make_ask, server, wire, mode):
    from acechat import AsyncClient, Client

    async def handler(reader, writer, number):
        await asyncio.sleep(0.3)
        writer.write(wire.ok())

    server.handler = handler
    options = make_ask(server.url).options({"max_concurrency": 1, "retries": 1})

    limits = Timeout(connect=0.8, first_token=0.8, idle=0.8)  # three calls take 0.9 s

    async def crowd():
        async with AsyncClient(**options) as client:
            patient = [client.chat("Hello", timeout=limits) for _ in range(3)]
            hasty = client.chat("Hello", timeout=Timeout(total=0.2))
            return await asyncio.gather(*patient, hasty, return_exceptions=True)

    def threads():
        with Client(**options) as client, ThreadPoolExecutor(4) as pool:
            patient = [pool.submit(client.chat, "Hello", timeout=limits) for _ in range(3)]
            server.wait_for(1)
            hasty = pool.submit(client.chat, "Hello", timeout=Timeout(total=0.2))
            return [one.exception() or one.result() for one in (*patient, hasty)]

    *served, hasty = threads() if mode == "blocking" else asyncio.run(crowd())
    assert [reply.text for reply in served] == ["Hello"] * 3
    assert hasty.phase == "total"
    assert len(server.requests) == 3


def test_a_timeout_while_waiting_for_a_slot_frees_no_other_slot(make_ask, server, wire):
    from acechat import AsyncClient

    server.reply(wire.ok())
    options = make_ask(server.url).options({"max_concurrency": 2})

    async def many():
        async with AsyncClient(**options) as client:
            for _ in range(20):
                calls = [client.chat("Hello", timeout=0.002) for _ in range(6)]
                await asyncio.gather(*calls, return_exceptions=True)
            replies = [client.chat("Hello") for _ in range(4)]
            return [reply.text for reply in await asyncio.gather(*replies)]

    assert asyncio.run(many()) == ["Hello"] * 4


def test_a_refused_connection_is_not_a_timeout(make_ask, unused_port):
    with pytest.raises(ConnectError):
        make_ask(f"http://127.0.0.1:{unused_port}").chat(timeout=SHORT)
