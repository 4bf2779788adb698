"""Encoding received events and errors for another reader."""

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
from acechat._wire.errors.response import _BY_CODE
from acechat._wire.sse import SSEDecoder
from acechat._wire.sse_writer import DONE, encode_error, encode_events, headers_of
from acechat._wire.stream import ChatStreamProtocol

SECRET = "tok-secret-0123456789abcdef"
TOKEN = Token(SECRET)


def event(text, **more):
    chunk = {"choices": [{"index": 0, "delta": {"content": text}}], **more}
    return b"data: %s\n\n" % json.dumps(chunk).encode()


def reencoded(*reads):
    """Decode *reads* and encode their events again."""
    protocol = ChatStreamProtocol({}, 2**20)
    batches = [protocol.receive_data(data).events for data in reads]
    return b"".join(encode_events(events, TOKEN) for events in batches)


def test_event_data_is_unchanged():
    sent = event("Hel", unknown={"b": 1.50, "a": "\u00e9"}) + event("lo")

    assert reencoded(sent) == sent


@given(st.data())
def test_the_output_is_independent_of_the_reads(data):
    sent = event("Hel") + b": ping\n\n" + event("l") + event("o")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=6)))
    reads = [sent[a:b] for a, b in zip([0, *cuts], [*cuts, len(sent)], strict=True)]

    assert reencoded(*reads) == event("Hel") + event("l") + event("o")


def test_variants_of_an_event_are_normalised():
    sent = event("Hello").replace(b"data: ", b"id: 7\r\nevent: chunk\r\ndata:")

    assert reencoded(sent.replace(b"\n\n", b"\r\n\r\n")) == event("Hello")


def test_data_of_several_lines_is_kept():
    sent = b'data: {"choices":\ndata: []}\n\n'

    assert reencoded(sent, event("Hello")) == sent + event("Hello")


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
def test_events_without_content_and_errors_are_left_out(more):
    assert reencoded(event("Hello") + more) == event("Hello")


def test_a_complete_completion_is_one_event():
    protocol = ChatStreamProtocol({}, 2**20)
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": "Hi"},
        "finish_reason": "stop",
    }
    completion, _ = decode_completion(json.dumps({"choices": [choice]}).encode(), {})
    batch = protocol.receive_completion(completion)

    (encoded,) = SSEDecoder().feed(encode_events(batch.events, TOKEN))

    again = ChatStreamProtocol({}, 2**20)
    again.receive_data(b"data: %s\n\n" % encoded)
    assert again.completion() == completion


def test_an_echoed_token_is_masked():
    sent = event("Hello", debug={"authorization": f"Bearer {SECRET}"})

    assert SECRET.encode() not in reencoded(sent)
    assert reencoded(sent) == sent.replace(SECRET.encode(), b"***")


def read_back(encoded):
    """Decode an encoded error, as a second acechat would."""
    protocol = ChatStreamProtocol({}, 2**20)
    protocol.receive_data(encoded)
    return protocol.failure


@pytest.mark.parametrize("code", [*_BY_CODE, "429", "503", "unheard_of"])
def test_an_encoded_service_error_is_decoded_to_the_same_error(code):
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
def test_an_encoded_error_has_a_code_and_a_message_and_no_body(error, code, words):
    encoded = encode_error(error)

    name, data = encoded.decode().rstrip("\n").split("\n")
    fields = json.loads(data.removeprefix("data: "))["error"]
    assert name == "event: error"
    assert encoded.endswith(b"}}\n\n")
    assert fields["code"] == code
    assert words in fields["message"]
    assert fields.keys() == {"message", "type", "param", "code", "trace_id"}
    assert "private" not in encoded.decode()


@pytest.mark.parametrize("trace_id", [None, "", "a\r\nSet-Cookie: x", "tr\u00e4ce"])
def test_a_trace_id_that_is_no_valid_header_is_left_out(trace_id):
    assert headers_of(trace_id).keys() == {"Content-Type", "Cache-Control", "X-Accel-Buffering"}


def test_a_trace_id_is_added_to_the_headers():
    assert headers_of("t-1")["X-Trace-Id"] == "t-1"
