"""Failures that were recorded over a socket are replayed over a socket."""

from __future__ import annotations

import asyncio
import copy
import gc
import gzip
import json
import os
import pickle
import stat
import zlib
from math import inf

import pytest

from acechat import (
    AceChatError,
    AsyncClient,
    Client,
    ConfigurationError,
    ConnectError,
    ProtocolError,
    RequestTimeoutError,
    ServerError,
    StreamInterruptedError,
    StreamTruncatedError,
    Timeout,
    TransportError,
    image,
)
from acechat._record.cassette import Cassette
from acechat.emulator import Service

ONCE = {"retries": 1, "timeout": Timeout(total=15)}
IMPATIENT = {"timeout": Timeout(first_token=0.5, idle=0.4)}
HANGS = {"stall", "stall-before-head", "garbage"}
PAUSE = 0.05
DETAILS = ("status", "code", "chunks", "received", "phase", "ending", "body", "retry_after")


def parts_of(wire):
    """The writes of a server, with a pause after each; the last item is the kind of end."""
    gzipped = gzip.compress(wire.events("Hel", "lo"))
    zipper = zlib.compressobj(wbits=31)
    half = zipper.compress(wire.delta("Hel")) + zipper.flush(zlib.Z_SYNC_FLUSH)
    counted = wire.ok()
    close = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    nameless = wire.head(kind=None)
    hel, lo = wire.delta("Hel"), wire.delta("lo")
    return {
        "whole": [wire.head(), wire.chunk(hel), wire.chunk(wire.events("lo")), wire.chunk(b""), ""],
        "cut-in-chunk": [wire.head(), wire.chunk(hel), wire.chunk(lo)[:30], "close"],
        "cut-in-event": [wire.head(), wire.chunk(hel), wire.chunk(lo[:9]), wire.chunk(b""), ""],
        "cut-in-character": [wire.head(), wire.chunk(hel), wire.chunk("é".encode()[:1]), "close"],
        "reset": [wire.head(), wire.chunk(hel), wire.chunk(lo), "reset"],
        "reset-before-content": [wire.head(), "reset"],
        "garbage": [wire.head(), wire.chunk(hel), b"no chunk\r\n", "open"],
        "stall": [wire.head(), wire.chunk(hel), "open"],
        "stall-before-head": ["open"],
        "no-http": [b"no HTTP at all\r\n\r\n", "open"],
        "close-before-head": ["close"],
        "reset-before-head": ["reset"],
        "close-delimited": [close, hel, wire.events("lo"), "close"],
        "close-delimited-cut": [close, hel, lo, "close"],
        "close-delimited-reset": [close, hel, lo, "reset"],
        "short-body": [counted[:-20], "close"],
        "short-body-reset": [counted[:-20], "reset"],
        "counted": [counted[:-20], counted[-20:], ""],
        "gzip": [wire.head(Content_Encoding="gzip"), wire.chunk(gzipped), wire.chunk(b""), ""],
        "bad-gzip": [wire.head(Content_Encoding="gzip"), wire.chunk(b"no gzip"), "open"],
        "gzip-then-bad": [
            wire.head(Content_Encoding="gzip"),
            wire.chunk(half),
            wire.chunk(b"\xff no gzip"),
            "open",
        ],
        "no-type": [nameless, wire.chunk(wire.events("Hello")), wire.chunk(b""), ""],
        "refusal": [wire.refusal(X_Request_Id="r-1"), ""],
        "page": [wire.http(b"<html><title>Oops</title>", "502 Bad", "text/html"), ""],
        "page-200": [wire.http(b"<html><title>Oops</title>", kind="text/html"), ""],
        "error-event": [
            wire.head(),
            wire.chunk(hel),
            wire.chunk(b'data: {"error": {"code": "busy", "message": "later"}}\n\n'),
            wire.chunk(b""),
            "",
        ],
        "no-json": [wire.http(b"{no json"), ""],
        "redirect": [wire.http(b"", "307 Moved", Location="http://127.0.0.1:1/x"), ""],
        "unknown-status": [wire.http(b"{}", "799 What"), ""],
    }


FAULTS = [
    "whole", "cut-in-chunk", "cut-in-event", "cut-in-character", "reset", "reset-before-content",
    "garbage", "stall", "stall-before-head", "no-http", "close-before-head", "reset-before-head",
    "close-delimited", "close-delimited-cut",
    "close-delimited-reset", "short-body", "short-body-reset", "counted", "gzip",
    "bad-gzip", "gzip-then-bad", "no-type", "refusal", "page", "page-200", "error-event", "no-json",
    "redirect", "unknown-status",
]  # fmt: skip


def misbehave(server, wire, name):
    *writes, end = parts_of(wire)[name]

    async def handler(reader, writer, number):
        for data in writes:
            writer.write(data)
            await writer.drain()
            await asyncio.sleep(PAUSE)
        if end == "reset":
            server.reset(writer)
        elif end == "close":
            writer.close()
        elif end == "open":
            await reader.read()
            writer.close()

    server.handler = handler


def on_time(here, there):
    """Return True if it came no earlier than recorded; on a busy machine it comes late."""
    return -0.01 < here - there < 1


class Outcome:
    """One call, its end, and its recording in a cassette."""

    def __init__(self, mode, url, path, method, **options):
        self.texts, self.reply, self.error = [], None, None
        settings = {"api_token": "tok-secret-0123456789abcdef", "base_url": url, **ONCE, **options}
        if mode == "async":
            asyncio.run(self._ask(settings, method, path))
        else:
            self._block(settings, method, path)
        self.saved = Cassette.load(path).exchanges

    async def _ask(self, settings, method, path):
        async with AsyncClient(**settings) as client:
            try:
                if method == "chat":
                    self.reply = await client.chat("Hello")
                else:
                    async with client.stream("Hello") as stream:
                        async for delta in stream:
                            self.texts.append(str(delta))
                    self.reply = stream.completion
            except AceChatError as error:
                self.error = error
            self._save(client, path)

    def _block(self, settings, method, path):
        with Client(**settings) as client:
            try:
                if method == "chat":
                    self.reply = client.chat("Hello")
                else:
                    with client.stream("Hello") as stream:
                        for delta in stream:
                            self.texts.append(str(delta))
                    self.reply = stream.completion
            except AceChatError as error:
                self.error = error
            self._save(client, path)

    def _save(self, client, path):
        if self.error is None:
            client.save_cassette(path)
        else:
            self.error.save(path)

    @property
    def facts(self):
        """The facts that a replay must repeat. Messages about malformed bytes may differ."""
        error, reply = self.error, self.reply
        (exchange,) = self.saved
        return {
            "texts": "".join(self.texts),
            "class": type(error),
            "partial": error and error.partial and error.partial.text,
            "trace": (error or reply).trace_id,
            "error": [getattr(error, name, None) for name in DETAILS],
            "answer": reply and reply.to_dict(),
            "kind": reply and reply.response.headers.get("content-type"),
            "status": exchange.head and exchange.head.status,
            "bytes": b"".join(piece.data for piece in exchange.chunks),
            "end": exchange.end.how,
            "request": (exchange.request.method, exchange.request.path, exchange.request.body),
        }  # fmt: skip


@pytest.mark.parametrize("method", ["chat", "stream"])
@pytest.mark.parametrize("name", FAULTS)
def test_a_replay_repeats_the_recorded_outcome(server, wire, mode, tmp_path, method, name):
    misbehave(server, wire, name)
    limits = IMPATIENT if name in HANGS else {}
    first = Outcome(mode, server.url, tmp_path / "first.acecast", method, **limits)

    for speed in (1, inf):
        with Service(replay=tmp_path / "first.acecast", speed=speed) as service:
            again = Outcome(mode, service.url, tmp_path / "again.acecast", method, **limits)
        assert again.facts == first.facts
        if speed == 1:
            (here,), (there,) = again.saved, first.saved
            assert here.end.how in {"timeout", "closed"} or on_time(here.end.at, there.end.at)


def test_each_fault_has_the_effect_of_its_name(server, wire, tmp_path):
    ends = {}
    for name in FAULTS:
        misbehave(server, wire, name)
        limits = IMPATIENT if name in HANGS else {}
        outcome = Outcome("async", server.url, tmp_path / "x.acecast", "stream", **limits)
        ends[name] = (type(outcome.error), outcome.saved[0].end.how)

    assert ends["whole"] == (type(None), "clean")
    assert ends["cut-in-chunk"] == (StreamInterruptedError, "cut")
    assert ends["cut-in-event"] == (StreamTruncatedError, "clean")
    assert ends["reset"] == (StreamInterruptedError, "reset")
    assert ends["reset-before-head"] == (TransportError, "reset")
    assert ends["bad-gzip"] == (StreamInterruptedError, "malformed")
    assert ends["garbage"] == (RequestTimeoutError, "timeout")  # aiohttp does not notice it
    assert ends["no-http"] == (TransportError, "malformed")
    assert ends["stall"] == (RequestTimeoutError, "timeout")
    assert ends["error-event"] == (ends["error-event"][0], "closed")


def test_the_timing_of_a_stream_is_replayed(server, wire, mode, tmp_path):
    pauses = [0.2, 0.5, 0.3]

    async def handler(reader, writer, number):
        writer.write(wire.head())
        for pause in pauses:
            writer.write(wire.chunk(wire.delta("tick ")))
            await asyncio.sleep(pause)
        writer.write(wire.chunk(wire.events("end")) + wire.chunk(b""))

    server.handler = handler
    options = {"timeout": 15}
    first = Outcome(mode, server.url, tmp_path / "1.acecast", "stream", **options)
    with Service(replay=tmp_path / "1.acecast") as service:
        again = Outcome(mode, service.url, tmp_path / "2.acecast", "stream", **options)
    with Service(replay=tmp_path / "1.acecast", speed=10) as service:
        fast = Outcome(mode, service.url, tmp_path / "3.acecast", "stream", **options)

    there = [piece.at for piece in first.saved[0].chunks]
    here = [piece.at for piece in again.saved[0].chunks]
    assert all(map(on_time, here, there))
    assert [p.data for p in again.saved[0].chunks] == [p.data for p in first.saved[0].chunks]
    assert there[-1] > sum(pauses)
    assert fast.saved[0].end.at < there[-1]


def test_retries_are_recorded_and_replayed_one_by_one(server, wire, mode, tmp_path):
    server.reply(wire.refusal(), wire.refusal("500 X", "api_error"), wire.stream())
    options = {"retries": 3}
    first = Outcome(mode, server.url, tmp_path / "1.acecast", "stream", **options)
    assert [one.head.status for one in first.saved] == [503, 500, 200]
    assert [one.request.attempt for one in first.saved] == [1, 2, 3]
    assert first.saved[2].request.at > first.saved[1].request.at > 0

    with Service(replay=tmp_path / "1.acecast", speed=inf) as service:
        again = Outcome(mode, service.url, tmp_path / "2.acecast", "stream", **options)
        assert len(service.requests) == 3

    assert again.reply == first.reply
    assert [attempt.failure for attempt in again.reply.response.attempts] == ["refused", "refused"]


def test_a_failure_after_retries_replays_all_of_them(server, wire, mode, tmp_path):
    server.reply(wire.refusal(), wire.refusal("529 X", "overloaded"))
    options = {"retries": 2}
    first = Outcome(mode, server.url, tmp_path / "1.acecast", "chat", **options)
    assert len(first.error.cassette.exchanges) == len(first.error.attempts) == 2

    with Service(replay=tmp_path / "1.acecast", speed=inf) as service:
        again = Outcome(mode, service.url, tmp_path / "2.acecast", "chat", **options)

    assert str(again.error) == str(first.error)
    assert [one.error for one in again.error.attempts] == [
        one.error for one in first.error.attempts
    ]


def test_an_unsent_request_is_recorded_and_not_replayable(mode, tmp_path, unused_port):
    path = tmp_path / "x.acecast"
    outcome = Outcome(mode, f"http://127.0.0.1:{unused_port}", path, "chat")

    assert isinstance(outcome.error, ConnectError)
    assert outcome.saved[0].end.how == "unsent"
    with pytest.raises(ConfigurationError, match="no request in it was sent"):
        Service(replay=path)


def test_the_token_is_in_no_cassette(server, wire, mode, tmp_path):
    echo = f'{{"error": {{"code": "bad", "message": "you sent {wire.token}"}}}}'.encode()
    half = len(echo) - 30
    server.handler = None

    async def handler(reader, writer, number):
        writer.write(
            wire.head("application/json", "401 X", X_Echo=wire.token, Set_Cookie="s=3cr3t")
        )
        for part in (echo[:half], echo[half:], b""):  # the token is in both halves
            writer.write(wire.chunk(part))
            await writer.drain()
            await asyncio.sleep(PAUSE)

    server.handler = handler
    path = tmp_path / "x.acecast"
    headers = {"X-Api-Key": "another-secret", "X-Team": "blue"}
    outcome = Outcome(mode, server.url, path, "chat", headers=headers)

    (exchange,) = outcome.saved
    assert wire.token in server.requests[0].headers["authorization"]
    assert sum(len(piece.data) for piece in exchange.chunks) == len(echo)
    assert b"you sent ***" in b"".join(piece.data for piece in exchange.chunks)
    assert exchange.request.headers == {"X-Api-Key": "***", "X-Team": "blue"}
    assert exchange.head.headers["set-cookie"] == "***"
    for secret in (wire.token, wire.token[:12], wire.token[-12:], "another-secret", "3cr3t"):
        assert secret.encode() not in path.read_bytes()
        assert secret.encode() not in pickle.dumps(outcome.error)


def test_only_the_owner_can_read_a_cassette(server, wire, ask, tmp_path):
    server.reply(wire.refusal())
    error = failing(ask)
    path = tmp_path / "x.acecast"
    old = os.umask(0)
    try:
        error.save(path)
    finally:
        os.umask(old)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["x.acecast"]


def failing(ask, **options):
    with pytest.raises(AceChatError) as caught:
        ask.chat(retries=1, **options)
    return caught.value


def test_a_recording_survives_pickling_and_copying(server, wire, ask, tmp_path):
    server.reply(wire.refusal())
    error = failing(ask)

    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert again.cassette == error.cassette
        again.save(tmp_path / "again.acecast")
        assert Cassette.load(tmp_path / "again.acecast") == error.cassette


@pytest.mark.parametrize("mode", ["async", "blocking"])
def test_record_bytes_0_records_nothing(server, wire, make_ask, mode, tmp_path):
    server.reply(wire.refusal())
    error = failing(make_ask(server.url), client_options={"max_record_bytes": 0})

    assert isinstance(error, ServerError)
    assert error.cassette is None
    with pytest.raises(RuntimeError, match="nothing was recorded"):
        error.save(tmp_path / "x.acecast")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", [AsyncClient, Client])
def test_a_client_without_calls_has_nothing_to_save(kind, tmp_path):
    with pytest.raises(RuntimeError, match="no request was sent"):
        kind("t-1").save_cassette(tmp_path / "x.acecast")


def test_a_configuration_error_has_nothing_to_save(tmp_path):
    with pytest.raises(ConfigurationError) as caught:
        Client("t-1", base_url="nowhere")
    with pytest.raises(RuntimeError, match="no request was sent"):
        caught.value.save(tmp_path / "x.acecast")


def test_the_start_and_the_end_of_a_long_response_are_kept(server, wire, ask, tmp_path):
    body = b"".join(wire.delta(f"word{number} ") for number in range(2000))
    server.reply(wire.sse(body, end=True))
    got = ask.stream(client_options={"max_record_bytes": 20_000})
    (exchange,) = got.error.cassette.exchanges

    kept = [piece.data for piece in exchange.chunks]
    (gap,) = (at for at, piece in enumerate(exchange.chunks) if piece.dropped)
    head, tail = b"".join(kept[:gap]), b"".join(kept[gap:])
    assert body.startswith(head)
    assert body.endswith(tail)
    assert len(head) + exchange.chunks[gap].dropped + len(tail) == len(body)
    assert 14_000 < len(head) + len(tail) + len(exchange.request.body) <= 20_000
    got.error.save(tmp_path / "x.acecast")
    with pytest.raises(ConfigurationError, match="bytes of a response were dropped"):
        Service(replay=tmp_path / "x.acecast")


def test_an_image_larger_than_the_recording_is_truncated_and_still_matched(
    server, wire, make_ask, tmp_path
):
    server.reply(wire.refusal())
    path, picture = tmp_path / "x.acecast", image(b"\x89PNG\r\n\x1a\n" + os.urandom(600_000))

    def ask_about(url, picture):
        with pytest.raises(AceChatError) as caught:
            make_ask(url).chat("What is it?", picture, retries=1)
        return caught.value

    first = ask_about(server.url, picture)
    first.save(path)
    assert path.stat().st_size < 256 * 2**10
    assert first.cassette.exchanges[0].request.dropped > 500_000
    with Service(replay=path) as service:
        other = image(b"\x89PNG\r\n\x1a\n" + os.urandom(600_000))
        assert "cassette_mismatch" in str(ask_about(service.url, other))
        assert str(ask_about(service.url, picture)) == str(first)


@pytest.mark.parametrize("size", [1, 200_000])
def test_a_recording_without_a_stream_field_is_matched(server, wire, make_ask, tmp_path, size):
    server.reply(wire.refusal())
    path = tmp_path / "x.acecast"
    with pytest.raises(AceChatError) as caught:
        make_ask(server.url).chat("x" * size, retries=1)
    caught.value.save(path)
    lines = path.read_text(encoding="utf-8").splitlines()
    recorded = json.loads(lines[1])
    recorded["text"] = recorded["text"].replace(',"stream":false', "")
    if recorded.get("dropped"):
        recorded["dropped"] -= len(',"stream":false')
    lines[1] = json.dumps(recorded)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")

    with Service(replay=path) as service, pytest.raises(AceChatError) as caught:
        make_ask(service.url).chat("x" * size, retries=1)

    assert caught.value.code == "busy"
    assert (recorded.get("dropped", 0) > 0) == (size > 1)


def test_a_stream_in_progress_can_be_saved(server, wire, tmp_path):
    async def handler(reader, writer, number):
        writer.write(wire.head() + wire.chunk(wire.delta("Hel")))
        await reader.read()
        writer.close()

    server.handler = handler
    with Client("tok-0123456789", base_url=server.url) as client, client.stream("Hi") as stream:
        assert str(next(stream)) == "Hel"
        client.save_cassette(tmp_path / "x.acecast")

    (exchange,) = Cassette.load(tmp_path / "x.acecast").exchanges
    assert exchange.chunks[0].data == wire.delta("Hel")
    assert exchange.end is None


def test_an_error_keeps_no_connection_alive(server, wire, ask):
    server.reply(wire.refusal())
    error = failing(ask)
    seen, waiting = {}, [vars(error)]
    while waiting:
        one = waiting.pop()
        if id(one) not in seen and not isinstance(one, type):
            seen[id(one)] = one
            waiting += gc.get_referents(one)
    kinds = {type(one).__name__ for one in seen.values()}
    assert kinds >= {"Cassette", "Exchange", "BodyChunk"}
    assert not kinds & {
        "AiohttpResponse",
        "Transport",
        "ClientResponse",
        "ResponseRecorder",
        "Token",
    }


def test_copies_of_a_client_share_the_recorder(server, wire, tmp_path):
    server.reply(wire.ok())
    with Client("tok-0123456789", base_url=server.url) as client:
        client.with_options(timeout=3).chat("Hello")
        client.save_cassette(tmp_path / "x.acecast")

    assert Cassette.load(tmp_path / "x.acecast").exchanges[0].head.status == 200


@pytest.mark.parametrize("method", ["models", "count_tokens"])
def test_every_kind_of_call_is_recorded(server, wire, ask, method, tmp_path):
    server.reply(wire.http(b"[]"))
    content = ("Hello",) if method == "count_tokens" else ()
    with pytest.raises(ProtocolError) as caught:
        ask.run(method, *content, client_options={"retries": 1})

    (exchange,) = caught.value.cassette.exchanges
    assert exchange.request.path.startswith("/v1/m")
    assert exchange.chunks[0].data == b"[]"
    assert exchange.end.error.startswith("ProtocolError")
    assert len(caught.value.attempts) == 1
