"""Responses of unusual form: each is read as what it is, or raises with the partial response."""

from __future__ import annotations

import json
import pickle

import pytest

from acechat import (
    APIError,
    BadRequestError,
    InsufficientBalanceError,
    ProtocolError,
    ServerError,
)
from acechat._wire.error_response import parse_error

BOM = b"\xef\xbb\xbf"
END = b"data: [DONE]\n\n"
USAGE = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}


def event(**fields):
    return b"data: %s\n\n" % json.dumps(fields).encode()


def choice(reason=None, **fields):
    return {"choices": [{"index": 0, "finish_reason": reason, **fields}]}


def delta(reason=None, **fields):
    return event(**choice(reason, delta=fields))


STOP = delta("stop")
COMPLETE = delta(content="Hel") + delta(content="lo") + STOP + END
MESSAGE = choice("stop", message={"role": "assistant", "content": "Hello"})
COMPLETION = json.dumps(MESSAGE).encode()
PING = b"event: ping\ndata: 2020-12-22 15:33:27\n\n"
EMPTY_ERROR = {"message": "", "type": "", "param": "", "code": None}

STREAMS = {
    "one message": event(**MESSAGE) + END,
    "one message, no end": event(**MESSAGE),
    "messages": event(**choice(message={"content": "Hel"}))
    + event(**choice(message={"content": "lo"}))
    + STOP
    + END,
    "message beside an empty delta": event(**choice("stop", delta={}, message={"content": "Hello"}))
    + END,
    "text": event(**choice("stop", text="Hello")) + END,
    "byte order mark": BOM + COMPLETE,
    "byte order mark in an event": b"data: " + BOM + COMPLETE[6:],
    "ping": PING + delta(content="Hel") + PING + delta(content="lo") + STOP + END,
    "heartbeat": b"event: heartbeat\ndata: null\n\n" + COMPLETE,
    "parts": delta(content=[{"type": "text", "text": "Hel"}])
    + delta(content=["lo", {"type": "citation"}])
    + STOP
    + END,
    "empty errors": event(**choice(delta={"content": "Hello"}), error=EMPTY_ERROR) + STOP + END,
    "NaN": event(**choice(delta={"content": "Hello"}, x=float("nan"))) + STOP + END,
    "huge integer": COMPLETE.replace(b'"index": 0', b'"index": 0, "x": ' + b"9" * 5_000),
    "half a character in an unknown field": event(choices=[], meta="\ud83d") + COMPLETE,
    "broken UTF-8 in an unknown field": b'data: {"choices": [], "x": "\xff"}\n\n' + COMPLETE,
}


@pytest.mark.parametrize("body", STREAMS.values(), ids=STREAMS)
@pytest.mark.parametrize(
    "kind",
    ["text/event-stream", "application/json", "text/html; charset=utf-8", "text/plain", None],
)
def test_a_stream_of_unusual_form_is_read(ask, server, wire, body, kind):
    server.reply(wire.http(body, kind=kind))

    got = ask.stream()

    assert got.error is None
    assert got.text == got.completion.text == "Hello"
    assert got.completion.finish_reason == "stop"
    assert ask.chat().text == "Hello"
    assert len(server.requests) == 2


BODIES = {
    "plain": COMPLETION,
    "delta": json.dumps(choice("stop", delta={"content": "Hello"})).encode(),
    "text": json.dumps(choice("stop", text="Hello")).encode(),
    "indented": json.dumps(MESSAGE, indent=2).encode(),
    "byte order mark": BOM + COMPLETION,
    "empty error": json.dumps({**MESSAGE, "error": EMPTY_ERROR}).encode(),
    "error without members": json.dumps({**MESSAGE, "error": {}}).encode(),
    "NaN": COMPLETION.replace(b"{", b'{"x": NaN,', 1),
    "huge integer": COMPLETION.replace(b"{", b'{"created": ' + b"9" * 5_000 + b",", 1),
    "lone surrogate": COMPLETION.replace(b"{", b'{"id": "\\ud83d",', 1),
    "broken UTF-8": COMPLETION.replace(b"{", b'{"id": "\xff",', 1),
    "control character": COMPLETION.replace(b"{", b'{"id": "\x01",', 1),
    "parts": COMPLETION.replace(b'"Hello"', b'[{"type": "text", "text": "Hel"}, "lo"]'),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("kind", ["application/json", "text/event-stream", "text/plain", None])
def test_a_body_of_unusual_form_is_read(ask, server, wire, body, kind):
    server.reply(wire.http(body, kind=kind))

    completion = ask.chat()

    assert (completion.text, completion.finish_reason) == ("Hello", "stop")
    json.dumps(completion.to_dict())
    got = ask.stream()
    assert (got.error, got.text) == (None, "Hello")


def test_a_completion_before_the_end_of_a_stream_is_read(ask, server, wire):
    server.reply(wire.sse(COMPLETION + b"\n\n" + END))

    assert ask.chat().text == ask.stream().text == "Hello"


@pytest.mark.parametrize(
    "body",
    [
        {"choices": [], "usage": USAGE},
        {"choices": [{}], "usage": USAGE},
        {**choice("stop", message=None), "usage": USAGE},
        {**choice("stop", message={"role": "assistant", "content": None}), "usage": USAGE},
        {**choice("tool_calls", message={"tool_calls": []}), "usage": USAGE},
    ],
)
def test_a_response_without_content_is_no_success(ask, server, wire, body):
    server.reply(wire.http(body))

    with pytest.raises(ProtocolError, match="the response contains no completion") as caught:
        ask.chat()

    assert caught.value.partial.usage.total_tokens == 120
    server.reply(wire.sse(event(**body) + END))
    error = ask.stream().error
    assert type(error) is ProtocolError
    assert error.partial.usage.total_tokens == 120
    with pytest.raises(ProtocolError, match="the response contains no completion") as caught:
        ask.chat()
    assert caught.value.partial.usage.total_tokens == 120


@pytest.mark.parametrize("reason", ["length", "content_filter", "pause_turn"])
def test_a_finish_reason_may_explain_that_there_is_no_content(ask, server, wire, reason):
    server.reply(wire.http(choice(reason, message={"content": None})))
    assert ask.chat().finish_reason == reason
    server.reply(wire.sse(delta(reason) + END))
    assert ask.stream().completion.finish_reason == reason


FAILED = {"code": 502, "message": "upstream died"}


@pytest.mark.parametrize("text", ["", "Hel"])
@pytest.mark.parametrize("fields", [{"error": FAILED}, {"reason": "error"}])
def test_an_error_in_a_choice_is_raised(ask, server, wire, text, fields):
    once = {"retries": 1}
    server.reply(wire.http(choice(**fields, message={"content": text})))
    with pytest.raises(APIError):
        ask.chat(client_options=once)

    server.reply(wire.sse(delta(content="Hel") + event(**choice(**fields, delta={})) + END))
    got = ask.stream(client_options=once)

    assert isinstance(got.error, APIError)
    assert got.text == got.error.partial.text == "Hel"


@pytest.mark.parametrize("place", ["choice", "chunk", "delta", "message"])
@pytest.mark.parametrize("reason", [None, "error", "stop"])
@pytest.mark.parametrize("before", [b"", delta(content="Hel")])
def test_content_beside_an_error_is_kept(ask, server, wire, place, reason, before):
    once = {"retries": 1}
    odd = choice(reason, delta={"content": "lo"})
    target = odd if place == "chunk" else odd["choices"][0]
    if place == "delta":
        target = odd["choices"][0]["delta"] = {"reasoning": "lo"}
    if place == "message":
        target = odd["choices"][0]["message"] = odd["choices"][0].pop("delta")
    target["error"] = FAILED
    text = ("Hel" if before else "") + ("" if place == "delta" else "lo")
    expected = (text, "lo" if place == "delta" else None)
    server.reply(wire.sse(before + event(**odd) + END))

    got = ask.stream(client_options=once)

    assert type(got.error) is ServerError
    assert (got.text, got.error.message) == (text, "upstream died")
    assert (got.error.partial.text, got.error.partial.reasoning) == expected
    with pytest.raises(ServerError) as caught:
        ask.chat(client_options=once)
    assert (caught.value.partial.text, caught.value.partial.reasoning) == expected

    if not before:
        server.reply(wire.http(json.dumps(odd).encode()))
        with pytest.raises(ServerError, match="upstream died") as caught:
            ask.chat(client_options=once)
        assert (caught.value.partial.text, caught.value.partial.reasoning) == expected


TEXTS = ["", "Hel", "lo", None]


def numbered(*indexes):
    """Return a stream whose choices have *indexes*; `...` leaves the index out."""
    events = []
    for text, index in zip(TEXTS, indexes, strict=True):
        fields = {"delta": {} if text is None else {"content": text}, "index": index}
        if index is ...:
            del fields["index"]
        fields["finish_reason"] = "stop" if text is None else None
        events.append(event(choices=[fields]))
    return b"".join(events)


@pytest.mark.parametrize("end", [END, b""], ids=["[DONE]", "no [DONE]"])
@pytest.mark.parametrize("body", ["{}", '{"n": 1}', '{"n": null}'])
@pytest.mark.parametrize(
    "indexes",
    [
        (0, 1, 2, 3),
        (1, 2, 3, 4),
        (5, 6, 7, 0),
        (1, 1, 1, 1),
        (-1, -1, -1, -1),
        (None, None, None, None),
        (..., ..., ..., ...),
        ("0", "0", "0", "0"),
        ("0", "1", "2", "3"),
        (0, "a", None, 1.5),
        (2**70, 2**70, 2**70 + 1, 2**70 + 2),
        (0, 1, 2, 0),
        (0, 0, 1, 2),
    ],
    ids=str,
)
def test_the_index_of_the_only_choice_counts_for_nothing(ask, server, wire, indexes, body, end):
    server.reply(wire.sse(numbered(*indexes) + end))

    got = ask.stream(extra_body=json.loads(body))

    assert got.error is None
    assert (got.text, got.completion.finish_reason) == ("Hello", "stop")
    assert len(got.completion.choices) == len(got.completion.to_dict()["choices"]) == 1
    assert ask.chat(extra_body=json.loads(body)).text == "Hello"


def test_tool_calls_of_the_only_choice_are_joined(ask, server, wire):
    parts = [{"id": "x", "name": "f", "arguments": ""}, {"arguments": "{"}, {"arguments": "}"}]
    body = b""
    for index, part in enumerate(parts, 3):
        call = {"index": 0, "id": part.pop("id", None), "function": part}
        body += event(choices=[{"index": index, "delta": {"tool_calls": [call]}}])
    server.reply(wire.sse(body + event(choices=[{"index": 9, "finish_reason": "tool_calls"}])))

    (call,) = ask.stream().completion.tool_calls

    assert (call.function.name, call.function.arguments) == ("f", "{}")


@pytest.mark.parametrize("options", [{}, {"n": 2}], ids=str)
@pytest.mark.parametrize(
    ("fragments", "expected"),
    [
        ([(1, "B"), (0, "A"), (1, "b"), (0, "a")], ["Aa", "Bb"]),
        ([(0, "A"), (1, "B"), (0, "a"), (1, "b")], ["Aa", "Bb"]),
        ([(0, ""), (1, ""), (0, "A"), (1, "B"), (0, "a"), (1, "b")], ["Aa", "Bb"]),
        ([(0, "A"), (0, "a"), (0, None), (1, "B"), (1, "b"), (1, None)], ["Aa", "Bb"]),
        ([(0, "A"), (1, "B"), (2, "C"), (0, "a"), (1, "b")], ["Aa", "Bb", "C"]),
    ],
)
def test_fragments_that_return_to_an_index_are_several_choices(
    ask, server, wire, options, fragments, expected
):
    events = [
        {
            "index": index,
            "delta": {"content": text or ""},
            "finish_reason": None if text else "stop",
        }
        if text != ""
        else {"index": index, "delta": {"role": "assistant", "content": ""}}
        for index, text in fragments
    ]
    server.reply(wire.sse(b"".join(event(choices=[each]) for each in events) + END))

    got = ask.stream(**options)

    assert [each.message.content for each in got.completion.choices] == expected
    assert [each["index"] for each in got.completion.to_dict()["choices"]] == list(
        range(len(expected))
    )


def test_several_choices_are_kept_apart(ask, server, wire):
    both = [{"index": n, "delta": {"content": "ab"[n]}} for n in range(2)]
    server.reply(wire.sse(event(choices=both) + event(choices=both[::-1]) + END))
    assert [each.message.content for each in ask.stream().completion.choices] == ["aa", "bb"]

    one_by_one = event(choices=both[:1]) + event(choices=both[1:]) + END
    server.reply(wire.sse(one_by_one))
    got = ask.stream(n=2)
    assert [each.message.content for each in got.completion.choices] == ["a", "b"]


NO_MONEY = {"error": {"code": "used_up", "message": "no money"}, "trace_id": "t-1"}


INNER = NO_MONEY["error"]
TEXT = json.dumps(NO_MONEY)
REFUSALS = {
    "object": NO_MONEY,
    "list": [NO_MONEY],
    "text": TEXT,
    "list of text": [TEXT],
    "text of the error": {**NO_MONEY, "error": json.dumps(INNER)},
    "list of the error": {**NO_MONEY, "error": [INNER, INNER]},
    "error in an error": {**NO_MONEY, "error": {"error": INNER}},
    "text of all in the message": {"error": {"message": TEXT, "code": None}},
    "text of the error in the message": {"error": {"message": TEXT, "code": "used_up"}},
    "code outside": {"code": "used_up", "error": {"message": "no money"}, "trace_id": "t-1"},
}


@pytest.mark.parametrize("before", [b"", BOM], ids=["", "byte order mark"])
@pytest.mark.parametrize("value", REFUSALS.values(), ids=REFUSALS)
def test_an_error_keeps_its_facts(ask, server, wire, value, before):
    body = before + json.dumps(value).encode()
    errors = []
    for response in (
        wire.http(body, "403 Forbidden"),
        wire.http(body),
        wire.sse(b"data: " + body + b"\n\n"),
    ):
        server.reply(response)
        with pytest.raises(InsufficientBalanceError) as caught:
            ask.chat()
        errors += [caught.value, ask.stream().error]

    facts = {(type(error), error.code, error.message, error.trace_id) for error in errors}
    assert facts == {(InsufficientBalanceError, "used_up", "no money", "t-1")}


ONLY_REFUSED = {
    "several errors": [NO_MONEY, NO_MONEY],
    "errors": {"errors": [INNER], "trace_id": "t-1"},
    "detail": {"detail": NO_MONEY},
    "text in the detail": {"detail": TEXT},
    "data": {"data": NO_MONEY},
}


@pytest.mark.parametrize(
    "form",
    [
        "%s",
        "\ufeff%s",
        "data: %s\n\n",
        "\ufeffdata: %s\r\n\r\n",
        "event: error\ndata: %s\n\n",
        ": PING\n\ndata: %s\n\ndata: [DONE]\n\n",
        "data: %s",
        "%s\n%s\n",
        "upstream failed:\n%s\n",
    ],
    ids=repr,
)
@pytest.mark.parametrize("value", [*REFUSALS.values(), *ONLY_REFUSED.values()], ids=json.dumps)
@pytest.mark.parametrize("kind", ["application/json", "text/event-stream"])
def test_a_refusal_in_any_form_keeps_its_facts(kind, value, form):
    body = form.replace("%s", json.dumps(value)).encode()

    error = parse_error(403, {"content-type": kind}, body, now=0.0)

    assert type(error) is InsufficientBalanceError
    assert (error.code, error.message, error.trace_id) == ("used_up", "no money", "t-1")


@pytest.mark.parametrize(
    "code",
    [400, 400.0, "400", "HTTP 400", "http_400", "HTTP-400", "400 Bad Request", "error code: 400"],
)
@pytest.mark.parametrize("name", ["code", "type"])
def test_a_code_that_repeats_the_status_is_dropped(ask, server, wire, name, code):
    server.reply(wire.http({"error": {name: code, "message": "no"}}, "400 Bad Request"))

    with pytest.raises(BadRequestError) as caught:
        ask.chat()

    assert (caught.value.code, str(caught.value)) == (None, "HTTP 400: no")


@pytest.mark.parametrize("code", ["401", "4000", "bad_request", "400_1", "E400", 40])
def test_another_code_is_kept(ask, server, wire, code):
    server.reply(wire.http({"error": {"code": code, "message": "no"}}, "400 Bad Request"))

    with pytest.raises(APIError) as caught:
        ask.chat()

    assert caught.value.code == str(code)


def call(index, number, name=None, arguments=None):
    function = {"name": name, "arguments": arguments}
    return delta(tool_calls=[{"index": index, "id": number, "function": function}])


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        ([(0, "x", "f", '{"a":1}'), (1, "x", "f", '{"a":2}')], ['f{"a":1}', 'f{"a":2}']),
        ([(0, "x", "f", "{}"), (1, "x", "g", "{}")], ["f{}", "g{}"]),
        ([(0, "x", "f", "{"), (0, "x", "f", "}")], ["f{}"]),
        ([(0, "x", "f", "{"), (0, "y", None, "}")], ["f{}"]),
        ([(0, "x", "get_", ""), (0, None, "weather", "{}")], ["get_weather{}"]),
        ([(0, "x", "get_", ""), (0, "x", "get_weather", "{}")], ["get_weather{}"]),
        ([(0, "x", "f", ""), (0, "x", "f", ""), (0, "x", "f", "{}")], ["f{}"]),
        ([(0, "x", None, "{}"), (0, "x", "f", None)], ["f{}"]),
        ([(0, "x", "f", {}), (1, "y", "g", {"a": 1})], ["f{}", 'g{"a":1}']),
        ([(None, "x", "f", "{"), (None, None, None, "}")], ["f{}"]),
    ],
)
def test_tool_calls_are_assembled(ask, server, wire, calls, expected):
    server.reply(wire.sse(b"".join(call(*each) for each in calls) + delta("tool_calls") + END))

    got = ask.stream()

    functions = [each.function for each in got.completion.tool_calls]
    assert [f"{each.name}{each.arguments}" for each in functions] == expected


@pytest.mark.parametrize(
    ("first", "last"),
    [
        (
            {"prompt_tokens": 100, "completion_tokens": 0, "total_tokens": 100},
            {"prompt_tokens": 0, "completion_tokens": 20, "total_tokens": 20},
        ),
        ({"prompt_tokens": 100}, {"completion_tokens": 20}),
        ({**USAGE, "completion_tokens": None}, {**USAGE, "prompt_tokens": None}),
        (USAGE, {}),
        (USAGE, dict.fromkeys(USAGE, 0)),
        ({**USAGE, "completion_tokens": 1, "total_tokens": 101}, USAGE),
        (USAGE, None),
    ],
)
def test_usage_in_several_events_is_merged(ask, server, wire, first, last):
    body = event(**choice(delta={"content": "Hello"}), usage=first) + STOP
    server.reply(wire.sse(body + event(choices=[], usage=last) + END))

    completion = ask.stream().completion

    usage = completion.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (100, 20, 120)
    assert completion.to_dict()["usage"] == USAGE


PRICE = "0.12345678901234567890123"


@pytest.mark.parametrize(
    "odd", ['"created": "x"', '"model": 1', '"error": {}', '"service_tier": []'], ids=str
)
def test_a_cost_in_odd_json_keeps_its_digits(ask, server, wire, odd):
    cost = f'{{"amount": {PRICE}, "currency": "USD"}}'
    usage = f'"usage": {{"total_tokens": 3, "cost": {cost}}}'
    body = json.dumps(MESSAGE)[:-1] + f", {odd}, {usage}}}"
    server.reply(wire.http(body.encode()))
    assert str(ask.chat().usage.cost.amount) == PRICE

    server.reply(wire.sse(f"data: {body}\n\n".encode() + END))
    usage = ask.stream().completion.usage
    assert (str(usage.cost.amount), usage.cost.currency, usage.total_tokens) == (PRICE, "USD", 3)


HALVES = {
    "surrogates": (rb"Hi \ud83d", rb"\ude00!"),
    "bytes": (b"Hi \xf0\x9f", b"\x98\x80!"),
}


@pytest.mark.parametrize(("one", "two"), HALVES.values(), ids=HALVES)
@pytest.mark.parametrize("name", ["content", "reasoning_content", "arguments"])
@pytest.mark.parametrize("counted", [0, 1], ids=["index 0", "index of tokens"])
def test_a_character_split_over_two_events_is_joined(ask, server, wire, one, two, name, counted):
    form = b'{"%s": "%s"}'
    if name == "arguments":
        form = b'{"tool_calls": [{"index": 0, "id": "x", "function": {"%s": "%s"}}]}'
    body = delta(tool_calls=[{"index": 0, "id": "x", "function": {"name": "f"}}])
    for index, half in ((counted, one), (2 * counted, two)):
        filled = form % (name.encode(), half)
        body += b'data: {"choices": [{"index": %d, "delta": %s}]}\n\n' % (index, filled)
    server.reply(wire.sse(body + delta("stop") + END))

    completion = ask.stream().completion

    arguments = completion.tool_calls[0].function.arguments
    texts = {"content": completion.text, "reasoning_content": completion.reasoning}
    assert {**texts, "arguments": arguments}[name] == "Hi \N{GRINNING FACE}!"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"Orl\xe9ans", "Orl\xe9ans"),
        ("Orl\xe9ans".encode(), "Orl\xe9ans"),
        (b"\xff\xfe", "\xff\xfe"),
        (b"Orleans", "Orleans"),
    ],
)
def test_a_header_in_latin_1_is_text(ask, server, wire, tmp_path, value, text):
    def reply(response):
        server.reply(response.replace(b"\r\n", b"\r\nX-Region: " + value + b"\r\n", 1))

    reply(wire.http(MESSAGE))
    completion = ask.chat()
    assert completion.response.headers["x-region"] == text
    assert pickle.loads(pickle.dumps(completion)).text == "Hello"

    reply(wire.http(NO_MONEY, "403 Forbidden"))
    with pytest.raises(InsufficientBalanceError) as caught:
        ask.chat()
    caught.value.save(tmp_path / "error.acecast")
    assert text in (tmp_path / "error.acecast").read_text(encoding="utf-8")
