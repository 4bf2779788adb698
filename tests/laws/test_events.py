"""Law 2: events do not depend on where the network cuts, and their cost is linear."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from acechat._wire.sse import SSEDecoder

CASES = json.loads(
    (Path(__file__).parent.parent / "data" / "sse_cases.json").read_text(encoding="utf-8")
)["cases"]
SHORT = 400
BYTE_BY_BYTE = 2 * 2**20
LIMIT = 16 * 2**20


def input_of(case):
    return b"".join(base64.b64decode(part["b64"]) * part["repeat"] for part in case["input"])


def seen(event):
    """Return an event's data, type and id; plain bytes are a message without an id."""
    return bytes(event), getattr(event, "type", "message"), getattr(event, "id", "")


def decode(pieces):
    """Return what a decoder makes of *pieces*: events, last id, retry."""
    decoder = SSEDecoder(LIMIT)
    events = [seen(event) for piece in pieces for event in decoder.feed(piece)]
    return events, decoder.last_event_id, decoder.retry


def cut(data, places):
    places = sorted({min(place, len(data)) for place in places})
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


def byte_by_byte(data):
    return [data[place : place + 1] for place in range(len(data))]


def expected(case):
    """Return the events of a case: data as text, or its digest where it is long."""
    return case["events"] * case.get("events_repeat", 1)


def told(event, wanted):
    """Return *event* in the form of the case's *wanted* event."""
    data, kind, number = event
    text = data.decode(errors="replace")
    if "data" in wanted:
        return {"type": kind, "data": text, "id": number}
    digest = hashlib.sha256(text.encode()).hexdigest()
    return {"type": kind, "data_len": len(text), "data_sha256": digest, "id": number}


def check(case, pieces):
    events, last_event_id, retry = decode(pieces)
    wanted = expected(case)
    assert len(events) == len(wanted)
    assert [told(*pair) for pair in zip(events, wanted, strict=True)] == wanted
    assert last_event_id == case["last_event_id"]
    if case["retry_ms"] != "huge":
        assert retry == case["retry_ms"]


@pytest.fixture(params=CASES, ids=[case["name"] for case in CASES])
def case(request):
    return request.param


def test_cases_hold_in_whole(case):
    check(case, [input_of(case)])


def test_cases_hold_byte_by_byte(case):
    data = input_of(case)
    assert len(data) < BYTE_BY_BYTE

    check(case, byte_by_byte(data))


def test_cases_hold_at_every_two_way_split(case):
    data = input_of(case)
    places = range(len(data) + 1) if len(data) < SHORT else (1, len(data) // 2, len(data) - 1)

    for place in places:
        check(case, [data[:place], data[place:]])


def test_cases_hold_at_random_cuts(case):
    data = input_of(case)
    dice = random.Random(case["name"])

    for _ in range(20 if len(data) < SHORT else 3):
        check(case, cut(data, [dice.randrange(len(data) + 1) for _ in range(3)]))


def test_cases_hold_with_empty_reads_in_between(case):
    data = input_of(case)
    pieces = byte_by_byte(data) if len(data) < SHORT else cut(data, range(0, len(data), 4093))

    check(case, [b"", *(piece for each in pieces for piece in (each, b""))])


# Independent of the decoder: the standard's own words, on a text that is whole.
def by_the_standard(data):
    text = data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    lines = text.split(b"\n")[:-1]
    events, kind, number, values = [], b"", b"", []
    last = b""
    for line in lines:
        if not line:
            last = number
            if values:
                told = kind.decode(errors="replace") or "message"
                events.append((b"\n".join(values), told, number.decode(errors="replace")))
            kind, values = b"", []
            continue
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            values.append(value)
        elif name == b"event":
            kind = value
        elif name == b"id" and b"\0" not in value:
            number = value
    return events, last.decode(errors="replace")


lines = st.sampled_from(
    [
        b"data: {}",
        b"data: x",
        b"data:x",
        b"data",
        b"data: ",
        b"data: [DONE]",
        b"data: \xe2\x80\xa8 \xc2\x85",
        b"data: \xff",
        b": PING",
        b"event: error",
        b"event: a",
        b"event",
        b"id: 7",
        b"id",
        b"id: \0",
        b"retry: 10",
        b"{",
        b'{"a": 1}',
        b"other: x",
        b"\xef\xbb\xbf",
        b"",
        b"",
        b"",
    ]
)
ends = st.sampled_from([b"\n", b"\n", b"\n\n", b"\n\n", b"\n\n", b"\r\n", b"\r", b"\r\n\r\n"])
usual = st.lists(st.binary(max_size=8).map(lambda data: b"data: " + data + b"\n\n"))
unusual = st.lists(st.tuples(lines, ends).map(b"".join), max_size=12)
streams = st.one_of(
    st.lists(st.one_of(usual, unusual).map(b"".join), max_size=4).map(b"".join),
    st.binary(max_size=40),
)
places = st.lists(st.integers(0, 150), max_size=8)


@settings(deadline=None, max_examples=600)
@given(data=streams, cuts=places)
@example(data=b"data: a\r\ndata: b\n\n", cuts=[8])
@example(data=b"data: a\n\n\ndata: b\n\n", cuts=[8, 9, 10])
@example(data=b": a\r\nid: 7\ndata: b\n\n", cuts=[11])
@example(data=b": a\r\nevent: c\ndata: b\n\n", cuts=[14])
@example(data=b": a\r\ndata: c\ndata: b\n\n", cuts=[13])
def test_events_are_the_standards_wherever_the_network_cuts(data, cuts):
    wanted = by_the_standard(data)

    for pieces in ([data], cut(data, cuts), byte_by_byte(data)):
        events, last_event_id, _ = decode(pieces)
        assert (events, last_event_id) == wanted


@settings(deadline=None, max_examples=100)
@given(cuts=st.lists(st.integers(0, 2400), max_size=30))
def test_the_documented_stream_does_not_depend_on_the_cuts(cuts, stream_basic):
    events = stream_basic.split(b"\n\n")[:-1]

    found, _, _ = decode(cut(stream_basic, cuts))

    assert [data for data, _, _ in found] == [event.removeprefix(b"data: ") for event in events]


def cost(feed):
    """Return the least of several durations: the others were somebody else's."""
    durations = []
    for _ in range(4):
        start = time.process_time()
        feed()
        durations.append(time.process_time() - start)
    return min(durations)


def in_segments(data, size):
    segments = [data[place : place + size] for place in range(0, len(data), size)]

    def feed():
        decoder = SSEDecoder(LIMIT)
        return sum(len(decoder.feed(segment)) for segment in segments)

    return feed


@pytest.mark.parametrize(
    "event",
    [b"data: %s\n\n", b"data: %s\r\n\r\n", b"id: 1\r\ndata: %s\r\n\r\n"],
    ids=["fast", "crlf", "strict"],
)
def test_one_long_event_costs_as_much_per_byte_as_a_shorter_one(event):
    small = cost(in_segments(event % (b"x" * 2**20), 2**10))
    large = cost(in_segments(event % (b"x" * (8 * 2**20)), 2**10))

    assert large < 8 * small * 3 + 0.02


@pytest.mark.parametrize("event", [b"data: x\n\n", b"data: x\r\n\r\n", b"data: x\ndata: y\n\n"])
def test_many_events_byte_by_byte_cost_as_much_per_byte_as_few(event):
    few = cost(in_segments(event * 1_000, 1))
    many = cost(in_segments(event * 8_000, 1))

    assert many < 8 * few * 3 + 0.02


@pytest.mark.parametrize("event", [b"data: %s\n\n", b"id: 1\r\ndata: %s\r\n\r\n"])
def test_one_event_byte_by_byte_costs_as_much_per_byte_as_a_shorter_one(event):
    small = cost(in_segments(event % (b"x" * 20_000), 1))
    large = cost(in_segments(event % (b"x" * 160_000), 1))

    assert large < 8 * small * 3 + 0.02


def test_an_event_of_many_lines_costs_as_much_per_line_as_a_shorter_one():
    small = cost(in_segments(b"data: x\n" * 4_000 + b"\n", 2**10))
    large = cost(in_segments(b"data: x\n" * 32_000 + b"\n", 2**10))

    assert large < 8 * small * 3 + 0.02


@pytest.mark.parametrize("after", [b"\n", b"data: x\n\n", b"event: x\n\n"])
@pytest.mark.parametrize("character", [b"x", b"\xff"], ids=["text", "broken"])
def test_an_id_costs_as_much_before_many_events_as_before_few(after, character):
    """It holds for all that follow, and is decoded once."""

    def took(size):
        return cost(in_segments(b"id: " + character * size + b"\n" + after * (size // 100), 2**16))

    assert took(400_000) < 8 * took(50_000) * 3 + 0.02
