"""The recording relay forwards bytes unchanged, and records them without the token."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
from contextlib import contextmanager
from math import inf

import pytest

from acechat import (
    Client,
    ConfigurationError,
    OverloadedError,
    RequestTimeoutError,
    StreamInterruptedError,
    StreamTruncatedError,
    Timeout,
    TransportError,
)
from acechat._record.cassette import Cassette
from acechat.emulator import Service, cut, drop, fail, ok

ONCE = {"retries": 1}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "x.acecast"


def relay(server, path):
    return Service(record=path, upstream=server.url)


@contextmanager
def recorded(service, path):
    """Return a client of *service* through a relay."""
    with relay(service, path) as between, Client(service.token, base_url=between.url) as client:
        yield client


def test_a_stream_is_forwarded_as_it_arrives_and_replays_identically(server, wire, make_ask, path):
    async def handler(reader, writer, number):
        writer.write(wire.head(X_Request_Id="r-1"))
        for text in ("Hel", "lo"):
            writer.write(wire.chunk(wire.delta(text)))
            await asyncio.sleep(0.1)
        writer.write(wire.chunk(wire.events("!")) + wire.chunk(b""))

    server.handler = handler
    with relay(server, path) as service:
        first = make_ask(service.url).stream()
        assert service.requests[0].json["stream"] is True
    (exchange,) = Cassette.load(path).exchanges
    with Service(replay=path, speed=inf) as service:
        again = make_ask(service.url).stream()

    assert first.texts == ["Hel", "lo", "!"]
    assert again.completion == first.completion
    assert first.completion.trace_id == again.completion.trace_id == "r-1"
    assert [piece.data for piece in exchange.chunks[:2]] == [wire.delta("Hel"), wire.delta("lo")]
    assert 0.05 < exchange.chunks[1].at - exchange.chunks[0].at < 1
    assert exchange.end.how == "clean"


FAULTS = {
    "cut": (StreamInterruptedError, "cut"),
    "reset": (StreamInterruptedError, "reset"),
    "early end": (StreamTruncatedError, "clean"),
    "stall": (RequestTimeoutError, "closed"),
    "no head": (TransportError, "cut"),
    "reset head": (TransportError, "reset"),
    "no http": (TransportError, "malformed"),
    "refused": (OverloadedError, "clean"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_forwarded_and_replayed(server, wire, make_ask, path, fault):
    async def handler(reader, writer, number):
        if fault == "refused":
            writer.write(wire.refusal())
        elif fault == "no http":
            writer.write(b"what?\r\n\r\n")
        elif "head" not in fault:
            writer.write(wire.head() + wire.chunk(wire.delta("Hel")))
        await writer.drain()
        await asyncio.sleep(0.05)
        if fault == "early end":
            writer.write(wire.chunk(b""))
        elif "reset" in fault:
            server.reset(writer)
        elif fault in {"stall", "no http"}:
            await reader.read()
        elif fault != "refused":
            writer.close()

    server.handler = handler
    options = ONCE | ({"timeout": Timeout(idle=0.3)} if fault == "stall" else {"timeout": 15})
    with relay(server, path) as service:
        first = make_ask(service.url).stream(**options)
    (exchange,) = Cassette.load(path).exchanges
    with Service(replay=path) as service:
        again = make_ask(service.url).stream(**options)

    kind, how = FAULTS[fault]
    assert type(first.error) is type(again.error) is kind
    assert exchange.end.how == how
    assert first.text == again.text
    assert [type(one.partial) for one in (first.error, again.error)].count(type(None)) in {0, 2}


def test_retries_and_later_runs_are_appended(acechat_service, make_ask, path):
    acechat_service.script(fail(503), ok("One"), ok("Two"))
    for _ in range(2):
        with recorded(acechat_service, path) as client:
            client.chat("Hello")
    exchanges = Cassette.load(path).exchanges

    assert [one.head.status for one in exchanges] == [503, 200, 200]
    assert path.read_bytes().count(b'"kind":"cassette"') == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert acechat_service.token.encode() not in path.read_bytes()
    assert b"uthorization" not in path.read_bytes()


def test_the_token_reaches_the_service_and_not_the_cassette(server, wire, make_ask, path):
    server.reply(wire.http(f"you are {wire.token}".encode(), "401 X", X_Echo=wire.token))
    with relay(server, path) as service:
        error = make_ask(service.url).stream(**ONCE).error

    assert error.status == 401
    assert server.requests[0].headers["authorization"] == f"Bearer {wire.token}"
    assert server.requests[0].headers["host"] == f"localhost:{server.port}"
    assert b"you are ***" in path.read_bytes()
    assert wire.token.encode() not in path.read_bytes()


def test_an_unreachable_upstream_is_reported(make_ask, unused_port, path):
    with Service(record=path, upstream=f"http://127.0.0.1:{unused_port}") as service:
        error = make_ask(service.url).stream(**ONCE).error

    assert (error.status, error.code) == (502, "upstream_unreachable")
    assert "cannot connect" in error.message
    assert Cassette.load(path).exchanges[0].end.how == "unsent"


def test_a_disconnected_client_is_recorded(server, wire, path):
    async def handler(reader, writer, number):
        writer.write(wire.head() + wire.chunk(wire.delta("Hel")))
        await reader.read()
        writer.close()

    server.handler = handler
    with relay(server, path) as service:
        client = Client("tok-0123456789", base_url=service.url)
        with client, client.stream("Hi") as stream:
            assert str(next(stream)) == "Hel"
        assert server.gone(), "the relay kept the connection to the service"

    (exchange,) = Cassette.load(path).exchanges
    assert exchange.end.how == "closed"


def test_an_unrecorded_request_is_rejected_with_the_difference(acechat_service, path):
    with recorded(acechat_service, path) as client:
        client.chat("Hello")
    with Service(replay=path) as service, Client("any", base_url=service.url) as client:
        with pytest.raises(Exception, match=r'messages\[0\].content is "Hi", recorded was "Hello"'):
            client.chat("Hi")
        with pytest.raises(Exception, match=r"temperature is 1.0, recorded was null"):
            client.chat("Hello", temperature=1.0)
        with pytest.raises(Exception, match="the method is GET, recorded was POST"):
            client.models()
        assert client.chat("Hello").text.startswith("You said")
        with pytest.raises(Exception, match="all 1 responses of the cassette were used"):
            client.chat("Hello")
        service.reset()
        assert client.chat("Hello").text.startswith("You said")


def test_requests_match_in_any_order(acechat_service, path):
    with recorded(acechat_service, path) as client:
        said = [client.chat(text).text for text in ("One", "Two")] + [len(client.models())]
    with Service(replay=path) as service, Client("any", base_url=service.url) as client:
        assert [len(client.models()), client.chat("Two").text, client.chat("One").text] == said[
            ::-1
        ]


@pytest.mark.parametrize(
    "options",
    [
        {"record": "x"},
        {"upstream": "http://x"},
        {"record": "x", "upstream": "http://x", "replay": "y"},
    ],
)
def test_contradictory_options_are_rejected(options):
    with pytest.raises(ConfigurationError, match="record= and upstream="):
        Service(**options)


@pytest.mark.parametrize("speed", [0, -1, float("nan")])
def test_a_speed_of_0_is_rejected(speed, acechat_service, path):
    Cassette(()).save(path)
    with pytest.raises(ConfigurationError, match="speed must be greater than 0"):
        Service(replay=path, speed=speed)


COMMAND = [sys.executable, "-m", "acechat"]


def start(*options):
    process = subprocess.Popen(
        [*COMMAND, "emulate", "--port", "0", *options], stdout=subprocess.PIPE, text=True
    )
    url = process.stdout.readline().split()[-1]
    process.stdout.readline()  # the base URL
    return process, url, "" if "--record" in options else process.stdout.readline()


def stop(process):
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 0


@pytest.mark.timeout(90)  # it starts two interpreters
@pytest.mark.parametrize("step", [ok("Hello"), cut(after=3), drop(after=2)])
def test_the_command_records_and_replays(acechat_service, make_ask, path, step):
    acechat_service.script(step)
    token = {"api_token": acechat_service.token}
    process, url, _ = start("--record", str(path), "--upstream", acechat_service.url)
    first = make_ask(url).stream(**ONCE, client_options=token)
    stop(process)
    process, url, line = start("--replay", str(path), "--speed", "inf")
    assert "ACEDATACLOUD_API_TOKEN=" in line
    again = make_ask(url).stream(**ONCE)
    stop(process)

    assert first.text == again.text
    assert type(first.error) is type(again.error)
    assert first.completion == again.completion
    assert acechat_service.token.encode() not in path.read_bytes()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--record", "x"], "--record FILE needs --upstream URL"),
        (["--replay", "nowhere.acecast"], "nowhere.acecast"),
        (["--replay", os.devnull], "is not a cassette: the file is empty"),
    ],
)
def test_the_command_reports_errors(options, complaint):
    done = subprocess.run(
        [*COMMAND, "emulate", *options], capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode in {1, 2}
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr
