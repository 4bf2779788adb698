"""One streamed completion without I/O: deltas, errors and the end-of-stream rules."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from acechat._wire.deltas import chunks_of, events_of, finished, texts_of
from acechat._wire.stream import ChatStreamProtocol
from acechat.errors import (
    APIError,
    AuthenticationError,
    InsufficientBalanceError,
    OverloadedError,
    ProtocolError,
    ServerError,
    StreamTruncatedError,
)
from acechat.types import (
    AssistantMessage,
    ChatCompletion,
    Choice,
    Finished,
    FunctionCall,
    FunctionCallDelta,
    ReasoningDelta,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)

DATA = Path(__file__).parent.parent / "data"
DONE = b"data: [DONE]\n\n"
LIMIT = 16 * 2**20


def event(**fields):
    return b"data: " + json.dumps(fields).encode() + b"\n\n"


def chunk(content=None, reason=None, index=0, **fields):
    delta = {} if content is None else {"content": content}
    choice = {"index": index, "delta": {**delta, **fields}, "finish_reason": reason}
    return event(choices=[choice])


def open_stream(*reads, headers=None, limit=LIMIT):
    protocol = ChatStreamProtocol(headers or {}, limit)
    for data in reads:
        protocol.receive_data(data)
    return protocol


def text_of(*reads):
    """Feed *reads* and the end of the body; return the text."""
    protocol = open_stream(*reads)
    protocol.receive_eof()
    return protocol.completion().text


@pytest.fixture
def stream_basic():
    return (DATA / "stream_basic.sse").read_bytes()


def test_the_documented_stream_is_decoded(stream_basic):
    protocol = ChatStreamProtocol({"x-request-id": "r-1"}, LIMIT)

    batch = protocol.receive_data(stream_basic)

    assert [delta.content for delta in batch.deltas] == ["Hello!", " How can I help you", " today?"]
    assert len(batch.events) == 7
    assert (protocol.done, protocol.content, protocol.failure) == (True, True, None)
    assert (protocol.chunks, protocol.received) == (7, len(stream_basic))
    assert (protocol.finish_reason, protocol.usage.total_tokens) == ("stop", 20)
    assert protocol.trace_id == "r-1"
    assert protocol.completion().text == "Hello! How can I help you today?"
    protocol.receive_eof()


def test_the_documented_stream_gives_the_dict_of_a_plain_response(stream_basic):
    protocol = open_stream(stream_basic)
    unstreamed = json.loads((DATA / "chat_basic.json").read_bytes())

    fields = protocol.to_dict()

    assert fields["choices"][0]["message"] == unstreamed["choices"][0]["message"]
    assert fields["usage"] == unstreamed["usage"]
    assert fields["object"] == "chat.completion"
    assert fields["id"] == "msg_bdrk_01LPPqDjLKMgfSwTRMRty9VT"


@pytest.mark.parametrize(
    ("reads", "text"),
    [
        ([chunk("Hi", "stop"), DONE], "Hi"),
        ([chunk("Hi"), chunk(reason="stop")], "Hi"),
        ([chunk("Hi", "stop")], "Hi"),
        ([chunk("Hi"), DONE], "Hi"),
        ([chunk(""), DONE], ""),
        ([chunk("Hi"), b"data: [DONE]\n"], "Hi"),
        ([chunk("Hi"), b"data: [DONE]\r\n"], "Hi"),
        ([chunk("Hi"), b"data:[DONE]\n\n"], "Hi"),
        ([chunk("Hi"), b"data: [DONE] \n\n"], "Hi"),
        ([chunk("Hi"), b"data: [DONE]"], "Hi"),
        ([chunk("Hi"), b"data: [DO", b"NE]"], "Hi"),
        ([chunk("Hi"), DONE, chunk("never")], "Hi"),
        ([chunk("Hi") + DONE + chunk("never")], "Hi"),
        ([chunk("Hi"), DONE, b"data: {not json}\n\n"], "Hi"),
        ([chunk("Hi"), DONE, event(error="late")], "Hi"),
        ([b": PING\n\n", chunk("Hi", "stop"), b": PING\n\n"], "Hi"),
        ([chunk("Hi", "stop"), event(choices=None)], "Hi"),
        ([chunk("Hi", "stop"), event(choices=[], usage={"total_tokens": 3})], "Hi"),
        ([chunk("Hi", "stop", error=None), DONE], "Hi"),
        ([b"event: ping\n\n", chunk("Hi"), DONE], "Hi"),
        ([b"data:\n\n", chunk("Hi"), DONE], "Hi"),
        ([b"event: message\n" + chunk("Hi"), DONE], "Hi"),
        ([chunk("a\u2028b\u0085c"), DONE], "a\u2028b\u0085c"),
        (
            [b"data: " + '{"choices":[{"delta":{"content":"\u2028"}}]}\n\n'.encode(), DONE],
            "\u2028",
        ),
    ],
)
def test_a_complete_stream_gives_its_text(reads, text):
    assert text_of(*reads) == text


@pytest.mark.parametrize(
    "reads",
    [
        [],
        [b""],
        [b"\n\n"],
        [b": PING\n\n"],
        [chunk("Hi")],
        [chunk("Hi"), chunk(" there")],
        [chunk("Hi"), chunk(reason="stop").removesuffix(b"\n\n")],
        [chunk("Hi"), chunk(reason="stop").removesuffix(b"\n")],
        [chunk("Hi"), b"data: [DON"],
        [chunk("Hi"), b"data: {"],
        [chunk("Hi"), b": [DONE]\n\n"],
        [chunk("Hi"), b"[DONE]\n\n"],
        [chunk("Hi"), b'data: "[DONE]\n\n'[:-2]],
        [chunk("Hi", "stop"), chunk("Ho", index=1)],
        [chunk("Ho", index=1), chunk("Hi"), chunk(reason="stop", index=1)],
        [event(choices=[], usage={"total_tokens": 3})],
        [b"<html>\n\n"],
    ],
)
def test_a_truncated_stream_is_an_error(reads):
    protocol = open_stream(*reads)

    with pytest.raises(StreamTruncatedError) as caught:
        protocol.receive_eof()

    assert caught.value.received == sum(map(len, reads))
    assert caught.value.chunks == protocol.chunks


@pytest.mark.parametrize(
    ("written", "cls", "message"),
    [
        (
            event(error={"message": "boom", "type": "new_api_error", "code": None}),
            ServerError,
            "boom",
        ),
        (
            event(success=False, error={"code": "api_error", "message": "boom"}, trace_id="t-1"),
            ServerError,
            "boom",
        ),
        (event(error="boom"), ServerError, "boom"),
        (event(error={"code": "used_up", "message": "boom"}), InsufficientBalanceError, "boom"),
        (event(error={"code": "invalid_token", "message": "boom"}), AuthenticationError, "boom"),
        (event(type="error", message="boom", code="busy", status=503), OverloadedError, "boom"),
        (event(success=False, message="boom"), ServerError, "boom"),
        (b'event: error\ndata: {"message": "boom"}\n\n', ServerError, "boom"),
        (b"event: error\ndata: boom\n\n", ServerError, "boom"),
        (b'{"error": {"message": "boom", "type": "new_api_error"}}\n\n', ServerError, "boom"),
        (b'{"error": "boom"}\r\n\r\n', ServerError, "boom"),
        (b'{"error":\n {"message":\n "boom"}}\n\n', ServerError, "boom"),
        (b'{"type": "error", "message": "boom"}\n\n', ServerError, "boom"),
    ],
)
@pytest.mark.parametrize("size", [1, 10_000])
@pytest.mark.parametrize("before", [b"", chunk("Hel")])
def test_an_error_event_fails_the_stream_after_earlier_content(before, written, cls, message, size):
    protocol = ChatStreamProtocol({"x-request-id": "r-1"}, LIMIT)
    data = before + written
    deltas = []

    for start in range(0, len(data), size):
        deltas += protocol.receive_data(data[start : start + size]).deltas

    assert "".join(map(str, deltas)) == ("Hel" if before else "")
    assert type(protocol.failure) is cls
    assert protocol.failure.message == message
    assert protocol.failure.trace_id in {"r-1", "t-1"}
    assert protocol.content is bool(before)
    with pytest.raises(cls):
        protocol.receive_eof()


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
@pytest.mark.parametrize("before", [b"", chunk("Hel"), chunk("Hel", "stop")])
def test_a_bare_error_at_the_end_is_raised(before, end):
    protocol = open_stream(before + b'{"error": {"message": "boom", "code": "busy"}}' + end)

    with pytest.raises(OverloadedError, match="boom"):
        protocol.receive_eof()


@pytest.mark.parametrize("end", [DONE, b"data: [DONE]", chunk("never") + DONE])
@pytest.mark.parametrize("size", [1, 10_000])
def test_a_bare_error_counts_in_spite_of_later_data_in_the_read(end, size):
    data = chunk("Hel", "stop") + b'{"error": {"message": "boom", "code": "busy"}}\n' + end
    protocol = open_stream(*(data[at : at + size] for at in range(0, len(data), size)))

    assert protocol.completion().text == "Hel"
    with pytest.raises(OverloadedError, match="boom"):
        protocol.receive_eof()


def test_a_bare_object_that_is_not_an_error_is_skipped():
    assert text_of(chunk("Hel"), b'{"a":\n{}}\n\n' + chunk("lo") + b"{\n" + DONE) == "Hello"


def test_a_bare_error_may_have_inner_objects_on_lines_of_their_own():
    protocol = open_stream(b'{"detail": {}\n,"error": {"message": "boom"}\n}\n\n', DONE)

    assert protocol.failure.message == "boom"


@pytest.mark.parametrize(
    "before", [b"", chunk("Hel"), b"data:{}\n\n", b": ping\n\n", b"data: {}\n"]
)
@pytest.mark.parametrize("size", [1, 5, 1000])
def test_a_bare_error_counts_as_soon_as_its_line_ends(before, size):
    data = before + b'{"error": {"message": "boom"}}\n'
    protocol = open_stream(*(data[at : at + size] for at in range(0, len(data), size)))

    assert protocol.failure is not None
    assert protocol.failure.message == "boom"


def test_the_number_of_stray_lines_is_limited():
    protocol = open_stream(b"{\n" + b"x\n" * 10_000, chunk("Hi"), DONE)
    protocol.receive_eof()

    assert protocol.completion().text == "Hi"


def test_an_error_equal_to_an_earlier_event_keeps_the_events_between():
    twin = b'data: {"choices": []}\n\n'

    batch = open_stream().receive_data(twin + chunk("Hel") + b"event: error\n" + twin)

    assert len(batch.events) == 2


@pytest.mark.parametrize("stray", [b'{"error": {"mess', b"{\n\n", b'{"error"\n:'])
def test_an_incomplete_bare_object_at_the_end_is_an_error(stray):
    protocol = open_stream(chunk("Hel", "stop"), stray)

    with pytest.raises((ProtocolError, APIError)):
        protocol.receive_eof()


@pytest.mark.parametrize(
    "written",
    [
        b"data: {\n\n",
        b"data: null\n\n",
        b"data: [1]\n\n",
        b"data: done\n\n",
        b"data: " + b"[" * 100_000 + b"\n\n",
        b"data: <html>\n\n",
    ],
)
def test_an_event_that_is_not_a_chunk_fails_after_earlier_content(written):
    protocol = ChatStreamProtocol({}, LIMIT)

    batch = protocol.receive_data(chunk("Hel") + written + chunk("lo"))

    assert [str(delta) for delta in batch.deltas] == ["Hel"]
    assert isinstance(protocol.failure, ProtocolError)
    assert protocol.completion().text == "Hel"
    with pytest.raises(ProtocolError):
        protocol.receive_eof()


@pytest.mark.parametrize(
    "data",
    [
        DONE,
        b"data: [DONE]",
        b"data:[DONE] \n\n",
        chunk(None, "stop"),
        chunk(None, "stop") + DONE,
        event(choices=[]) + DONE,
        event(choices=[{"index": 0, "finish_reason": "stop"}]) + DONE,
        event(choices=[{"index": 0, "delta": {"role": "assistant"}}]) + DONE,
        event(choices=[], usage={"total_tokens": 3}) + DONE,
        b'{"choices": []}',
        b'{"choices": [{"index": 0, "message": {}, "finish_reason": "stop"}]}',
    ],
)
def test_a_stream_without_content_is_no_success(data):
    protocol = ChatStreamProtocol({}, LIMIT)
    protocol.receive_data(data)

    with pytest.raises(ProtocolError, match="the response contains no completion"):
        protocol.receive_eof()

    assert not protocol.done


def test_an_event_that_is_too_long_fails_after_earlier_content():
    protocol = open_stream(chunk("Hel"), b"data: " + b"x" * 2_000, limit=1_000)

    assert protocol.completion().text == "Hel"
    with pytest.raises(ProtocolError, match="longer than 1000 bytes"):
        protocol.receive_eof()


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("rest", [b"", b"\n\n"])
def test_an_event_that_is_too_long_keeps_earlier_events_of_its_read(line_end, rest):
    sent = (chunk("Hel") + b"data: " + b"x" * 2_000 + rest).replace(b"\n", line_end)
    protocol = open_stream(limit=1_000)

    batch = protocol.receive_data(sent)

    assert [str(delta) for delta in batch.deltas] == ["Hel"]
    assert isinstance(protocol.failure, ProtocolError)


def test_data_after_done_may_be_of_any_length():
    protocol = open_stream(chunk("Hi") + DONE + b"data: " + b"x" * 2_000, limit=1_000)

    protocol.receive_eof()

    assert protocol.failure is None


@pytest.mark.parametrize("odd", [b'"x": "\xff"', b'"\xff": 1', b'"x": 1e999'])
def test_a_malformed_unknown_field_of_a_stream_costs_only_the_unknown_fields(odd):
    first = chunk("Hi").replace(b'{"choices"', b"{" + odd + b', "choices"')

    protocol = open_stream(first, event(choices=[], usage={"total_tokens": 3}, more=1), DONE)

    assert protocol.to_dict()["choices"][0]["message"]["content"] == "Hi"
    assert protocol.to_dict()["more"] == 1


def test_events_without_content_are_returned_with_the_next_content():
    silence, word, end = event(choices=[]), chunk("Hi"), chunk(None, "stop")
    protocol = ChatStreamProtocol({}, LIMIT)

    reads = [protocol.receive_data(sent) for sent in (silence, silence, word, end, silence)]
    reads.append(protocol.receive_eof())

    fields = [len(read.events) for read in reads]
    assert fields == [0, 0, 3, 0, 0, 2]
    assert [str(delta) for read in reads for delta in read.deltas] == ["Hi"]


def test_events_without_content_are_limited():
    protocol = open_stream(chunk("Hi"), *[event(choices=[], pad="x" * 100)] * 7, limit=1_000)
    assert protocol.failure is None

    protocol.receive_data(event(choices=[], pad="x" * 100))

    assert "consecutive events without content are longer than 1000 bytes" in str(protocol.failure)


def test_the_size_of_the_response_is_limited():
    protocol = ChatStreamProtocol({}, LIMIT, max_response_bytes=1_000)
    assert protocol.receive_data(chunk("x" * 800)).deltas
    assert not protocol.receive_data(chunk("x" * 800)).deltas

    with pytest.raises(ProtocolError, match="response is longer than 1000 bytes"):
        protocol.receive_eof()


def test_receive_eof_raises_the_same_error_again():
    protocol = open_stream(chunk("Hel"))

    for _ in range(2):
        with pytest.raises(StreamTruncatedError) as caught:
            protocol.receive_eof()

    assert caught.value is protocol.failure


def test_data_after_done_is_ignored():
    protocol = open_stream(chunk("Hi", "stop"), DONE)

    batch = protocol.receive_data(chunk("never") + event(error="late"))

    assert batch.deltas == []
    assert batch.events == []
    assert protocol.failure is None
    assert protocol.completion().text == "Hi"


def test_reasoning_is_content_and_heartbeats_are_not():
    protocol = open_stream(b": PING\n\n", chunk(""), chunk(role="assistant"), event(choices=[]))
    assert protocol.content is False

    protocol.receive_data(chunk(reasoning_content="Hm"))
    assert protocol.content is True


def test_a_completion_instead_of_a_stream_is_one_batch():
    protocol = ChatStreamProtocol({}, LIMIT)
    completion = ChatCompletion(
        choices=[Choice(0, AssistantMessage(content="Hi", reasoning_content="Hm"), "stop")],
        id="c-1",
        usage=Usage(total_tokens=3),
    )

    batch = protocol.receive_completion(completion)

    assert [(str(delta), delta.reasoning_content) for delta in batch.deltas] == [("Hi", "Hm")]
    assert len(batch.events) == 1
    assert protocol.completion() == completion
    assert protocol.done
    protocol.receive_eof()


def test_the_text_of_a_batch_is_that_of_the_first_choice():
    protocol = ChatStreamProtocol({}, LIMIT)

    batch = protocol.receive_data(chunk("a") + chunk("b", index=1) + chunk(reasoning_content="c"))

    assert list(texts_of(batch)) == ["a"]


def test_the_events_of_a_batch_are_structs():
    protocol = ChatStreamProtocol({}, LIMIT)
    call = {"index": 0, "id": "t-1", "function": {"name": "f", "arguments": "{"}}

    batch = protocol.receive_data(
        chunk("a", reasoning="Hm") + chunk("b", index=1) + chunk(tool_calls=[call])
    )

    assert list(events_of(batch)) == [
        ReasoningDelta("Hm"),
        TextDelta("a"),
        TextDelta("b", 1),
        ToolCallDelta(0, "t-1", None, FunctionCallDelta("f", "{")),
    ]


def test_the_last_event_has_finish_reason_and_usage():
    call = ToolCall("t-1", function=FunctionCall("f"))
    message = AssistantMessage(tool_calls=[call])
    completion = ChatCompletion([Choice(0, message, "tool_calls")], usage=Usage(total_tokens=3))

    assert finished(completion) == Finished("tool_calls", Usage(total_tokens=3))
    assert finished(ChatCompletion(choices=[])) == Finished(None, None)


def test_the_chunks_of_a_batch_leave_out_blank_events():
    batch = ChatStreamProtocol({}, LIMIT).receive_data(chunk("a") + b"data:\n\n" + chunk("b"))

    assert [chunk.choices[0].delta.content for chunk in chunks_of(batch)] == ["a", "b"]


BARE_ERROR = b'{"error": {"code": "token_mismatched", "message": "no"}}\n\n'


def test_a_bare_error_after_done_is_ignored():
    protocol = open_stream(chunk("Hi", "stop") + DONE + BARE_ERROR)

    assert protocol.done
    assert protocol.failure is None


def test_the_first_of_an_error_event_and_a_bare_error_counts():
    broken = event(error={"code": "overloaded", "message": "busy"})

    protocol = open_stream(chunk("Hi") + broken + BARE_ERROR)

    assert isinstance(protocol.failure, OverloadedError)


def test_events_among_stray_lines_all_count():
    protocol = ChatStreamProtocol({}, LIMIT)

    batch = protocol.receive_data(chunk("a") + b"{\n" + chunk("b") + b"}\n" + chunk("c"))

    assert [delta.content for delta in batch.deltas] == ["a", "b", "c"]
    assert (len(batch.events), protocol.chunks) == (3, 3)


def test_a_bare_error_counts_at_the_position_of_its_last_line():
    lines = b'{"error":\n' + chunk("a") + b'"boom"}\n' + chunk("b")

    protocol = ChatStreamProtocol({}, LIMIT)
    batch = protocol.receive_data(lines)

    assert [delta.content for delta in batch.deltas] == ["a"]
    assert isinstance(protocol.failure, APIError)


def test_a_bare_error_may_be_indented():
    protocol = open_stream(b'{"error":\n', b'  "boom"}  \n\n')

    assert isinstance(protocol.failure, APIError)


def test_a_completion_instead_of_a_stream_counts_as_one_event():
    protocol = ChatStreamProtocol({}, LIMIT)

    protocol.receive_completion(
        ChatCompletion(choices=[Choice(message=AssistantMessage(content="Hi"))])
    )

    assert (protocol.chunks, protocol.content, protocol.done) == (1, True, True)


def test_the_errors_at_the_end_of_a_stream():
    truncated = open_stream(chunk("Hel"))
    with pytest.raises(StreamTruncatedError) as caught:
        truncated.receive_eof()
    assert (caught.value.reason, caught.value.chunks) == ("the stream ended", 1)
    assert caught.value.received == len(chunk("Hel"))

    odd = open_stream(b"{\n", b"  half\n\n")
    with pytest.raises(ProtocolError) as caught:
        odd.receive_eof()
    assert caught.value.reason == "the stream ended with lines that belong to no event"
    assert caught.value.body == b"{\n  half"
