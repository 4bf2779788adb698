"""JSON that only other parsers accept, and completions of unusual form."""

from __future__ import annotations

import json
from contextlib import suppress
from decimal import Decimal

import pytest

from acechat._wire.chunks import decode_chunk, merge_usage, merge_usage_fields
from acechat._wire.decode import decode_completion
from acechat._wire.errors.response import is_error, parse_error
from acechat._wire.odd_json import (
    decode_repaired,
    error_of_choice,
    is_empty_error,
    is_event_stream,
    normalize_choices,
    unwrap,
)
from acechat._wire.sse import Event
from acechat._wire.stream import ChatStreamProtocol
from acechat.errors import BadRequestError, InsufficientBalanceError, ProtocolError, ServerError
from acechat.types import Cost, PromptTokensDetails, Usage

BOM = b"\xef\xbb\xbf"
LIMIT = 16 * 2**20


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'{"a": NaN, "b": Infinity, "c": -Infinity}', {"a": None, "b": None, "c": None}),
        (b'{"a": 1e999, "b": 1.5}', {"a": None, "b": 1.5}),
        (b"9" * 400, int("9" * 400)),
        (b"9" * 401, None),
        (b"9" * 100_000, None),
        (b'"a\nb\tc\x00"', "a\nb\tc\x00"),
        (BOM + b'{"a": 1}', {"a": 1}),
        (b'"\xff"', "\ufffd"),
        (b'"a\xe2\x82b"', "a\ufffdb"),
        (b'{"\xff": ["\xff"]}', {"\ufffd": ["\ufffd"]}),
        (rb'"\ud83d"', "\ufffd"),
        (rb'"\ude00\ud83d"', "\ufffd\ufffd"),
        (rb'"\ud83d\ude00"', "\N{GRINNING FACE}"),
        ('"\N{GRINNING FACE}é"'.encode(), "\N{GRINNING FACE}é"),
    ],
)
def test_mistakes_that_other_parsers_accept(data, value):
    assert decode_repaired(data) == value


@pytest.mark.parametrize(
    "data", [b"", b" ", b"{", b'{"a": 1} x', b"<html>", b"[" * 100_000, BOM + b"\xff", b"[1,]"]
)
def test_other_data_is_no_json(data):
    with pytest.raises(ValueError, match=r"."):
        decode_repaired(data)


@pytest.mark.parametrize("depth", [100, 500, 900, 950, 990, 2_000, 200_000])
def test_nesting_is_decoded_or_refused(depth):
    """No depth raises RecursionError, in any layer."""
    nested = b"[" * depth + b"]" * depth
    for odd in (b"NaN", b"1"):
        body = b'{"x": %s, "choices": [{"message": {"content": %s}}]}' % (odd, nested)
        part = b'{"x": %s, "choices": [{"message": {"content": "a"}, "y": %s}]}' % (odd, nested)
        for data in (body, part, nested):
            for decode in (decode_completion, decode_chunk):
                with suppress(ProtocolError):
                    decode(data, {})
            assert parse_error(500, {}, data, now=0).status == 500


def halves_of(*texts):
    """Return the content of a stream with the JSON strings *texts*, one per event."""
    protocol = ChatStreamProtocol({}, LIMIT)
    deltas = []
    for text in texts:
        event = b'data: {"choices":[{"index":0,"delta":{"content":"%s"}}]}\n\n' % text
        deltas += protocol.receive_data(event).deltas
    deltas += protocol.receive_data(b"data: [DONE]\n\n").deltas
    protocol.receive_eof()
    assert "".join(map(str, deltas)) == protocol.completion().text
    return protocol.completion().text


@pytest.mark.parametrize(
    ("texts", "content"),
    [
        ((rb"a\ud83d", rb"\ude00b"), "a\N{GRINNING FACE}b"),
        ((rb"\ud83d", rb"\ude00"), "\N{GRINNING FACE}"),
        ((b"a\xe2", b"\x82\xacb"), "a€b"),
        ((b"a\xe2\x82", b"\xacb"), "a€b"),
        ((b"a\xe2", b"\x82", b"\xacb"), "a€b"),
        ((b"\xf0\x9f\x98", b"\x80"), "\N{GRINNING FACE}"),
        ((b"\xf0\x9f", b"\x98", b"\x80"), "\N{GRINNING FACE}"),
        ((b"\xe2\x82", b"\xac"), "€"),
        ((b"\xc3", b"\xa9", b"a"), "éa"),
        ((rb"\ud83d", rb"\udce0"), "\N{FAX MACHINE}"),
        (
            (rb"\ud83d", rb"\udce0", rb"\ud83d", rb"\udcc2a"),
            "\N{FAX MACHINE}\N{OPEN FILE FOLDER}a",
        ),
        ((b"a\xff", b"b"), "a\ufffdb"),
        ((rb"\ud83d\n", rb"\ude00"), "\ufffd\n\ufffd"),
        ((b"\xe2", rb"b\n"), "\ufffdb\n"),
        ((rb"\ud83d", b"b"), "\ufffdb"),
        ((rb"\ud83d", b"", rb"\ude00"), "\N{GRINNING FACE}"),
        ((rb"a\ud83d",), "a\ufffd"),
        ((b"a\xe2",), "a\ufffd"),
        ((rb"\ude00a",), "\ufffda"),
    ],
)
def test_a_character_that_is_split_over_events_is_joined(texts, content):
    assert halves_of(*texts) == content


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (rb'{"reasoning_content":"\ud83d"}', rb'{"reasoning_content":"\ude00"}'),
        (rb'{"reasoning":"\ud83d"}', rb'{"reasoning":"\ude00"}'),
        (rb'{"refusal":"\ud83d"}', rb'{"refusal":"\ude00"}'),
        (
            rb'{"tool_calls":[{"index":1,"id":"x","function":{"name":"f","arguments":"\ud83d"}}]}',
            rb'{"tool_calls":[{"index":1,"function":{"arguments":"\ude00"}}]}',
        ),
    ],
)
@pytest.mark.parametrize("complete", [True, False])
def test_each_text_of_a_delta_is_joined(one, two, complete):
    protocol = ChatStreamProtocol({}, LIMIT)
    for delta in (one, two) if complete else (one,):
        protocol.receive_data(b'data: {"choices":[{"index":2,"delta":%s}]}\n\n' % delta)
    protocol.receive_data(b"data: [DONE]\n\n")
    protocol.receive_eof()

    (choice,) = protocol.completion().choices
    message = choice.message
    calls = [call.function.arguments for call in message.tool_calls or ()]
    texts = [message.reasoning_content, message.refusal, *calls]
    assert [text for text in texts if text] == ["\N{GRINNING FACE}" if complete else "\ufffd"]


def test_halves_of_two_choices_are_kept_apart():
    protocol = ChatStreamProtocol({}, LIMIT)
    for index, text in ((0, r"\ud83d"), (1, "b"), (0, r"\ude00"), ([], "x")):
        choice = b'{"index":%s,"delta":{"content":"%s"}}'
        filled = choice % (json.dumps(index).encode(), text.encode())
        protocol.receive_data(b'data: {"choices":[%s]}\n\n' % filled)

    texts = [choice.message.content for choice in protocol.completion().choices]
    assert texts == ["\N{GRINNING FACE}x", "b"]


@pytest.mark.parametrize(
    ("body", "kind", "expected"),
    [
        (b"data: {}\n\n", "application/json", True),
        (BOM + b"data: {}\n\n", "", True),
        (b"\r\n\r\nevent: ping\n\n", "text/html", True),
        (b": PING\n\n", "text/plain", True),
        (b"id: 5\n", "", True),
        (b"retry: 5\n", "", True),
        (b"", "text/event-stream", True),
        (b"oops", "Text/Event-Stream; charset=utf-8", True),
        (b'{"error": "x"}\n\ndata: [DONE]\n\n', "text/event-stream", True),
        (b'{"choices": []}', "text/event-stream", False),
        (BOM + b' \n{"choices": []}', "text/event-stream", False),
        (b'[{"error": "x"}]', "text/event-stream", False),
        (b'{"choices": []}', "application/json", False),
        (b"database: x", "text/html", False),
        (b"<html>data: x", "text/html", False),
        (b"", "application/json", False),
    ],
)
def test_the_bytes_of_a_body_decide_what_it_is(body, kind, expected):
    assert is_event_stream(body, kind) is expected


@pytest.mark.parametrize(
    ("error", "empty"),
    [
        (None, True),
        ({}, True),
        ("", True),
        ({"message": "", "code": None, "param": "", "type": ""}, True),
        ({"code": 0, "message": ""}, True),
        ({"message": "", "code": 429}, False),
        ({"message": "no"}, False),
        ("no", False),
        (["no"], False),
    ],
)
def test_an_error_object_without_members_is_no_error(error, empty):
    assert is_empty_error(error) is empty
    assert is_error({"choices": [{"index": 0}], "error": error}) is not empty


@pytest.mark.parametrize(
    ("choices", "error"),
    [
        ([{"error": {"code": 502}}], {"code": 502}),
        ([{"error": "boom", "finish_reason": "stop"}], "boom"),
        ([{}, {"finish_reason": "error"}], "the model's response failed"),
        ([{"error": {}, "finish_reason": "stop"}], None),
        ([{"error": None}], None),
        ([None, 5, "x"], None),
        ({}, None),
        (None, None),
    ],
)
def test_the_error_of_a_choice_is_found(choices, error):
    assert error_of_choice({"choices": choices}) == error


@pytest.mark.parametrize(
    "choice",
    [
        {"delta": {"content": "Hello"}},
        {"message": {"content": "Hello"}},
        {"delta": {}, "message": {"content": "Hello"}},
        {"message": None, "delta": {"content": "Hello"}},
        {"text": "Hello"},
        {"message": {}, "text": "Hello"},
        {"message": {"content": ["Hel", {"text": "lo"}]}},
        {"message": {"content": [{"type": "unknown"}, {"type": "text", "text": "Hello"}]}},
        {"delta": {"content": [{"type": "text", "text": {"value": 1, "text": "Hello"}}]}},
        {"delta": {"content": [[["Hel"], ["lo"]]]}},
    ],
)
@pytest.mark.parametrize("wanted", ["message", "delta"])
def test_the_content_is_found_in_each_form_of_a_choice(choice, wanted):
    fields = {"choices": [json.loads(json.dumps(choice))]}

    normalize_choices(fields, wanted=wanted)

    assert fields["choices"][0][wanted]["content"] == "Hello"


@pytest.mark.parametrize(
    "message",
    [
        {"content": "Hello", "reasoning": "Hm"},
        {"content": "Hello", "reasoning": {"text": "Hm"}},
        {"content": "Hello", "reasoning_content": [{"thinking": "H"}, {"thinking": "m"}]},
        {"content": [{"type": "thinking", "thinking": "Hm"}, {"type": "text", "text": "Hello"}]},
        {"content": [{"type": "reasoning", "summary": [{"text": "Hm"}]}, "Hello"]},
    ],
)
def test_reasoning_is_found_in_each_form_of_a_message(message):
    body = json.dumps({"choices": [{"message": message}]}).encode()

    (choice,) = decode_completion(body, {})[0].choices

    assert (choice.message.content, choice.message.reasoning_content) == ("Hello", "Hm")


@pytest.mark.parametrize(
    ("value", "inner"),
    [
        ([{"a": 1}], {"a": 1}),
        ('{"a": 1}', {"a": 1}),
        ('[{"a": 1}]', {"a": 1}),
        ([[[[1]]]], [1]),
        ([1, 2], [1, 2]),
        ([], []),
        ("{oops", "{oops"),
        ("text", "text"),
        ("[" * 100_000, "[" * 100_000),
        (None, None),
    ],
)
def test_an_object_is_unwrapped(value, inner):
    assert unwrap(value) == inner


NO_MONEY = {"error": {"code": "used_up", "message": "no money"}, "trace_id": "t-1"}
WRAPPED = [
    NO_MONEY,
    [NO_MONEY],
    json.dumps(NO_MONEY),
    {**NO_MONEY, "error": [NO_MONEY["error"]]},
    {**NO_MONEY, "error": json.dumps(NO_MONEY["error"])},
]


@pytest.mark.parametrize("before", [b"", BOM])
@pytest.mark.parametrize("value", WRAPPED)
def test_an_error_keeps_its_facts_however_it_is_wrapped(value, before):
    data = before + json.dumps(value).encode()
    errors = [parse_error(403, {}, data, now=0)]
    for decode in (decode_completion, decode_chunk):
        with pytest.raises(InsufficientBalanceError) as caught:
            decode(data, {})
        errors.append(caught.value)

    for error in errors:
        facts = type(error), error.code, error.message, error.trace_id
        assert facts == (InsufficientBalanceError, "used_up", "no money", "t-1")


def test_a_code_that_repeats_the_status_is_dropped():
    for code in (400, "400"):
        body = json.dumps({"error": {"message": "no", "code": code}}).encode()
        error = parse_error(400, {}, body, now=0)
        assert (type(error), error.code, error.message) == (BadRequestError, None, "no")
        assert "400 400" not in str(error)


@pytest.mark.parametrize("data", [b"2020-12-22", b"ping", b'""', b"null", b"[1]", b"\xff", b"{}"])
def test_the_data_of_a_named_event_may_be_anything(data):
    event = Event(data)
    for event.type in ("ping", "heartbeat"):
        chunk = decode_chunk(event, {})
        assert chunk is None or chunk.choices == []
    event.type = "error"
    with pytest.raises(ServerError):
        decode_chunk(event, {})


DETAILS = PromptTokensDetails(cached_tokens=3)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (Usage(prompt_tokens=9), Usage(completion_tokens=2), (9, 2, 11)),
        (
            Usage(prompt_tokens=9, completion_tokens=0, total_tokens=9),
            Usage(prompt_tokens=0, completion_tokens=2, total_tokens=2),
            (9, 2, 11),
        ),
        (Usage(prompt_tokens=9, completion_tokens=2, total_tokens=11), Usage(), (9, 2, 11)),
        (
            Usage(prompt_tokens=9, completion_tokens=1, total_tokens=10),
            Usage(prompt_tokens=9, completion_tokens=2, total_tokens=11),
            (9, 2, 11),
        ),
        (Usage(prompt_tokens=9), Usage(prompt_tokens=0), (9, None, None)),
        (Usage(), Usage(prompt_tokens=0), (0, None, None)),
        (None, Usage(prompt_tokens=9, completion_tokens=2, total_tokens=5), (9, 2, 5)),
    ],
)
def test_the_usage_of_several_events_is_merged(old, new, expected):
    usage = merge_usage(old, new)

    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == expected


def test_details_and_cost_are_merged_too():
    old = Usage(
        prompt_tokens_details=DETAILS, cost=Cost(amount=Decimal("0.12345678901234567890123"))
    )
    new = Usage(prompt_tokens_details=PromptTokensDetails(cached_tokens=0, text_tokens=6))

    usage = merge_usage(old, new)

    merged = PromptTokensDetails(cached_tokens=3, text_tokens=6)
    assert (usage.prompt_tokens_details, usage.cost) == (merged, old.cost)


def test_usage_of_unknown_form_is_merged():
    old = {"prompt_tokens": "many", "completion_tokens": 2, "x": {"a": 1}, "y": 5}
    new = {"prompt_tokens": None, "x": {"a": 0, "b": 2}, "y": {"c": 1}}

    merged = merge_usage_fields(old, new)

    assert merged == {
        "prompt_tokens": "many",
        "completion_tokens": 2,
        "x": {"a": 1, "b": 2},
        "y": {"c": 1},
    }
    assert old["x"] == {"a": 1}
