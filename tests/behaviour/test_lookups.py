"""Host lookups run in threads of their own and delay nothing else."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time

import pytest

from acechat import AsyncClient, Client, RequestTimeoutError, Timeout
from acechat._http import lookups
from acechat._sync.event_loop import loop_factory

SLOW = "slow.test"


@pytest.fixture
def look_ups(monkeypatch):
    """Hold up each look-up of slow.test until the test ends."""
    end, ended = threading.Event(), []
    real = socket.getaddrinfo

    def getaddrinfo(host, *args, **kwargs):
        if host == SLOW:
            end.wait(20)
            ended.append(host)
            raise socket.gaierror(socket.EAI_AGAIN, "no response")
        return real(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(lookups, "_threads", lookups._Threads())
    yield ended
    end.set()
    deadline = time.monotonic() + 5
    while lookups._threads._running and time.monotonic() < deadline:
        time.sleep(0.01)
    assert lookups._threads._running == 0


def url(host, server):
    return f"http://{host}:{server.url.rpartition(':')[2]}"


FACTORIES = [
    pytest.param(None, id="asyncio"),
    pytest.param(
        loop_factory(),
        id="uvloop",
        marks=pytest.mark.skipif(loop_factory() is None, reason="acechat[speed] is not installed"),
    ),
]


@pytest.mark.parametrize("factory", FACTORIES)
def test_a_busy_executor_does_not_delay_lookups(server, wire, look_ups, factory):
    server.reply(wire.ok())
    release = threading.Event()

    async def ask():
        loop = asyncio.get_running_loop()
        many = min(32, (os.cpu_count() or 1) + 4)
        busy = [loop.run_in_executor(None, release.wait, 20) for _ in range(many)]
        try:
            async with AsyncClient(
                wire.token,
                base_url=url("localhost", server),
                retries=1,
                timeout=Timeout(connect=5, total=8),
            ) as client:
                return (await client.chat("Hello")).text
        finally:
            release.set()
            await asyncio.gather(*busy)

    with asyncio.Runner(loop_factory=factory) as runner:
        assert runner.run(ask()) == "Hello"


@pytest.mark.parametrize("factory", FACTORIES)
@pytest.mark.parametrize("limit", ["connect", "total", "first_token"])
def test_a_lookup_timeout_names_the_host_and_does_not_delay_exit(look_ups, wire, factory, limit):
    async def ask():
        async with AsyncClient(
            wire.token, base_url=f"http://{SLOW}:9", retries=1, timeout=Timeout(**{limit: 0.2})
        ) as client:
            with pytest.raises(RequestTimeoutError) as caught:
                await client.chat("Hello")
            return caught.value

    began = time.monotonic()
    with asyncio.Runner(loop_factory=factory) as runner:
        error = runner.run(ask())
    assert time.monotonic() - began < 3
    assert not look_ups
    assert (error.phase, error.sent, error.looking_up) == (limit, False, SLOW)
    assert str(error) == f"no address found for host {SLOW} within 0.2 s (Timeout.{limit})"
    assert [(one.failure, one.may_be_billed) for one in error.attempts] == [("unsent", False)]


def test_close_does_not_wait_for_lookups(look_ups, wire):
    client = Client(wire.token, base_url=f"http://{SLOW}:9", retries=1, timeout=0.2)
    with pytest.raises(RequestTimeoutError):
        client.chat("Hello")
    began = time.monotonic()
    client.close()
    assert time.monotonic() - began < 1
    assert not look_ups


@pytest.mark.parametrize("ending", ["client.close()", "", "raise SystemExit(0)"])
def test_exit_does_not_wait_for_lookups(script, ending):
    began = time.monotonic()
    done = script(f"""
import socket, time
def getaddrinfo(*args, **kwargs):
    time.sleep(25)
socket.getaddrinfo = getaddrinfo
from acechat import Client, RequestTimeoutError
client = Client(TOKEN, base_url="http://slow.test:9", retries=1, timeout=0.2)
try:
    client.chat("Hello")
except RequestTimeoutError as error:
    print(error.looking_up)
{ending}
""")
    assert done.stdout.split() == ["slow.test"], done.stderr
    assert time.monotonic() - began < 15


def test_concurrent_lookups_are_limited_and_in_order(monkeypatch):
    monkeypatch.setattr(lookups, "_threads", lookups._Threads())
    most, now, lock = [0], [0], threading.Lock()

    def work(number):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.01)
        with lock:
            now[0] -= 1
        return number

    async def ask():
        return await asyncio.gather(*[lookups.look_up(work, number) for number in range(100)])

    assert asyncio.run(ask()) == list(range(100))
    assert 1 < most[0] <= 16


def test_a_cancelled_waiting_lookup_is_not_made(monkeypatch):
    monkeypatch.setattr(lookups, "_threads", lookups._Threads())
    end, made = threading.Event(), []

    async def ask():
        held = [asyncio.create_task(lookups.look_up(end.wait, 20)) for _ in range(16)]
        late = asyncio.create_task(lookups.look_up(made.append, 1))
        await asyncio.sleep(0.05)
        late.cancel()
        await asyncio.wait([late])
        end.set()
        await asyncio.gather(*held)
        return await lookups.look_up(len, "abc")

    assert asyncio.run(ask()) == 3
    assert made == []


def test_exceptions_of_lookups_are_raised(monkeypatch):
    def fail():
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    with pytest.raises(socket.gaierror, match="unknown"):
        asyncio.run(lookups.look_up(fail))


def test_a_lookup_without_a_thread_raises_os_error(monkeypatch):
    def start(_thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(lookups, "_threads", lookups._Threads())
    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(OSError, match="can't start new thread"):
        asyncio.run(lookups.look_up(len, ""))
