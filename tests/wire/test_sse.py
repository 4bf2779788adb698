"""The decoder of server-sent events: limits, stray lines and variants."""

from __future__ import annotations

import pytest

from acechat._wire.sse import _BETWEEN_EVENTS, _IN_EVENT, _STRICT, Event, SSEDecoder
from acechat.errors import ProtocolError

# Variants of a stream with the events {"a": 1} and [DONE], by the standard.
WRITTEN = {
    "usual": b'data: {"a": 1}\n\ndata: [DONE]\n\n',
    "no space": b'data:{"a": 1}\n\ndata:[DONE]\n\n',
    "crlf": b'data: {"a": 1}\r\n\r\ndata: [DONE]\r\n\r\n',
    "cr": b'data: {"a": 1}\r\rdata: [DONE]\r\r',
    "bom": b'\xef\xbb\xbfdata: {"a": 1}\n\ndata: [DONE]\n\n',
    "comments": b': PING\n\ndata: {"a": 1}\n: PING\n\n: PING\n\ndata: [DONE]\n\n',
    "retry first": b'retry: 3000\n\ndata: {"a": 1}\n\ndata: [DONE]\n\n',
    "ids": b'id: 1\ndata: {"a": 1}\n\nid: 2\ndata: [DONE]\n\n',
    "id, then a ping": b'id: 1\n: PING\n\ndata: {"a": 1}\n\ndata: [DONE]\n\n',
    "an event without data": b'event: ping\n\ndata: {"a": 1}\n\ndata: [DONE]\n\n',
    "several lines": b'data: {"a":\ndata: 1}\n\ndata: [DONE]\n\n',
    "several line ends": b'data: {"a": 1}\n\ndata: [DONE]\r\n\r\n',
}


def feed(decoder, data, size):
    """Feed *data* in reads of *size* bytes; return all events."""
    return [
        event
        for start in range(0, len(data), size)
        for event in decoder.feed(data[start : start + size])
    ]


@pytest.mark.parametrize("written", WRITTEN)
def test_variants_of_a_stream_give_the_same_events(written):
    events = SSEDecoder().feed(WRITTEN[written])

    assert [event.replace(b"\n", b" ") for event in events] == [b'{"a": 1}', b"[DONE]"]


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1e"])
@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n"])
def test_text_at_which_python_splits_lines_is_text(mark, end):
    text = f"a{mark}b".encode()

    assert SSEDecoder().feed(b"data: " + text + end) == [text]


def test_an_event_keeps_its_type_and_id():
    (event,) = SSEDecoder().feed(b"event: error\nid: 7\ndata: x\n\n")

    assert isinstance(event, Event)
    assert (event, event.type, event.id) == (b"x", "error", "7")


def test_an_event_without_a_type_is_a_message():
    (event,) = SSEDecoder().feed(b"data: x\r\n\r\n")

    assert (getattr(event, "type", "message"), getattr(event, "id", "")) == ("message", "")


@pytest.mark.parametrize(
    ("rest", "event"),
    [
        (b"", None),
        (b"data: [DONE]", b"[DONE]"),
        (b"data: [DONE]\n", b"[DONE]"),
        (b"data: [DONE]\r", b"[DONE]"),
        (b"data: [DONE]\r\n", b"[DONE]"),
        (b"data: a\ndata: b", b"a\nb"),
        (b"data:", b""),
        (b"dat", None),
        (b": PING", None),
        (b"event: a", None),
    ],
)
@pytest.mark.parametrize("before", [b"", b"data: x\n\n", b"data: x\r\n\r\n", b"id: 1\ndata: x\n\n"])
@pytest.mark.parametrize("size", [1, 1000])
def test_unfinished_returns_the_truncated_event(before, rest, event, size):
    decoder = SSEDecoder()
    feed(decoder, before + rest, size)

    assert decoder.unfinished() == event


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize(
    "data",
    [
        b"data: " + b"x" * 200,
        b"data: " + b"x" * 200 + b"\n\n",
        b"data: a\n\ndata: " + b"x" * 200 + b"\n\ndata: b\n\n",
        b"data: " + b"x" * 200 + b"\r\n\r\n",
        b"data: xxxxxxxxx\n" * 30,
        b"id: 1\ndata: " + b"x" * 200 + b"\n\n",
        b": " + b"x" * 200,
    ],
)
def test_an_event_has_a_limit(data, size):
    decoder = SSEDecoder(max_event_bytes=100)

    with pytest.raises(ProtocolError, match="longer than 100 bytes"):
        feed(decoder, data, size)


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize("event", [b"data: %s\n\n", b"data: %s\r\n\r\n", b"id: 1\ndata: %s\n\n"])
def test_the_limit_applies_to_each_event_alone(event, size):
    decoder = SSEDecoder(max_event_bytes=100)
    data = event % (b"x" * 80) * 10

    events = feed(decoder, data, size)

    assert events == [b"x" * 80] * 10


@pytest.mark.parametrize(
    ("line", "retry"),
    [
        (b"retry: 3000", 3000),
        (b"retry:0", 0),
        (b"retry: -1", None),
        (b"retry: 1.5", None),
        (b"retry: soon", None),
        (b"retry:", None),
        (b"retry: " + b"9" * 5000, None),
        ("retry: ٣".encode(), None),
    ],
)
def test_retry_is_digits_or_nothing(line, retry):
    decoder = SSEDecoder()

    decoder.feed(line + b"\n\n")

    assert decoder.retry == retry


@pytest.mark.parametrize("size", [1, 10_000])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_bare_object_is_a_stray_line(end, size):
    decoder = SSEDecoder()
    lines = [b"data: a", b"", b'{"error":', b'  "boom"}', b"", b""]

    events = feed(decoder, end.join(lines), size)

    assert events == [b"a"]
    assert decoder.stray == [b'{"error":', b'  "boom"}']


def test_a_bare_object_at_the_end_is_a_stray_line():
    decoder = SSEDecoder()

    decoder.feed(b'data: a\n\n{"error": "boom"}')

    assert decoder.unfinished() is None
    assert decoder.stray == [b'{"error": "boom"}']


def test_stray_lines_are_limited_and_hide_no_event():
    decoder = SSEDecoder(max_event_bytes=1000)

    aside = b'{"a": "%s"}\n\n' % (b"x" * 400)
    assert feed(decoder, aside * 200 + b"data: a\n\n", 1000) == [b"a"]
    assert 800 < sum(map(len, decoder.stray)) <= 1000


@pytest.mark.parametrize("size", [100, 10_000])
def test_a_stray_line_that_is_too_long_is_refused(size):
    decoder = SSEDecoder(max_event_bytes=1000)

    with pytest.raises(ProtocolError, match="longer than 1000 bytes"):
        feed(decoder, b'{"a": "%s"}\n' % (b"x" * 2000), size)


def test_an_html_page_is_neither_event_nor_stray():
    decoder = SSEDecoder()

    events = decoder.feed(b"<html>\n<title>502</title>\n\n</html>\n\n" * 100)

    assert events == []
    assert not decoder.stray


@pytest.mark.parametrize(
    ("reads", "state"),
    [
        ([], _BETWEEN_EVENTS),
        ([b""], _BETWEEN_EVENTS),
        ([b"data: x\n\n"], _BETWEEN_EVENTS),
        ([b"data: x\n\ndata: y\n\n"], _BETWEEN_EVENTS),
        ([b"da"], _IN_EVENT),
        ([b"data: x"], _IN_EVENT),
        ([b"data: x\n"], _IN_EVENT),
        ([b"data: x\n\ndata: y"], _IN_EVENT),
        ([b"data: x", b"\n\n"], _BETWEEN_EVENTS),
        ([b"data: x\n", b"\n"], _BETWEEN_EVENTS),
        ([b"data: x\r\n"], _STRICT),
        ([b"data: x\r\n\r\n"], _BETWEEN_EVENTS),
        ([b"data: x\r\r"], _STRICT),  # an LF may follow that belongs to the last CR
        ([b"data: x\r\r", b"\n"], _BETWEEN_EVENTS),
        ([b"data: x\ndata: y\n"], _STRICT),
        ([b"data: x\ndata: y\n\n"], _BETWEEN_EVENTS),
        ([b"data: x", b"\ndata: y"], _STRICT),
        ([b": PING"], _STRICT),
        ([b": PING\n\n"], _BETWEEN_EVENTS),
        ([b"event: x\n"], _STRICT),
        ([b"event: x\ndata: y\n\n"], _BETWEEN_EVENTS),
        ([b"id: 1\ndata: x\n\n"], _STRICT),
        ([b"id: 1\ndata: x\n\n", b"data: y\n\n"], _STRICT),
        ([b"{}\n\n"], _STRICT),
    ],
)
def test_the_states_of_the_decoder(reads, state):
    decoder = SSEDecoder()

    for data in reads:
        decoder.feed(data)

    assert decoder._state is state
