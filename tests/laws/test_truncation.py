"""Law 3: every prefix of a stream that proves no completion raises at its end."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acechat import ProtocolError, StreamTruncatedError
from acechat._wire.stream import ChatStreamProtocol

LIMIT = 16 * 2**20


def read(pieces):
    protocol = ChatStreamProtocol({}, LIMIT)
    for piece in pieces:
        protocol.receive_data(piece)
    protocol.receive_eof()
    return protocol


def proves_completion(prefix):
    """Whether *prefix* is complete: told without any code of acechat."""
    *events, rest = prefix.split(b"\n\n")
    data = [event.removeprefix(b"data: ") for event in events]
    if b"[DONE]" in data or rest.strip() == b"data: [DONE]":
        return True
    reasons = {}
    for each in data:
        for choice in json.loads(each)["choices"]:
            index = choice["index"]
            reasons[index] = choice["finish_reason"] or reasons.get(index)
    return bool(reasons) and all(reasons.values())


def text_of(prefix):
    """Return what the whole events of *prefix* say, without any code of acechat."""
    *events, _ = prefix.split(b"\n\n")
    said = ""
    for event in events:
        if event != b"data: [DONE]":
            for choice in json.loads(event.removeprefix(b"data: "))["choices"]:
                said += choice["delta"].get("content") or ""
    return said


def check(data, pieces):
    """Feed *pieces* of *data*, and hold what happens against what must happen."""
    protocol = ChatStreamProtocol({}, LIMIT)
    for piece in pieces:
        protocol.receive_data(piece)
    if proves_completion(data):
        protocol.receive_eof()
        assert protocol.completion().text == text_of(data)
        return
    with pytest.raises(StreamTruncatedError) as caught:
        protocol.receive_eof()
    assert caught.value.received == len(data)
    assert caught.value.chunks == data.count(b"\n\n")
    assert protocol.completion().text == text_of(data)


def test_every_prefix_of_the_documented_stream_is_whole_or_an_error(stream_basic):
    for end in range(len(stream_basic) + 1):
        check(stream_basic[:end], [stream_basic[:end]])


def test_prefixes_fed_in_two_reads_are_whole_or_an_error(stream_basic):
    for end in range(0, len(stream_basic), 7):
        prefix = stream_basic[:end]
        check(prefix, [prefix[: end // 2], prefix[end // 2 :]])


def test_prefixes_without_the_finish_reason_need_done(stream_basic):
    events = stream_basic.split(b"\n\n")
    unfinished = b"\n\n".join(event for event in events if b'"stop"' not in event)
    proven = unfinished.index(b"data: [DONE]") + len(b"data: [DONE]")

    for end in range(len(unfinished) + 1):
        assert proves_completion(unfinished[:end]) == (end >= proven)
        check(unfinished[:end], [unfinished[:end]])


def chunk(index, content=None, reason=None):
    delta = {} if content is None else {"content": content}
    choice = {"index": index, "delta": delta, "finish_reason": reason}
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


@settings(deadline=None, max_examples=300)
@given(
    chunks=st.lists(
        st.tuples(
            st.integers(0, 2),
            st.sampled_from([None, "", "a", "bc"]),
            st.sampled_from([None, None, None, "stop", "length"]),
        ),
        max_size=8,
    )
)
def test_streams_of_several_choices_need_a_reason_for_each(chunks):
    data = b"".join(chunk(*each) for each in chunks)
    reasons = {}
    for index, _, reason in chunks:
        reasons[index] = reason or reasons.get(index)
    whole = bool(reasons) and all(reasons.values())
    empty = all(content is None for _, content, _ in chunks) and not (
        set(reasons.values()) - {None, "stop"}
    )

    protocol = ChatStreamProtocol({}, LIMIT)
    for index, content, reason in chunks:
        protocol.receive_data(chunk(index, content, reason))

    if whole and not empty:
        protocol.receive_eof()
    else:
        with pytest.raises(ProtocolError if whole else StreamTruncatedError):
            protocol.receive_eof()
    told = {choice.index: choice.message.content for choice in protocol.completion().choices}
    assert told == {
        index: "".join(content or "" for each, content, _ in chunks if each == index)
        if any(content is not None for each, content, _ in chunks if each == index)
        else None
        for index in reasons
    }
    if empty:
        with pytest.raises(ProtocolError, match="contains no completion"):
            read([data, b"data: [DONE]"])
    else:
        assert read([data, b"data: [DONE]"]).done


def test_an_empty_stream_is_cut():
    with pytest.raises(StreamTruncatedError):
        read([])


def test_heartbeats_alone_are_cut():
    with pytest.raises(StreamTruncatedError):
        read([b": PING\n\n" * 10])
