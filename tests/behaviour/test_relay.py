"""Streams relayed by real servers to clients other than acechat."""

from __future__ import annotations

import asyncio
import gc
import http.client
import json
import socket
import sys
import time
import warnings
from contextlib import ExitStack, closing
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from acechat import (
    AceChatError,
    AsyncClient,
    AuthenticationError,
    Client,
    ConfigurationError,
    OverloadedError,
    RateLimitError,
    RequestTimeoutError,
    ServerError,
    StreamTruncatedError,
    Timeout,
)
from acechat.emulator import (
    cut,
    drop,
    error_event,
    fail,
    heartbeats,
    malformed,
    ok,
    pace,
    split,
    stall,
)

_spec = spec_from_file_location("relays", Path(__file__).with_name("relays.py"))
relays = sys.modules["relays"] = module_from_spec(_spec)
_spec.loader.exec_module(relays)

LONG = ok([f"{number} " for number in range(400)])
SLOW = pace(0.02, of=LONG)
ONE = [{"role": "user", "content": "Hello"}]


def upstream(service, **more):
    return {
        "base_url": service.url,
        "api_token": service.token,
        "retries": 1,
        "timeout": Timeout(total=20, first_token=5, idle=1),
        **more,
    }


@pytest.fixture
def start():
    """Start a relay by its name; all are stopped at the end."""
    with ExitStack() as stack:
        yield lambda name, **settings: stack.enter_context(relays.SERVICES[name](**settings))


@pytest.fixture(params=relays.SERVICES)
def url(request, start, acechat_service):
    """A relay of the emulator, in each framework."""
    return start(request.param, **upstream(acechat_service))


@pytest.fixture
def reader(url):
    with Client("a-token-of-the-relay", base_url=url, retries=1, proxy="") as client:
        yield client


def post(url, **options):
    """Send the request of a page; return the socket and the response."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    body = json.dumps({"messages": ONE, "stream": True})
    connection.request("POST", relays.PATH, body, {"Content-Type": "application/json"}, **options)
    return connection, connection.getresponse()


def read(url):
    connection, response = post(url)
    with closing(connection):
        return response, response.read()


def leave(service, connection, response, how="shutdown"):
    """Close the page during a response; return whether the service notices within a second."""
    assert service.connections
    if how == "reset":
        page = connection.sock or response.fp.raw._sock
        page.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    response.close()
    connection.close()
    return closed_within(service, 1)


def closed_within(service, seconds):
    """Whether the service loses its connections so soon."""
    until = time.monotonic() + seconds
    while service.connections and time.monotonic() < until:
        time.sleep(0.005)
    return not service.connections


def test_a_page_receives_the_events_and_done(url, acechat_service):
    acechat_service.script(ok("Hello big world"))
    response, body = read(url)

    events = body.decode().split("\n\n")
    assert response.status == 200
    assert response.headers["Content-Type"].startswith("text/event-stream")
    assert response.headers["X-Accel-Buffering"] == "no"
    assert response.headers["X-Trace-Id"] == acechat_service.requests[0].trace_id
    assert all(event.startswith("data: {") for event in events[:-2])
    assert events[-2:] == ["data: [DONE]", ""]


def test_the_data_of_every_event_is_relayed_unchanged(url, acechat_service):
    acechat_service.script(ok("Hello"), ok("Hello"))
    direct = http.client.HTTPConnection(urlsplit(acechat_service.url).netloc)
    headers = {"Authorization": f"Bearer {acechat_service.token}"}
    asked = {"model": "claude-sonnet-4-20250514", "messages": ONE, "stream": True}
    with closing(direct):
        direct.request("POST", relays.PATH, json.dumps(asked), headers)
        sent = direct.getresponse().read()

    assert read(url)[1] == sent


ANSWERS = {
    "echo": None,
    "text": ok("Hello big world"),
    "thoughts": ok("4", reasoning="2 + 2 is 4"),
    "a tool": ok(tool_calls=[("weather", {"city": "Paris"})]),
    "cut into pieces": split(bytes=5, of=ok("Hello big w\u00f6rld")),
    "heartbeats": heartbeats(0.01, 0.05, of=ok("Hello")),
    "long": LONG,
    "nothing": ok(""),
}


@pytest.mark.parametrize("step", ANSWERS.values(), ids=ANSWERS)
def test_an_acechat_client_reads_the_same_completion_from_a_relay(reader, acechat_service, step):
    if step is not None:
        acechat_service.script(step, step)
    with Client(acechat_service.token, base_url=acechat_service.url, proxy="") as direct:
        first = direct.stream(messages=ONE).collect()

    again = reader.stream(messages=ONE).collect()

    assert again == first
    assert again.to_dict() == first.to_dict()
    assert again.trace_id


FAULTS = {
    "cut": (cut(after=4, of=LONG), ServerError, "stream_truncated"),
    "reset": (drop(after=4, of=pace(0.01, LONG)), ServerError, "stream_truncated"),
    "an error event": (error_event("busy", "later", after=4, of=LONG), OverloadedError, "busy"),
    "a bare error": (
        error_event("too_many_requests", after=4, form="bare", of=LONG),
        RateLimitError,
        "too_many_requests",
    ),
    "garbage": (malformed(after=4, of=LONG), ServerError, "bad_response"),
    "silence": (stall(9, after=4, of=LONG), ServerError, "timeout"),
}


@pytest.mark.parametrize(("step", "kind", "code"), FAULTS.values(), ids=FAULTS)
def test_a_failure_within_the_stream_is_sent_as_an_error_event(
    url, acechat_service, step, kind, code
):
    acechat_service.script(step)
    _, body = read(url)

    *events, last, _ = body.decode().split("\n\n")
    told = json.loads(last.removeprefix("event: error\ndata: "))["error"]
    assert all(event.startswith("data: {") for event in events)
    assert told["code"] == code
    assert told["message"]
    assert told["trace_id"] == acechat_service.requests[0].trace_id
    assert "[DONE]" not in body.decode()


@pytest.mark.parametrize(("step", "kind", "code"), FAULTS.values(), ids=FAULTS)
def test_an_acechat_client_receives_the_failure_and_the_partial_text(
    reader, acechat_service, step, kind, code
):
    acechat_service.script(step)
    with pytest.raises(kind) as caught:
        reader.stream(messages=ONE).collect()

    assert caught.value.code == code
    assert caught.value.partial.text == "0 1 "
    assert caught.value.trace_id == acechat_service.requests[0].trace_id


REFUSALS = {
    "refused": (fail(401), 401),
    "busy": (fail(503), 503),
    "an error event at once": (error_event("busy"), 502),
    "cut before anything": (cut(after=1), 502),
    "reset before anything": (drop(), 502),
}


@pytest.mark.parametrize(("step", "status"), REFUSALS.values(), ids=REFUSALS)
def test_a_failure_before_the_first_content_can_become_an_error_status(
    url, acechat_service, step, status
):
    acechat_service.script(step)
    response, body = read(url)

    assert response.status == status
    assert json.loads(body)["error"]["code"]


@pytest.mark.parametrize("how", ["shutdown", "reset"])
def test_a_disconnected_page_ends_the_request_to_the_service(url, acechat_service, how):
    acechat_service.script(SLOW)
    connection, response = post(url)
    response.read(200)

    assert leave(acechat_service, connection, response, how)


ASYNCHRONOUS = pytest.mark.parametrize("name", ["aiohttp", "starlette", "fastapi"])


@ASYNCHRONOUS
def test_a_page_disconnected_during_reasoning_ends_the_request(name, start, acechat_service):
    url = start(name, **upstream(acechat_service, timeout=Timeout(idle=30)))
    acechat_service.script(stall(20, after=4, of=LONG))
    connection, response = post(url)
    response.read(200)
    time.sleep(0.2)

    assert leave(acechat_service, connection, response)


@ASYNCHRONOUS
@pytest.mark.parametrize("way", [{"keep_alive": 0.5}, {"at_once": True}], ids=["soon", "at once"])
def test_a_page_disconnected_before_the_first_content_ends_the_request(
    name, start, acechat_service, way
):
    url = start(name, **upstream(acechat_service, timeout=Timeout(first_token=30)), **way)
    acechat_service.script(stall(20, of=LONG))
    page = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    page.request("POST", relays.PATH, json.dumps({"messages": ONE}))
    until = time.monotonic() + 5
    while not acechat_service.requests:
        assert time.monotonic() < until
        time.sleep(0.005)
    page.close()

    assert closed_within(acechat_service, 1)


@ASYNCHRONOUS
@pytest.mark.parametrize("at_once", [False, True])
def test_the_page_response_begins_before_the_first_content(name, start, acechat_service, at_once):
    url = start(name, keep_alive=0.2, at_once=at_once, **upstream(acechat_service))
    acechat_service.script(stall(0.7, of=ok("Hello")))
    began = time.monotonic()
    connection, response = post(url)

    with closing(connection):
        assert response.status == 200
        assert response.read(len(b": keep-alive\n\n")) == b": keep-alive\n\n"
        assert time.monotonic() - began < 0.7
        assert response.read().endswith(b"data: [DONE]\n\n")


@ASYNCHRONOUS
def test_a_page_response_begun_at_once_receives_the_error_event(name, start, acechat_service):
    url = start(name, at_once=True, **upstream(acechat_service))
    acechat_service.script(fail(401))
    response, body = read(url)

    assert response.status == 200
    assert body.startswith(b"event: error\ndata: {")
    assert b"invalid_token" in body


def test_a_slow_page_pauses_the_network_read(url, acechat_service):
    """Back pressure: a response of 40 MB waits in the network, not in the relay's memory."""
    acechat_service.script(ok(["x" * 10_000] * 4_000))
    connection, response = post(url)
    response.read(200)
    time.sleep(0.3)

    assert leave(acechat_service, connection, response)


def test_a_cancelled_reader_leaves_no_tasks_or_connections(url, acechat_service):
    acechat_service.script(SLOW)

    async def read_some():
        async with (
            AsyncClient("t-0123456789", base_url=url, proxy="") as client,
            client.stream(messages=ONE) as stream,
        ):
            await stream.receive()

    asyncio.run(read_some())

    assert closed_within(acechat_service, 1)


# --- the relay itself, without a framework


@pytest.fixture
def client(acechat_service):
    return AsyncClient(**upstream(acechat_service), proxy="")


def test_silence_is_filled_with_comments(client, acechat_service):
    acechat_service.script(stall(0.5, after=4, of=ok("Hello")))

    async def relayed():
        async with client:
            return [told async for told in client.stream(messages=ONE).sse(keep_alive=0.1)]

    told = asyncio.run(relayed())

    assert 3 <= told.count(b": keep-alive\n\n") <= 5
    assert told[-1] == b"data: [DONE]\n\n"


def test_without_keep_alive_no_comments_are_sent(client, acechat_service):
    acechat_service.script(stall(0.3, after=4, of=ok("Hello")))

    async def relayed():
        async with client:
            return [told async for told in client.stream(messages=ONE).sse(keep_alive=None)]

    assert not any(told.startswith(b":") for told in asyncio.run(relayed()))


@pytest.mark.parametrize("keep_alive", [0, -1.0])
def test_a_keep_alive_of_0_is_rejected(client, acechat_service, keep_alive):
    with pytest.raises(ConfigurationError, match="above 0"):
        client.stream(messages=ONE).sse(keep_alive=keep_alive)

    assert acechat_service.requests == []


def test_a_first_failure_is_sent_as_an_event_without_await(client, acechat_service):
    acechat_service.script(fail(401))

    async def relayed():
        async with client:
            stream = client.stream(messages=ONE)
            told = [told async for told in stream.sse()]
            with pytest.raises(AuthenticationError):
                _ = stream.completion
            return told

    (told,) = asyncio.run(relayed())

    assert told.startswith(b"event: error\n")


def test_a_first_failure_is_raised_by_await(client, acechat_service):
    acechat_service.script(fail(401))

    async def relayed():
        async with client:
            relay = client.stream(messages=ONE).sse()
            for _ in range(2):
                with pytest.raises(AuthenticationError):
                    await relay

    asyncio.run(relayed())

    assert len(acechat_service.requests) == 1


def test_await_returns_at_the_first_comment(client, acechat_service):
    acechat_service.script(stall(20, of=ok("Hello")))

    async def relayed():
        async with client:
            began = time.monotonic()
            relay = await client.stream(messages=ONE).sse(keep_alive=0.1)
            assert 0.1 <= time.monotonic() - began < 1
            assert "X-Trace-Id" not in relay.headers
            assert await relay.receive() == b": keep-alive\n\n"
            await relay.aclose()
            assert await asyncio.to_thread(closed_within, acechat_service, 1)

    asyncio.run(relayed())


def test_without_comments_await_returns_at_the_first_content(client, acechat_service):
    acechat_service.script(stall(0.3, of=ok("Hello")))

    async def relayed():
        async with client:
            relay = await client.stream(messages=ONE).sse(keep_alive=None)
            assert relay.headers["X-Trace-Id"] == acechat_service.requests[0].trace_id
            return await (await relay).receive()

    assert asyncio.run(relayed()).startswith(b"data: {")


def test_a_relay_closed_before_it_is_read_sends_nothing(client):
    async def relayed():
        async with client:
            relay = await client.stream(messages=ONE).sse()
            await relay.aclose()
            return await relay.receive()

    assert asyncio.run(relayed()) == b""


def test_a_failure_after_a_comment_is_sent_as_an_event(client, acechat_service):
    acechat_service.script(stall(0.3, of=fail(401)))

    async def relayed():
        async with client:
            return [told async for told in client.stream(messages=ONE).sse(keep_alive=0.1)]

    told = asyncio.run(relayed())

    assert told[0] == b": keep-alive\n\n"
    assert told[-1].startswith(b"event: error\n")
    assert b"invalid_token" in told[-1]


def test_the_stream_of_a_relay_has_its_completion_or_error(client, acechat_service):
    acechat_service.script(ok("Hello"), cut(after=4, of=LONG))

    async def relayed():
        async with client:
            stream = client.stream(messages=ONE)
            async for _ in stream.sse():
                pass
            assert stream.completion.text == "Hello"
            stream = client.stream(messages=ONE)
            async for _ in stream.sse():
                pass
            with pytest.raises(StreamTruncatedError):
                _ = stream.completion
            assert stream.partial.text == "0 1 "

    asyncio.run(relayed())


def test_a_turn_is_added_when_its_relay_has_ended(client, acechat_service):
    async def relayed():
        async with client:
            talk = client.conversation()
            async for _ in talk.stream("Hello").sse():
                pass
            return talk

    assert [message.role for message in asyncio.run(relayed()).messages] == ["user", "assistant"]


@pytest.mark.parametrize("opened", [False, True])
def test_only_an_unread_stream_can_be_relayed(client, acechat_service, opened):
    async def relayed():
        async with client, client.stream(messages=ONE) as stream:
            if opened:
                await anext(aiter(stream))
            else:
                stream.sse()
            with pytest.raises(RuntimeError, match="before the first read"):
                stream.sse()

    asyncio.run(relayed())


def test_only_an_unread_blocking_stream_can_be_relayed(acechat_service):
    with Client(**upstream(acechat_service), proxy="") as client:
        stream = client.stream(messages=ONE)
        next(iter(stream))
        with pytest.raises(RuntimeError, match="before the first read"):
            stream.sse()
        stream.close()


@pytest.mark.parametrize("with_block", [False, True])
def test_a_blocking_relay_sends_the_same_bytes(acechat_service, with_block):
    with Client(**upstream(acechat_service), proxy="") as client:
        stream = client.stream(messages=ONE)
        if with_block:
            with stream:
                told = b"".join(stream.sse())
        else:
            told = b"".join(stream.sse())

        assert told.endswith(b"data: [DONE]\n\n")
        assert stream.completion == client.chat(messages=ONE)


def test_a_dropped_relay_closes_the_connection_without_a_warning(client, acechat_service):
    acechat_service.script(SLOW, stall(20, after=4, of=LONG))

    async def relayed():
        async with client:
            for keep_alive in (None, 0.05):
                relay = await client.stream(messages=ONE).sse(keep_alive=keep_alive)
                await relay.receive()
                while keep_alive and await relay.receive() != b": keep-alive\n\n":
                    pass
                del relay
                gc.collect()
                await asyncio.to_thread(closed_within, acechat_service, 1)
                assert not acechat_service.connections

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asyncio.run(relayed())


@pytest.mark.parametrize("keep_alive", [None, 15], ids=["", "with comments"])
def test_a_relay_closed_by_another_task_sends_an_error_event(client, acechat_service, keep_alive):
    acechat_service.script(stall(20, of=ok("Hello")))

    async def relayed():
        async with client:
            relay = client.stream(messages=ONE).sse(keep_alive=keep_alive)
            page = asyncio.create_task(relay.receive())
            await asyncio.sleep(0.1)
            await relay.aclose()
            told = await asyncio.wait_for(page, 1)
            return told, await relay.receive()

    told, end = asyncio.run(relayed())

    assert b"event: error" in told
    assert b"the stream was closed" in told
    assert end == b""


def test_a_closed_relay_ends(client, acechat_service):
    acechat_service.script(SLOW)

    async def relayed():
        async with client:
            relay = await client.stream(messages=ONE).sse(keep_alive=0.01)
            assert await relay.receive()
            await relay.aclose()
            assert await relay.receive() == b""
            await relay.aclose()
            assert await asyncio.to_thread(closed_within, acechat_service, 1)

    asyncio.run(relayed())


def test_a_cancelled_relay_closes_the_connection(client, acechat_service):
    acechat_service.script(stall(20, after=4, of=LONG))

    async def relayed():
        async with client:
            relay = client.stream(messages=ONE).sse()

            async def read():
                async for _ in relay:
                    pass

            task = asyncio.create_task(read())
            await asyncio.sleep(0.2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(closed_within, acechat_service, 1)

    asyncio.run(relayed())


def test_a_complete_response_is_relayed_as_a_stream(server, wire):
    server.reply(wire.ok("Hello"))

    async def relayed():
        async with AsyncClient(wire.token, base_url=server.url) as client:
            stream = client.stream(messages=ONE)
            return [told async for told in stream.sse()], stream.completion

    told, completion = asyncio.run(relayed())

    assert told[-1] == b"data: [DONE]\n\n"
    assert completion.text == "Hello"
    assert b"Hello" in told[0]


def test_a_retry_before_the_first_content_is_not_relayed(server, wire):
    broken = wire.sse(wire.delta("") + b'data: {"error": {"code": "busy", "message": "x"}}\n\n')
    server.reply(broken, wire.stream("Hello"))

    async def relayed():
        async with AsyncClient(wire.token, base_url=server.url) as client:
            stream = client.stream(messages=ONE, retries=3)
            return b"".join([told async for told in stream.sse()])

    assert asyncio.run(relayed()) == wire.events("Hello")
    assert len(server.requests) == 2


def test_the_token_is_not_relayed(server, wire):
    secret = wire.token
    error = b'data: {"error": {"code": "x", "message": "bad token %s"}}\n\n' % secret.encode()
    server.reply(wire.sse(wire.delta("Hello", debug=secret) + error))

    async def relayed():
        async with AsyncClient(secret, base_url=server.url) as client:
            return b"".join([told async for told in client.stream(messages=ONE).sse()])

    told = asyncio.run(relayed())

    assert secret.encode() not in told
    assert b"bad token ***" in told


def test_every_timeout_applies_while_comments_are_sent(client, acechat_service):
    acechat_service.script(stall(20, of=ok("Hello")), stall(20, after=4, of=LONG))
    impatient = Timeout(first_token=0.3, idle=0.3)

    async def relayed():
        async with client:
            began = time.monotonic()
            for _ in range(2):
                stream = client.stream(messages=ONE, timeout=impatient)
                told = [told async for told in stream.sse(keep_alive=0.1)]
                assert b'"code":"timeout"' in told[-1]
                with pytest.raises((RequestTimeoutError, AceChatError)):
                    _ = stream.completion
            assert time.monotonic() - began < 2

    asyncio.run(relayed())
