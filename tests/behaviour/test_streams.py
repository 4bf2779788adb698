"""The encodings and ends of streams. Marks name the cases of the table."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from acechat import (
    APIError,
    AsyncClient,
    Client,
    InsufficientBalanceError,
    OverloadedError,
    ProtocolError,
    RateLimitError,
    ServerError,
    StreamInterruptedError,
    StreamTruncatedError,
    TransportError,
)

ONCE = {"retries": 1}


def end_with(server, sent, *, reset=False):
    async def handler(reader, writer, number):
        writer.write(sent)
        await writer.drain()
        await asyncio.sleep(0.05)
        if reset:
            server.reset(writer)
        else:
            writer.close()

    server.handler = handler


CUTS = {
    "stream-cut-clean": lambda wire: wire.sse(wire.delta("Hello")),
    "stream-cut-mid-event": lambda wire: wire.sse(wire.delta("Hello") + wire.delta("x")[:20]),
    "stream-cut-before-blank": lambda wire: wire.sse(wire.delta("Hello") + wire.delta("x")[:-1]),
    "finish-cut-before-blank": lambda wire: wire.sse(
        wire.delta("Hello") + wire.delta(finish="stop")[:-1]
    ),
    "one-choice-of-two": lambda wire: wire.sse(
        wire.delta("Hello") + wire.delta(finish="stop", index=1)
    ),
    "done-in-text": lambda wire: wire.sse(wire.delta("Hello") + b": [DONE]\n\n"),
    "done-as-event": lambda wire: wire.sse(wire.delta("Hello") + b"event: [DONE]\n\n"),
    "part-of-done": lambda wire: wire.sse(wire.delta("Hello") + b"data: [DON"),
}


@pytest.mark.parametrize("make", CUTS.values(), ids=CUTS)
def test_a_stream_that_ends_early_raises_an_error(ask, server, wire, make):
    server.reply(make(wire))
    got = ask.stream()
    assert type(got.error) is StreamTruncatedError
    assert got.error.partial.text == got.text == "Hello"
    assert got.error.chunks >= 1
    assert got.error.received > 100
    assert got.error.elapsed > 0
    assert got.error.attempts[-1].failure == "partial"
    assert len(server.requests) == 1


@pytest.mark.parametrize("reset", [False, True], ids=["stream-cut-fin", "stream-cut-rst"])
def test_a_broken_connection_in_a_stream_raises_an_error(ask, server, wire, reset):
    end_with(server, wire.sse(wire.delta("Hello"), end=False), reset=reset)
    got = ask.stream()
    assert type(got.error) is StreamInterruptedError
    assert isinstance(got.error, TransportError)
    assert got.error.partial.text == got.text == "Hello"
    assert len(server.requests) == 1


def test_content_received_before_a_break_is_delivered_to_a_later_reader(server, wire):
    async def handler(reader, writer, number):
        writer.write(wire.head() + wire.chunk(wire.delta("Hel")))
        await writer.drain()
        await asyncio.sleep(0.1)
        writer.write(wire.chunk(wire.delta("lo")))
        await writer.drain()
        writer.close()

    async def read():
        async with AsyncClient(wire.token, base_url=server.url, **ONCE) as client:
            stream = client.stream("Hello")
            first = str(await anext(stream))
            await asyncio.sleep(0.4)  # meanwhile the rest arrives, and the connection breaks
            second = str(await anext(stream))
            with pytest.raises(StreamInterruptedError) as caught:
                await anext(stream)
            return first, second, caught.value.partial.text

    server.handler = handler

    assert asyncio.run(read()) == ("Hel", "lo", "Hello")


@pytest.mark.case("stream-cut-close-delimited")
def test_a_close_delimited_stream_may_be_truncated(ask, server, wire):
    head = b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    end_with(server, head + wire.delta("Hello"))
    assert type(ask.stream().error) is StreamTruncatedError


def test_a_break_after_the_finish_reason_raises_an_error(ask, server, wire):
    whole = wire.delta("Hello") + wire.delta(finish="stop")
    end_with(server, wire.sse(whole, end=False), reset=True)
    got = ask.stream()
    assert isinstance(got.error, StreamInterruptedError)
    assert got.error.partial.finish_reason == "stop"


@pytest.mark.parametrize("method", ["stream", "chat"])
@pytest.mark.case("body-empty-stream")
def test_an_empty_stream_raises_an_error(either, server, wire, method):
    server.reply(wire.sse(b""))
    assert isinstance(either(method, **ONCE), StreamTruncatedError)


ENDS = {
    "stream-no-done": lambda wire: wire.delta("Hello") + wire.delta(finish="stop"),
    "stream-done-no-finish": lambda wire: wire.delta("Hello") + wire.done,
    "stream-done-no-blank": lambda wire: wire.delta("Hello") + b"data: [DONE]",
    "done-one-line-end": lambda wire: wire.delta("Hello") + b"data: [DONE]\n",
    "done-no-space": lambda wire: wire.delta("Hello") + b"data:[DONE]\n\n",
    "done-space-after": lambda wire: wire.delta("Hello") + b"data: [DONE] \n\n",
    "stream-after-done": lambda wire: wire.events("Hello") + wire.delta("never") + b"garbage",
    "error-after-done": lambda wire: wire.events("Hello") + b'data: {"error": "x"}\n\n',
    "bare-after-done": lambda wire: wire.events("Hello") + b'{"error": "x"}\n\n',
}


@pytest.mark.parametrize("make", ENDS.values(), ids=ENDS)
def test_a_stream_that_proves_its_end_is_complete(ask, server, wire, make):
    server.reply(wire.sse(make(wire)))
    got = ask.stream()
    assert got.error is None
    assert got.text == got.completion.text == "Hello"


@pytest.mark.case("stream-only-done")
def test_a_stream_of_done_alone_is_no_success(ask, server, wire):
    server.reply(wire.sse(wire.done))
    got = ask.stream()
    assert type(got.error) is ProtocolError
    assert "contains no completion" in str(got.error)
    assert (got.texts, got.error.partial.choices) == ([], [])


ACE = {"success": False, "error": {"code": "used_up", "message": "no money"}, "trace_id": "t-1"}
ERRORS = {
    "stream-error-openai": (
        b'data: {"error": {"message": "no", "type": "server_error", "code": null}}\n\n',
        APIError,
    ),
    "stream-error-ace": (f"data: {json.dumps(ACE)}\n\n".encode(), InsufficientBalanceError),
    "stream-error-named": (b'event: error\ndata: {"message": "no"}\n\n', APIError),
    "named-text": (b"event: error\ndata: it broke\n\n", APIError),
    "anthropic": (
        b'event: error\ndata: {"type": "error", "error": {"type": "overloaded_error"}}\n\n',
        OverloadedError,
    ),
    "type-error": (b'data: {"type": "error", "message": "no"}\n\n', APIError),
    "stream-error-string": (b'data: {"error": "boom"}\n\n', APIError),
    "litellm": (b'data: {"error": {"message": "slow", "code": "429"}}\n\n', RateLimitError),
    "stream-error-bare": (b'{"error": {"message": "no", "code": "busy"}}', APIError),
    "bare-line": (b'{"error": {"message": "no", "code": "busy"}}\n\n', APIError),
    "bare-pretty": (b'{\n  "error": {\n    "message": "no"\n  }\n}\n', APIError),
    "success-false": (b'data: {"success": false}\n\n', APIError),
    "beside-choices": (
        b'data: {"choices": [], "error": {"message": "no", "code": "api_error"}}\n\n',
        ServerError,
    ),
}


@pytest.mark.parametrize(("event", "cls"), ERRORS.values(), ids=ERRORS)
@pytest.mark.parametrize("apart", [False, True], ids=["same-packet", "own-packet"])
def test_an_error_event_is_raised_after_the_content_before_it(ask, server, wire, event, cls, apart):
    async def handler(reader, writer, number):
        writer.write(wire.head())
        if apart:
            writer.write(wire.chunk(wire.delta("Hello")))
            await writer.drain()
            await asyncio.sleep(0.02)
            writer.write(wire.chunk(event) + wire.chunk(b""))
        else:
            writer.write(wire.chunk(wire.delta("Hello") + event) + wire.chunk(b""))

    server.handler = handler
    got = ask.stream()
    assert isinstance(got.error, cls)
    assert got.text == got.error.partial.text == "Hello"
    assert got.error.attempts[-1].failure == "partial"
    assert len(server.requests) == 1


def test_an_error_event_keeps_the_fields_of_the_service(ask, server, wire):
    server.reply(wire.sse(wire.delta("Hello") + ERRORS["stream-error-ace"][0]))
    error = ask.stream().error
    assert (error.code, error.message, error.trace_id) == ("used_up", "no money", "t-1")
    assert error.status is None


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(b"data: {not json\n\n", id="stream-bad-json"),
        pytest.param(b"data: <html>\n\n", id="html"),
        pytest.param(b"data: 5\n\n", id="number"),
        pytest.param(b"data: [1]\n\n", id="list"),
        pytest.param(b'data: {"choices": [{"delta": {"content": {}}}]}\n\n', id="content-object"),
        pytest.param(b"data: " + b"[" * 100_000 + b"\n\n", id="deep"),
    ],
)  # fmt: skip
def test_an_invalid_event_raises_an_error(ask, server, wire, event):
    server.reply(wire.sse(wire.delta("Hello") + event + wire.delta("never") + wire.done))
    got = ask.stream()
    assert type(got.error) is ProtocolError
    assert got.text == got.error.partial.text == "Hello"


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"\xff", id="stream-bad-utf8"),
        pytest.param(rb"\ud83d", id="stream-surrogate"),
    ],
)
def test_a_broken_character_in_an_event_is_replaced(ask, server, wire, content):
    event = b'data: {"choices": [{"delta": {"content": "a%sb"}}]}\n\n' % content
    server.reply(wire.sse(wire.delta("Hello") + event + wire.done))
    got = ask.stream()
    assert got.error is None
    assert got.text == got.completion.text == "Helloa\ufffdb"


def rewritten(wire, old, new):
    return wire.events("Hel", "lo").replace(old, new)


FORMS = {
    "stream-nospace": lambda wire: rewritten(wire, b"data: ", b"data:"),
    "stream-crlf": lambda wire: rewritten(wire, b"\n", b"\r\n"),
    "stream-cr": lambda wire: rewritten(wire, b"\n", b"\r"),
    "stream-bom": lambda wire: b"\xef\xbb\xbf" + wire.events("Hel", "lo"),
    "stream-comments": lambda wire: rewritten(wire, b"data: ", b": x\n:\n\ndata: "),
    "stream-retry-prelude": lambda wire: b"retry: 3000\n\n" + wire.events("Hel", "lo"),
    "stream-ids": lambda wire: rewritten(wire, b"data: ", b"id: 7\ndata: "),
    "stream-id-ping": lambda wire: b"id: 1\n\n: ping\n\n" + wire.events("Hel", "lo"),
    "stream-event-nodata": lambda wire: b"event: ping\n\n" + wire.events("Hel", "lo"),
    "stream-empty-data": lambda wire: b"data:\n\ndata\n\n" + wire.events("Hel", "lo"),
    "stream-multiline": lambda wire: rewritten(wire, b', "', b',\ndata: "'),
    "stream-error-null": lambda wire: rewritten(wire, b'"created"', b'"error": null, "created"'),
    "stream-null-choices": lambda wire: b'data: {"choices": null}\n\n' + wire.events("Hel", "lo"),
    "no-choices": lambda wire: b'data: {"id": "x"}\n\n' + wire.events("Hel", "lo"),
    "null-delta": lambda wire: (
        b'data: {"choices": [{"delta": null}]}\n\ndata: {"choices": [{}]}\n\n'
        + wire.events("Hel", "lo")
    ),
    "named-events": lambda wire: rewritten(wire, b"data: ", b"event: message\ndata: "),
    "nameless-field": lambda wire: b"nonsense\n" + wire.events("Hel", "lo"),
}


@pytest.mark.parametrize("make", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("size", [1, 0], ids=["stream-split", "at-once"])
def test_every_encoding_of_a_stream_is_read(ask, server, wire, make, size):
    body = make(wire)
    if size:
        pieces = [wire.chunk(body[at : at + size]) for at in range(0, len(body), size)]
        server.reply(wire.head() + b"".join(pieces) + wire.chunk(b""))
    else:
        server.reply(wire.sse(body))
    got = ask.stream()
    assert got.error is None
    assert got.completion.text == "Hello"


def test_network_chunk_boundaries_do_not_change_the_deltas(ask, server, wire):
    body = wire.events("Gr", "\u00fc\u2028\u0085\U0001f600")

    async def handler(reader, writer, number):
        writer.write(wire.head())
        for byte in body:
            writer.write(wire.chunk(bytes([byte])))
            await writer.drain()
            await asyncio.sleep(0)
        writer.write(wire.chunk(b""))

    server.handler = handler
    assert ask.stream().completion.text == "Gr\u00fc\u2028\u0085\U0001f600"


@pytest.mark.case("stream-u2028")
def test_unicode_line_separators_stay_in_the_text(ask, server, wire):
    text = "a\u2028b\u2029c\u0085d\x0b"
    event = {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": "stop"}]}
    body = b"data: " + json.dumps(event, ensure_ascii=False).encode() + b"\n\n" + wire.done
    server.reply(wire.sse(body))
    assert ask.stream().completion.text == text


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(None, id="stream-no-ct"),
        pytest.param("text/plain", id="stream-text-plain"),
        "text/event-stream;charset=utf-8",
        "Text/Event-Stream ; charset=UTF-8",
    ],
)
def test_unusual_spellings_of_the_event_stream_type_are_accepted(ask, server, wire, kind):
    server.reply(wire.sse(wire.events("Hello"), kind=kind))
    assert ask.stream().completion.text == "Hello"


@pytest.mark.parametrize("kind", [None, "text/plain"])
def test_a_complete_body_without_a_content_type_is_read_as_json(ask, server, wire, kind):
    server.reply(wire.http(wire.answer(), kind=kind))
    got = ask.stream()
    assert got.error is None
    assert got.text == got.completion.text == "Hello"
    assert got.completion.usage.total_tokens == 2
    assert len(server.requests) == 1


@pytest.mark.parametrize("kind", ["text/html", "application/octet-stream", "image/png", "x"])
def test_a_body_of_another_content_type_is_read_if_it_has_events(ask, server, wire, kind):
    server.reply(wire.sse(wire.events("Hello"), kind=kind))
    assert ask.stream().completion.text == "Hello"
    server.reply(wire.http(b"<html>an event stream</html>", kind=kind))
    got = ask.stream()
    assert isinstance(got.error, ProtocolError)
    assert kind in str(got.error)
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "place", ["own chunk", "with finish", "after finish with choice", "in every chunk"]
)
def test_usage_is_found_at_every_position(ask, server, wire, place):
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    event = b"data: " + json.dumps({"choices": [], "usage": usage}).encode() + b"\n\n"
    body = {
        "own chunk": wire.delta("Hello") + wire.delta(finish="stop") + event,
        "with finish": wire.delta("Hello") + wire.delta(finish="stop", usage=usage),
        "after finish with choice": wire.delta("Hello")
        + wire.delta(finish="stop")
        + wire.delta("", usage=usage),
        "in every chunk": wire.delta("Hello", usage={"total_tokens": 1})
        + wire.delta(finish="stop", usage=usage),
    }[place]
    server.reply(wire.sse(body + wire.done))
    got = ask.stream()
    assert got.completion.usage.total_tokens == 7
    assert got.completion.finish_reason == "stop"


def test_a_late_end_of_stream_is_accepted(ask, server, wire):
    async def handler(reader, writer, number):
        writer.write(wire.sse(wire.delta("Hello") + wire.delta(finish="stop"), end=False))
        await writer.drain()
        await asyncio.sleep(0.2)
        writer.write(wire.chunk(wire.done))
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(wire.chunk(b""))

    server.handler = handler
    assert ask.stream().completion.text == "Hello"


def test_a_slightly_late_last_chunk_keeps_the_connection(server, wire, make_ask):
    async def handler(reader, writer, number):
        writer.write(wire.sse(wire.events("Hello"), end=False))
        await writer.drain()
        await asyncio.sleep(0.02)
        writer.write(wire.chunk(b""))

    server.handler = handler
    with Client(**make_ask(server.url).options({})) as client:
        for _ in range(3):
            assert client.stream("Hi").collect().text == "Hello"
            time.sleep(0.06)
    assert {request.connection for request in server.requests} == {1}


@pytest.mark.parametrize("options", [{}, {"n": 2}], ids=str)
def test_choices_are_separated_by_index(ask, server, wire, options):
    body = wire.delta("a", index=0) + wire.delta("b", index=1) + wire.delta("A", index=0)
    body += wire.delta(finish="stop", index=1) + wire.delta(finish="length", index=0)
    server.reply(wire.sse(body))
    got = ask.stream(**options)
    assert got.error is None
    assert [choice.message.content for choice in got.completion.choices] == ["aA", "b"]


def test_a_read_after_an_error_raises_it_again(server, wire, make_ask):
    server.reply(wire.sse(wire.delta("Hello")))
    with Client(**make_ask(server.url).options({})) as client:
        stream = client.stream("Hi")
        assert str(next(stream)) == "Hello"
        for _ in range(3):
            with pytest.raises(StreamTruncatedError):
                next(stream)
        with pytest.raises(StreamTruncatedError):
            _ = stream.completion


def test_a_read_after_the_end_returns_nothing(server, wire, make_ask):
    server.reply(wire.stream())
    with Client(**make_ask(server.url).options({})) as client:
        stream = client.stream("Hi")
        assert len(list(stream)) == 2
        assert list(stream) == []
        assert stream.receive() == []
        assert stream.completion.text == "Hello"
