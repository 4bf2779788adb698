"""What is told again is what came, byte for byte; and errors in OpenAI's words."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acechat import (
    APIError,
    BudgetExceededError,
    ClientClosedError,
    ConnectError,
    OverloadedError,
    ProtocolError,
    RequestTimeoutError,
    StreamInterruptedError,
    StreamTruncatedError,
)
from acechat._credentials import Token
from acechat._wire.decode import decode_completion
from acechat._wire.error_response import _BY_CODE
from acechat._wire.sse import SSEDecoder
from acechat._wire.sse_writer import DONE, encode_error, encode_events, headers_of
from acechat._wire.stream import ChatStreamProtocol

SECRET = "tok-secret-0123456789abcdef"
TOKEN = Token(SECRET)


def event(text, **more):
    chunk = {"choices": [{"index": 0, "delta": {"content": text}}], **more}
    return b"data: %s\n\n" % json.dumps(chunk).encode()


def retold(*pieces):
    """Tell what came in *pieces* again, read by read."""
    protocol = ChatStreamProtocol({}, 2**20)
    read = [protocol.receive_data(piece).events for piece in pieces]
    return b"".join(encode_events(events, TOKEN) for events in read)


def test_the_data_of_an_event_is_told_as_it_came():
    sent = event("Hel", unknown={"b": 1.50, "a": "\u00e9"}) + event("lo")

    assert retold(sent) == sent


@given(st.data())
def test_it_does_not_matter_where_the_network_cuts(data):
    sent = event("Hel") + b": ping\n\n" + event("l") + event("o")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=6)))
    pieces = [sent[a:b] for a, b in zip([0, *cuts], [*cuts, len(sent)], strict=True)]

    assert retold(*pieces) == event("Hel") + event("l") + event("o")


def test_other_forms_of_an_event_become_the_usual_one():
    sent = event("Hello").replace(b"data: ", b"id: 7\r\nevent: chunk\r\ndata:")

    assert retold(sent.replace(b"\n\n", b"\r\n\r\n")) == event("Hello")


def test_data_of_several_lines_stays_so():
    sent = b'data: {"choices":\ndata: []}\n\n'

    assert retold(sent, event("Hello")) == sent + event("Hello")


@pytest.mark.parametrize(
    "more",
    [
        b"data:\n\n",
        b": PING\n\n",
        DONE + event("after the end"),
        b'data: {"error": {"message": "Bearer of news"}}\n\n' + event("after an error"),
        b"event: error\ndata: no\n\n",
        b"data: {not json\n\n" + event("after garbage"),
    ],
)
def test_what_says_nothing_or_fails_is_not_told(more):
    assert retold(event("Hello") + more) == event("Hello")


def test_a_whole_answer_is_told_as_one_event():
    protocol = ChatStreamProtocol({}, 2**20)
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": "Hi"},
        "finish_reason": "stop",
    }
    completion, _ = decode_completion(json.dumps({"choices": [choice]}).encode(), {})
    batch = protocol.receive_completion(completion)

    (told,) = SSEDecoder().feed(encode_events(batch.events, TOKEN))

    again = ChatStreamProtocol({}, 2**20)
    again.receive_data(b"data: %s\n\n" % told)
    assert again.completion() == completion


def test_the_token_is_taken_out_of_what_the_service_echoes():
    sent = event("Hello", debug={"authorization": f"Bearer {SECRET}"})

    assert SECRET.encode() not in retold(sent)
    assert retold(sent) == sent.replace(SECRET.encode(), b"***")


def read_back(told):
    """Read an error as another acechat would."""
    protocol = ChatStreamProtocol({}, 2**20)
    protocol.receive_data(told)
    return protocol.failure


@pytest.mark.parametrize("code", [*_BY_CODE, "429", "503", "unheard_of"])
def test_an_error_of_the_service_is_read_back_as_what_it_is(code):
    first = read_back(b'data: {"error": {"code": "%s", "message": "no"}}\n\n' % code.encode())
    first.trace_id = "t-1"

    again = read_back(encode_error(first))

    assert type(again) is type(first)
    assert (again.code, again.message, again.trace_id) == (code, "no", "t-1")
    assert again.retryable == first.retryable


OURS = [
    (RequestTimeoutError("idle", 5.0), "timeout", "no further content within 5 s"),
    (StreamTruncatedError("it ended", chunks=3, received=99), "stream_truncated", "after 3 events"),
    (StreamInterruptedError("cut", chunks=3, received=99), "stream_truncated", "cut after 3"),
    (ProtocolError("no JSON", body=b"something private"), "bad_response", "no JSON"),
    (ClientClosedError(), "stream_truncated", "closed"),
    (ConnectError("no route"), "connection_failed", "no route"),
    (BudgetExceededError("all is spent"), "budget_exceeded", "all is spent"),
    (APIError(None, None, "odd", body=b"something private"), "api_error", "odd"),
    (OverloadedError(529, "busy", "later"), "busy", "later"),
]


@pytest.mark.parametrize(("error", "code", "words"), OURS, ids=lambda each: type(each).__name__)
def test_an_error_has_a_code_and_a_sentence_and_nothing_private(error, code, words):
    told = encode_error(error)

    name, data = told.decode().rstrip("\n").split("\n")
    fields = json.loads(data.removeprefix("data: "))["error"]
    assert name == "event: error"
    assert told.endswith(b"}}\n\n")
    assert fields["code"] == code
    assert words in fields["message"]
    assert fields.keys() == {"message", "type", "param", "code", "trace_id"}
    assert "private" not in told.decode()


@pytest.mark.parametrize("trace_id", [None, "", "a\r\nSet-Cookie: x", "tr\u00e4ce"])
def test_a_trace_id_that_no_header_can_hold_is_left_out(trace_id):
    assert headers_of(trace_id).keys() == {"Content-Type", "Cache-Control", "X-Accel-Buffering"}


def test_a_trace_id_goes_with_the_headers():
    assert headers_of("t-1")["X-Trace-Id"] == "t-1"
