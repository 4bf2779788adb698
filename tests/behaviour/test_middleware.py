"""Functions between a call and the network: once per attempt, async and sync."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from unittest.mock import AsyncMock

import pytest

from acechat import (
    AsyncClient,
    BadRequestError,
    ConfigurationError,
    HTTPRequest,
    HTTPResponse,
    OverloadedError,
    StreamTruncatedError,
)

BOTH = pytest.mark.parametrize("method", ["chat", "stream"])


@pytest.fixture
def through(ask):
    """Send one call through *middleware*, async or sync; return the text."""

    def run(method, *middleware, max_concurrency=None, **options):
        settings = {"middleware": middleware, "max_concurrency": max_concurrency}
        options["client_options"] = settings
        if method == "chat":
            return ask.chat(**options).text
        got = ask.stream(**options)
        if got.error:
            raise got.error
        return got.completion.text

    return run


def answer(server, wire):
    """Respond as requested: complete, or as a stream."""

    async def handler(reader, writer, number):
        streamed = server.requests[-1].json.get("stream")
        writer.write(wire.stream("Hel", "lo") if streamed else wire.ok())

    server.handler = handler


async def as_it_is(request, call_next):
    return await call_next(request)


@BOTH
def test_a_middleware_that_forwards_changes_nothing(through, server, wire, method):
    answer(server, wire)

    assert through(method, as_it_is, as_it_is) == "Hello"
    assert len(server.requests) == 1


@BOTH
def test_a_middleware_sees_the_request_without_the_token(through, server, wire, method):
    answer(server, wire)
    seen = []

    async def look(request, call_next):
        seen.append(request)
        return await call_next(request)

    through(method, look, extra_headers={"X-Mine": "1"})

    (request,) = seen
    assert (request.method, request.path) == ("POST", "/chat/completions")
    assert request.headers == {"X-Mine": "1"}
    assert request.json()["messages"] == [{"role": "user", "content": "Hello"}]
    assert wire.token not in repr(request)


@BOTH
def test_a_middleware_may_change_the_request(through, server, wire, method):
    answer(server, wire)

    async def change(request, call_next):
        fields = request.json() | {"user": "ada"}
        return await call_next(request.with_json(fields).with_headers({"X-Added": "2"}))

    assert through(method, change) == "Hello"
    assert server.requests[0].json["user"] == "ada"
    assert server.requests[0].headers["x-added"] == "2"
    assert server.requests[0].headers["authorization"] == f"Bearer {wire.token}"


@BOTH
def test_a_middleware_cannot_change_the_authorization(through, server, wire, method):
    async def change(request, call_next):
        return await call_next(request.with_headers({"Authorization": "Bearer mine"}))

    with pytest.raises(ConfigurationError, match="Authorization"):
        through(method, change)
    assert server.requests == []


@BOTH
@pytest.mark.parametrize("kind", ["json", "events"])
def test_a_middleware_may_respond_itself(through, server, wire, method, kind):
    async def know(request, call_next):
        if kind == "json":
            return HTTPResponse(json.dumps(wire.answer("I know")).encode())
        return HTTPResponse(wire.events("I ", "know"))

    assert through(method, know) == "I know"
    assert server.connections == 0


@BOTH
def test_an_error_response_of_a_middleware_is_retried(through, server, wire, method):
    answer(server, wire)
    times = []

    async def refuse_once(request, call_next):
        times.append(1)
        if len(times) == 1:
            return HTTPResponse(b'{"error": {"code": "busy", "message": "x"}}', status=500)
        return await call_next(request)

    assert through(method, refuse_once) == "Hello"
    assert len(times) == 2


@BOTH
def test_a_middleware_runs_once_per_attempt(through, server, wire, method):
    server.reply(wire.refusal())
    seen = []

    async def look(request, call_next):
        response = await call_next(request)
        seen.append((response.status, response.headers["content-type"]))
        return response

    with pytest.raises(OverloadedError):
        through(method, look)
    assert seen == [(503, "application/json")] * 3


@BOTH
def test_a_middleware_may_read_the_response_and_return_it(through, server, wire, method):
    answer(server, wire)
    read = []

    async def keep(request, call_next):
        response = await call_next(request)
        read.append(await response.read())
        assert await response.read() == read[0]
        return response

    assert through(method, keep) == "Hello"
    assert (b"[DONE]" in read[0]) == (method == "stream")


@BOTH
def test_a_stored_response_can_be_returned_again(through, server, wire, method):
    answer(server, wire)
    kept = {}

    async def cache(request, call_next):
        if request.body not in kept:
            response = await call_next(request)
            kept[request.body] = await response.read(), response.headers
        body, headers = kept[request.body]
        return HTTPResponse(body, headers=headers)

    assert through(method, cache) == "Hello"
    assert through(method, cache) == "Hello"
    assert len(server.requests) == 1


@BOTH
def test_the_first_middleware_is_the_outermost(through, server, wire, method):
    answer(server, wire)
    order = []

    def named(name):
        async def middleware(request, call_next):
            order.append(name)
            response = await call_next(request)
            order.append(name.upper())
            return response

        return middleware

    through(method, named("a"), named("b"))

    assert order == ["a", "b", "B", "A"]


@BOTH
def test_a_middleware_may_send_twice_and_leaves_no_connection_open(through, server, wire, method):
    answer(server, wire)

    async def twice(request, call_next):
        await call_next(request)
        return await call_next(request)

    assert through(method, twice) == "Hello"
    assert len(server.requests) == 2


@BOTH
def test_a_middleware_may_send_twice_with_one_slot(through, server, wire, method):
    answer(server, wire)

    async def twice(request, call_next):
        await call_next(request)
        return await call_next(request)

    assert through(method, twice, max_concurrency=1) == "Hello"
    assert len(server.requests) == 2


@BOTH
@pytest.mark.parametrize("way", ["handed on", "read late"])
def test_an_unread_response_is_closed_by_the_next_send(through, server, wire, method, way):
    answer(server, wire)

    async def first_of_two(request, call_next):
        first = await call_next(request)
        await call_next(request)
        if way == "read late":
            await first.read()
        return first

    with pytest.raises(RuntimeError, match="read it before calling call_next again"):
        through(method, first_of_two)
    assert len(server.requests) == 2
    assert server.gone()


@BOTH
def test_a_read_response_survives_the_next_send(through, server, wire, method):
    answer(server, wire)

    async def first_of_two(request, call_next):
        first = await call_next(request)
        await first.read()
        await call_next(request)
        return first

    assert through(method, first_of_two, max_concurrency=1) == "Hello"
    assert len(server.requests) == 2


@BOTH
def test_a_response_being_read_survives_the_next_send(through, server, wire, method):
    whole = {"chat": wire.ok(), "stream": wire.stream("Hel", "lo")}[method]
    both_sent = asyncio.Event()

    async def handler(reader, writer, number):
        writer.write(whole[:-5])
        await writer.drain()
        if number == 1:
            await both_sent.wait()
        else:
            both_sent.set()
        writer.write(whole[-5:])

    server.handler = handler

    async def hedge(request, call_next):
        first = await call_next(request)
        reading = asyncio.create_task(first.read())
        await asyncio.sleep(0)
        await call_next(request)
        await reading
        return first

    assert through(method, hedge) == "Hello"


@BOTH
def test_either_of_two_concurrent_responses_may_be_returned(through, server, wire, method):
    answer(server, wire)

    async def race(request, call_next):
        first, _ = await asyncio.gather(call_next(request), call_next(request))
        return first

    assert through(method, race) == "Hello"
    assert len(server.requests) == 2


@BOTH
def test_an_exception_of_a_middleware_is_raised_and_leaves_no_connection_open(
    through, server, wire, method
):
    answer(server, wire)

    async def broken(request, call_next):
        await call_next(request)
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        through(method, broken)
    assert server.gone()
    assert len(server.requests) == 1


@BOTH
def test_an_invalid_response_of_a_middleware_is_an_error(through, server, wire, method):
    answer(server, wire)

    async def forgetful(request, call_next):
        await call_next(request)

    with pytest.raises(TypeError, match="must return an HTTPResponse, not NoneType"):
        through(method, forgetful)


def test_a_stream_shortened_by_a_middleware_is_truncated(through, server, wire):
    async def cut(request, call_next):
        return HTTPResponse(wire.delta("Hel"), headers={"Content-Type": "text/event-stream"})

    with pytest.raises(StreamTruncatedError) as caught:
        through("stream", cut)
    assert caught.value.partial.text == "Hel"


@BOTH
def test_an_echoed_token_is_not_shown_to_a_middleware(through, server, wire, method):
    echo = wire.http({"error": {"message": f"bad token {wire.token}"}}, "400 X", X_Echo=wire.token)
    server.reply(echo)
    seen = []

    async def look(request, call_next):
        response = await call_next(request)
        seen.append(repr(response.headers) + repr(await response.read()))
        return response

    with pytest.raises(BadRequestError):
        through(method, look)
    assert "bad token ***" in seen[0]
    assert wire.token not in seen[0]


class Plain:
    def __call__(self, request, call_next):
        return call_next(request)

    def method(self, request, call_next):
        return call_next(request)


class Asynchronous:
    async def __call__(self, request, call_next):
        return await call_next(request)

    async def method(self, request, call_next):
        return await call_next(request)


@pytest.mark.parametrize(
    "one",
    ["print", Plain(), Plain().method, partial(Plain()), lambda _, __: HTTPResponse(b"{}")],
)
def test_an_invalid_middleware_is_rejected(one):
    with pytest.raises(TypeError, match="async def"):
        AsyncClient("t-0123456789", middleware=[one])


@BOTH
@pytest.mark.parametrize(
    "one", [Asynchronous(), Asynchronous().method, partial(as_it_is), partial(Asynchronous())]
)
def test_every_async_callable_is_a_middleware(through, server, wire, method, one):
    answer(server, wire)

    assert through(method, one) == "Hello"


def test_a_callable_without_an_inspectable_type_is_accepted():
    AsyncClient("t-0123456789", middleware=[AsyncMock(), print])


def test_a_request_is_a_value():
    request = HTTPRequest(method="GET", path="/models")

    assert request.json() is None
    assert request.with_headers({"X": "1"}) == HTTPRequest(
        method="GET", path="/models", headers={"X": "1"}
    )
