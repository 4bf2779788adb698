"""Tools that trace or mock `aiohttp.ClientSession` see each request, whatever its size."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from unittest.mock import Mock

import aiohttp
import pytest

from acechat import APIError, AsyncClient, Client, TransportError
from acechat._http.direct import DirectSender

BOTH = pytest.mark.parametrize("method", ["chat", "stream"])
SIZES = pytest.mark.parametrize("size", [1, 1_500_000])


def tracing(seen):
    """Return a TraceConfig that adds a header, as OpenTelemetry's instrumentor does."""
    config = aiohttp.TraceConfig()

    async def start(session, context, params):
        params.headers["traceparent"] = "00-aa-bb-01"
        seen.append(f"{params.method} {params.url.path}")

    async def end(session, context, params):
        seen.append(params.response.status)

    config.on_request_start.append(start)
    config.on_request_end.append(end)
    return config


@pytest.fixture
def traced_sessions(monkeypatch):
    """The events of a tool that adds a TraceConfig to each session."""
    seen = []
    plain = aiohttp.ClientSession.__init__

    def init(self, *args, **options):
        plain(self, *args, **options, trace_configs=[tracing(seen)])

    monkeypatch.setattr(aiohttp.ClientSession, "__init__", init)
    return seen


EVENTS = ["POST /v1/chat/completions", 200]


@BOTH
@SIZES
def test_a_tool_that_traces_all_sessions_sees_each_request(
    ask, server, wire, traced_sessions, method, size
):
    server.reply(wire.ok() if method == "chat" else wire.stream())

    got = ask.chat("x" * size) if method == "chat" else ask.stream("x" * size)

    assert got.text == "Hello"
    assert traced_sessions == EVENTS
    assert server.requests[0].headers["traceparent"] == "00-aa-bb-01"


@BOTH
@SIZES
def test_a_traced_session_of_the_caller_sees_each_request(server, wire, method, size):
    server.reply(wire.ok() if method == "chat" else wire.stream())
    seen = []

    async def call():
        async with (
            aiohttp.ClientSession(trace_configs=[tracing(seen)]) as session,
            AsyncClient(wire.token, base_url=server.url, session=session) as client,
        ):
            if method == "chat":
                return await client.chat("x" * size)
            return await client.stream("x" * size).collect()

    assert asyncio.run(call()).text == "Hello"
    assert seen == EVENTS
    assert server.requests[0].headers["traceparent"] == "00-aa-bb-01"


def test_retries_are_traced(ask, server, wire, traced_sessions):
    server.reply(wire.refusal(), wire.ok())

    assert ask.chat().text == "Hello"

    assert traced_sessions == [EVENTS[0], 503, *EVENTS]


def test_without_such_tools_requests_are_direct(ask, server, wire, monkeypatch):
    server.reply(wire.ok())
    sent = []
    plain = DirectSender.send
    monkeypatch.setattr(
        DirectSender, "send", lambda *args, **options: sent.append(1) or plain(*args, **options)
    )

    assert ask.chat().text == "Hello"

    assert sent == [1]


def test_the_error_of_a_hook_is_named(ask, server, wire, monkeypatch):
    async def fails(*args, **options):
        raise LookupError("no route")

    monkeypatch.setattr(aiohttp.ClientSession, "_request", fails)

    with pytest.raises(TransportError, match="LookupError: no route"):
        ask.chat()


class MockedResponse(aiohttp.ClientResponse):
    """aioresponses 0.7.9 does not pass an argument that aiohttp 3.14 requires."""

    def __init__(self, *args, stream_writer=None, **options):
        super().__init__(*args, stream_writer=stream_writer or Mock(output_size=0), **options)


@pytest.fixture
def mocked():
    aioresponses = pytest.importorskip("aioresponses", reason="aioresponses is not installed")
    with aioresponses.aioresponses() as mocked:
        plain = mocked.post
        mocked.post = partial(plain, response_class=MockedResponse)
        yield mocked


URL = "https://mock.test/v1/chat/completions"


def outcome(wire, mode, method, **options):
    """Return the text of a call, or its error."""
    settings = {"api_token": wire.token, "base_url": "https://mock.test", "retries": 1, **options}
    if mode == "blocking":
        with Client(**settings) as client:
            return client.chat("Hi") if method == "chat" else client.stream("Hi").collect()

    async def call():
        async with AsyncClient(**settings) as client:
            if method == "chat":
                return await client.chat("Hi")
            return await client.stream("Hi").collect()

    return asyncio.run(call())


@BOTH
@pytest.mark.parametrize("own", [False, True], ids=["own session", "session="])
def test_aioresponses_replaces_the_service(wire, mode, mocked, method, own):
    if own and mode == "blocking":
        pytest.skip("only AsyncClient takes a session")
    body = wire.events("Hel", "lo") if method == "stream" else json.dumps(wire.answer())
    kind = "text/event-stream" if method == "stream" else "application/json"
    mocked.post(URL, body=body, content_type=kind)

    if not own:
        assert outcome(wire, mode, method).text == "Hello"
    else:

        async def call():
            async with aiohttp.ClientSession() as session:
                settings = {"base_url": "https://mock.test", "session": session}
                async with AsyncClient(wire.token, **settings) as client:
                    if method == "chat":
                        return await client.chat("Hi")
                    return await client.stream("Hi").collect()

        assert asyncio.run(call()).text == "Hello"
    ((_, requests),) = mocked.requests.items()
    sent = json.loads(requests[0].kwargs["data"])
    assert sent["messages"] == [{"role": "user", "content": "Hi"}]


@BOTH
def test_aioresponses_can_fail(wire, mode, mocked, method):
    mocked.post(URL, status=429, payload={"error": {"message": "slow", "code": "busy"}})
    with pytest.raises(APIError, match="slow"):
        outcome(wire, mode, method)

    mocked.post(URL, exception=aiohttp.ServerDisconnectedError())
    with pytest.raises(TransportError, match="the server closed the connection"):
        outcome(wire, mode, method)


def test_requests_are_direct_again_after_aioresponses(ask, server, wire, mocked):
    mocked.post(f"{server.url}/v1/chat/completions", payload=wire.answer("mocked"))
    server.reply(wire.ok("real"))
    assert ask.chat().text == "mocked"

    mocked.stop()

    assert ask.chat().text == "real"
    assert len(server.requests) == 1
    mocked.start()
