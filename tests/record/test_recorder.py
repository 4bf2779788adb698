"""Recording, masking and the cassette format, without a network."""

from __future__ import annotations

import json
from contextlib import suppress

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from acechat import APIError, ClientClosedError, ConnectError, RequestTimeoutError, TransportError
from acechat._config import Config
from acechat._credentials import Token
from acechat._record.cassette import FIRST_LINE, Cassette, as_lines, read_lines
from acechat._record.exchange import (
    BodyChunk,
    Ending,
    Exchange,
    ExchangeEnd,
    Request,
    ResponseHead,
    ending_of,
)
from acechat._record.recorder import Recorder, ResponseRecorder
from acechat.errors import ConfigurationError

SECRET = "tok-secret-0123456789"
TOKEN = Token(SECRET)

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
bodies = st.binary(max_size=12) | texts.map(str.encode)
seconds = st.floats(0, 1e6)
headers = st.dictionaries(texts, texts, max_size=2)
requests = st.builds(
    Request,
    method=st.sampled_from(["GET", "POST"]),
    path=texts,
    headers=headers,
    body=bodies,
    dropped=st.integers(0, 2**40),
    at=seconds,
    attempt=st.integers(1, 9),
)
exchanges = st.builds(
    Exchange,
    requests,
    st.none() | st.builds(ResponseHead, at=seconds, status=st.integers(100, 999), headers=headers),
    st.lists(st.builds(BodyChunk, seconds, bodies, st.integers(0, 2**40)), max_size=3).map(tuple),
    st.none()
    | st.builds(
        ExchangeEnd, at=seconds, how=st.sampled_from(Ending.__args__), error=st.none() | texts
    ),
)


@patient
@given(st.lists(exchanges, max_size=3).map(tuple))
def test_a_cassette_is_read_as_it_was_written(recorded):
    assert read_lines(FIRST_LINE + as_lines(recorded)) == recorded


@patient
@given(st.lists(exchanges, max_size=3))
def test_each_line_is_json_of_a_known_kind(recorded):
    kinds = {"cassette", "request", "response", "piece", "end"}
    for line in (FIRST_LINE + as_lines(recorded)).splitlines():
        assert json.loads(line)["kind"] in kinds


@patient
@given(st.binary(max_size=200))
@example(b'{"kind":"cassette","version":1}\n[[[[')
@example(b'{"kind":"cassette","version":1}\n' + b"[" * 100_000)
@example(b'{"kind":"cassette","version":1}\n{"kind":"piece","at":0,"base64":"?"}')
def test_any_bytes_are_a_cassette_or_a_value_error(data):
    with suppress(ValueError):
        read_lines(data)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "the file is empty"),
        (b"hello", "line 1: JSON is malformed"),
        (b'{"kind":"end","at":0,"how":"cut"}', "line 1: kind must be 'cassette'"),
        (b'{"kind":"cassette","version":2}', "its format is 2, not 1; upgrade with"),
        (
            FIRST_LINE + b'\n{"kind":"end","at":0,"how":"cut"}',
            "line 3: the record belongs to no request",
        ),
        (FIRST_LINE + b'{"kind":"more"}', "line 2: Invalid value 'more'"),
    ],
)
def test_an_invalid_cassette_names_the_line(data, complaint, tmp_path):
    path = tmp_path / "x.acecast"
    path.write_bytes(data)
    with pytest.raises(ConfigurationError, match="is not a cassette") as caught:
        Cassette.load(path)
    assert complaint in str(caught.value)


def test_unknown_fields_are_ignored():
    line = as_lines([Exchange(Request(method="GET", path="/v1/models"))])
    fields = json.loads(line) | {"news": 1}
    assert len(read_lines(FIRST_LINE + msgspec.json.encode(fields))) == 1


ASKED = Request(method="POST", path="/v1/chat/completions")


def make_response(room=2**20):
    return ResponseRecorder(100.0, room)


def play(recorded, reads):
    for number, data in enumerate(reads):
        recorded.add(data, 100.0 + number)
    return recorded.exchange(ASKED, TOKEN)


@patient
@given(st.lists(st.binary(min_size=1, max_size=30), max_size=30))
def test_a_body_within_the_limit_is_kept(reads):
    kept = play(make_response(), reads).chunks
    assert [chunk.data for chunk in kept] == reads
    assert [chunk.at for chunk in kept] == list(range(len(reads)))


@patient
@given(st.lists(st.binary(min_size=1, max_size=90), max_size=60), st.integers(8, 300))
def test_first_half_and_last_quarter_of_a_longer_body_are_kept(reads, room):
    body = b"".join(reads)
    kept = play(make_response(room), reads).chunks
    gaps = [at for at, chunk in enumerate(kept) if chunk.dropped]
    size = sum(len(chunk.data) for chunk in kept)

    assert size <= room
    assert size + sum(chunk.dropped for chunk in kept) == len(body)
    assert bool(gaps) == (len(body) > room)
    if gaps:
        head = b"".join(chunk.data for chunk in kept[: gaps[0]])
        tail = b"".join(chunk.data for chunk in kept[gaps[0] :])
        assert body.startswith(head)
        assert body.endswith(tail)
        assert len(head) == room // 2
        assert len(tail) >= room // 4
        assert [chunk.at for chunk in kept] == sorted(chunk.at for chunk in kept)


@patient
@given(st.integers(0, 5), st.lists(st.integers(0, 120), max_size=6))
def test_the_token_is_masked_across_reads(times, cuts):
    body = (b"<" + SECRET.encode() + b">") * times + b"the rest"
    ends = sorted(min(cut, len(body)) for cut in cuts)
    reads = [body[a:b] for a, b in zip([0, *ends], [*ends, len(body)], strict=True)]
    kept = b"".join(chunk.data for chunk in play(make_response(), reads).chunks)
    assert kept == body.replace(SECRET.encode(), b"*" * len(SECRET))


@patient
@given(st.integers(0, 60), st.integers(8, 60))
def test_no_part_of_a_token_is_left_beside_dropped_bytes(before, room):
    body = b"x" * before + SECRET.encode() + b"y" * 30
    kept = play(make_response(room), [body[at : at + 5] for at in range(0, len(body), 5)]).chunks
    gap = next((at for at, chunk in enumerate(kept) if chunk.dropped), 0)
    for part in (kept[:gap], kept[gap:]):
        data = b"".join(chunk.data for chunk in part)
        for size in range(4, len(SECRET) + 1):
            assert not data.endswith(SECRET[:size].encode())
            assert not data.startswith(SECRET[-size:].encode())


@pytest.mark.parametrize(
    ("name", "hidden"),
    [
        ("set-cookie", True),
        ("X-Api-Key", True),
        ("cf-access-client-secret", True),
        ("proxy-authorization", True),
        ("x-amz-security-token", True),
        ("anthropic-ratelimit-tokens-remaining", False),
        ("x-request-id", False),
        ("content-type", False),
    ],
)
def test_headers_that_may_be_secrets_are_masked(name, hidden):
    recorded = make_response()
    recorded.receive_head(200, {name: "value"}, 100.0)
    assert recorded.exchange(ASKED, TOKEN).head.headers == {name: "***" if hidden else "value"}


@pytest.mark.parametrize(
    ("error", "how"),
    [
        (ClientClosedError(), "closed"),
        (ConnectError("x"), "unsent"),
        (RequestTimeoutError("connect", 1), "unsent"),
        (RequestTimeoutError("idle", 1), "timeout"),
        (TransportError("x"), "cut"),
        (APIError(500, None, "x"), "closed"),
    ],
)
def test_the_ending_follows_from_the_error(error, how):
    assert ending_of(error) == how


def make_recorder(limit):
    return Recorder(Config(token=TOKEN, api_root="http://x/openai/v2", max_record_bytes=limit))


def test_the_path_includes_the_api_root():
    recording = make_recorder(1024).begin("GET", "/models", {}, None, 0.0)
    recording.attempt(0.0)
    assert recording.exchanges()[0].request.path == "/openai/v2/models"


def test_the_first_attempts_are_dropped_for_the_last():
    recording = make_recorder(1024).begin("POST", "/x", {}, b"?" * 24, 0.0)
    for number in range(6):
        recording.attempt(float(number))
        recording.receive_head(503, {}, number + 0.5).add(b"!" * 400, number + 0.6)
        recording.fail(APIError(503, None, "busy"), "busy", number + 0.7)

    kept = recording.exchanges()
    assert [one.request.attempt for one in kept] == [5, 6]
    assert sum(len(chunk.data) for one in kept for chunk in one.chunks) <= 1000
    assert kept[-1].chunks[0].data == b"!" * 400
    assert kept[-1].end == ExchangeEnd(at=pytest.approx(0.7), how="closed", error="busy")


def test_a_compressed_response_is_recorded_decompressed():
    recording = make_recorder(1024).begin("POST", "/x", {}, b"", 0.0)
    recording.attempt(0.0)
    recording.receive_head(200, {"content-encoding": "gzip", "content-length": "9", "x": "y"}, 0.1)
    assert recording.exchanges()[0].head.headers == {"x": "y", "transfer-encoding": "chunked"}


def test_0_records_nothing():
    recorder = make_recorder(0)
    assert recorder.begin("POST", "/x", {}, b"", 0.0) is None
    assert recorder.last is None


@pytest.mark.parametrize("limit", [-1, 1, 1023, 1e6, True, None])
def test_an_invalid_limit_is_refused(limit):
    with pytest.raises(ConfigurationError, match="max_record_bytes must be 0"):
        make_recorder(limit)


def test_two_cassettes_in_one_file_are_read_as_one():
    lines = FIRST_LINE + as_lines([Exchange(Request(method="GET", path="/"))])

    assert len(read_lines(lines + lines)) == 2


@pytest.mark.parametrize("ending", ["cut", "reset", "malformed"])
def test_the_ending_of_a_transport_error_is_kept(ending):
    error = TransportError("x")
    error.ending = ending

    assert ending_of(error) == ending


def test_other_errors_end_with_closed():
    assert ending_of(ConfigurationError("x")) == "closed"


def test_a_large_request_leaves_half_of_the_limit_to_the_response():
    recording = make_recorder(1024).begin("POST", "/x", {}, b"a" * 600 + b"b" * 1000, 0.0)
    recording.attempt(0.0)
    recording.receive_head(200, {}, 0.1).add(b"c" * 512, 0.2)

    (exchange,) = recording.exchanges()

    assert exchange.request.body == b"a" * 512
    assert exchange.request.dropped == 1088
    assert exchange.chunks == (BodyChunk(0.2, b"c" * 512),)


def test_a_request_of_half_the_limit_is_kept():
    recording = make_recorder(1024).begin("POST", "/x", {}, b"a" * 512, 0.0)
    recording.attempt(0.0)

    (exchange,) = recording.exchanges()

    assert (exchange.request.body, exchange.request.dropped) == (b"a" * 512, 0)


def test_data_outside_of_attempts_is_not_recorded():
    recording = make_recorder(1024).begin("POST", "/x", {}, b"", 0.0)

    assert recording.receive_head(200, {}, 0.1) is None
    recording.fail(ConnectError("x"), "x", 0.2)

    assert recording.exchanges() == ()
