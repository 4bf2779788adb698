"""Limits on the cost of a broken or hostile service. Marks name the cases of the table."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
import weakref

import pytest

from acechat import (
    AsyncClient,
    Client,
    ConfigurationError,
    ConnectError,
    ProtocolError,
    RequestTimeoutError,
    RetryPolicy,
    Timeout,
    TransportError,
)

ONE_ATTEMPT = RetryPolicy(max_attempts=1)


@pytest.fixture
def settings(server, wire):
    return {
        "base_url": server.url,
        "api_token": wire.token,
        "timeout": Timeout(total=8, connect=2, first_token=4, idle=4),
        "retries": RetryPolicy(base_delay=0),
    }


@pytest.mark.case("retry-zero", "retry-stale-keepalive")
def test_one_attempt_is_one_request_if_connections_break_after_reading_it(server, wire, settings):
    all_there = asyncio.Event()

    async def first(reader, writer, number):
        if number == 10:
            all_there.set()
        await all_there.wait()
        writer.write(wire.ok())

    async def then(reader, writer, number):
        server.reset(writer)

    async def ask():
        async with AsyncClient(**settings) as client:
            server.handler = first
            await asyncio.gather(*[client.chat("Hello") for _ in range(10)])
            server.handler = then
            with pytest.raises(TransportError) as caught:
                await client.chat("Hello", retries=ONE_ATTEMPT)
            return caught.value

    error = asyncio.run(ask())
    assert len(error.attempts) == 1
    assert (error.attempts[0].failure, error.attempts[0].may_be_billed) == ("lost", True)
    assert len(server.requests) == 10 + 1


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(lambda wire: wire.ok() + b"and more", id="more than the length says"),
        pytest.param(lambda wire: wire.ok(Content_Length=7), id="two lengths"),
        pytest.param(lambda wire: wire.ok(Content_Encoding="br"), id="an encoding not asked for"),
        pytest.param(lambda wire: b"SSH-2.0-OpenSSH_9.2\r\n\r\n", id="no HTTP"),
    ],
)
@pytest.mark.case("net-cl-long")
def test_an_unreadable_response_is_not_retried(either, server, wire, broken):
    server.reply(broken(wire))

    error = either("chat")

    assert isinstance(error, TransportError | ProtocolError)
    assert [attempt.failure for attempt in error.attempts] == ["answered"]
    assert error.attempts[0].may_be_billed
    assert len(server.requests) == 1


def test_error_messages_are_shorter_than_the_bodies_they_quote(either, server, wire):
    server.reply(b"HTTP/1.1 200 OK\r\n" + b"x" * 6_000 + b"\r\n\r\n")  # a header without a colon

    error = either("chat")

    assert "xxx" in str(error)
    assert len(str(error)) < 500
    assert len(error.attempts[0].error) < 500


@pytest.mark.parametrize("kind", [AsyncClient, Client])
@pytest.mark.case("to-pool")
def test_a_timeout_while_waiting_for_a_slot_reports_that_nothing_was_sent(
    server, wire, settings, kind
):
    async def handler(reader, writer, number):
        await asyncio.sleep(0.5)
        writer.write(wire.ok())

    server.handler = handler
    options = settings | {"max_concurrency": 1}
    hasty = Timeout(total=0.2)

    async def tasks():
        async with AsyncClient(**options) as client:
            patient = asyncio.create_task(client.chat("Hello"))
            await asyncio.sleep(0.05)
            with pytest.raises(RequestTimeoutError) as caught:
                await client.chat("Hello", timeout=hasty)
            await patient
            return caught.value

    def threads():
        with Client(**options) as client:
            patient = threading.Thread(target=client.chat, args=("Hello",))
            patient.start()
            server.wait_for(1)
            with pytest.raises(RequestTimeoutError) as caught:
                client.chat("Hello", timeout=hasty)
            patient.join()
            return caught.value

    error = asyncio.run(tasks()) if kind is AsyncClient else threads()

    assert (error.phase, error.sent) == ("total", False)
    assert "slot" in str(error)
    assert [(one.failure, one.may_be_billed) for one in error.attempts] == [("unsent", False)]
    assert len(server.requests) == 1


def test_a_total_timeout_while_connecting_is_not_billed(make_ask, black_hole):
    with pytest.raises(RequestTimeoutError) as caught:
        make_ask(black_hole).chat(timeout=Timeout(connect=5, total=0.3))

    assert [one.failure for one in caught.value.attempts] == ["unsent"]
    assert not caught.value.sent


def test_a_total_timeout_after_sending_may_be_billed(ask, server):
    async def silent(reader, writer, number):
        await reader.read()

    server.handler = silent
    with pytest.raises(RequestTimeoutError) as caught:
        ask.chat(timeout=Timeout(total=0.3))

    assert caught.value.sent
    assert caught.value.attempts[0].may_be_billed


def flood(server, wire, event):
    """Send *event* again and again, for a while."""

    async def handler(reader, writer, number):
        writer.write(wire.head())
        until = time.monotonic() + 10
        while time.monotonic() < until:
            writer.write(wire.chunk(event * 100))
            await writer.drain()

    server.handler = handler


def test_events_without_content_use_bounded_memory(ask, server, wire):
    flood(server, wire, wire.delta())

    got = ask.stream(client_options={"max_event_bytes": 100_000})

    assert isinstance(got.error, ProtocolError)
    assert "max_event_bytes" in str(got.error)
    assert not got.texts


@pytest.mark.parametrize("streaming", ["never", "always"])
def test_a_complete_response_is_size_limited_with_every_streaming_mode(
    ask, server, wire, streaming
):
    if streaming == "always":
        flood(server, wire, wire.delta("x" * 1000))
    else:
        server.reply(wire.ok("x" * 1_000_000))

    with pytest.raises(ProtocolError, match="max_response_bytes"):
        ask.chat(client_options={"max_response_bytes": 500_000, "streaming": streaming})


def test_a_stream_read_by_delta_has_no_size_limit(ask, server, wire):
    server.reply(wire.stream(*["x" * 1000] * 100))

    assert len(ask.stream(client_options={"max_response_bytes": 50_000}).text) == 100_000


def test_a_closed_loop_is_not_kept_alive(server, wire, settings):
    server.reply(wire.ok())
    client = AsyncClient(**settings)
    loops = []

    async def ask():
        loops.append(weakref.ref(asyncio.get_running_loop()))
        return (await client.chat("Hello")).text

    for _ in range(5):
        assert asyncio.run(ask()) == "Hello"

    gc.collect()
    assert sum(loop() is not None for loop in loops) <= 1


def test_clients_start_and_stop_concurrently_in_many_threads(server, wire, settings):
    server.reply(wire.ok())
    failed = []

    def use():
        try:
            for _ in range(15):
                with Client(**settings) as client:
                    client.chat("Hello")
        except BaseException as error:  # noqa: BLE001 - the test fails with it
            failed.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=use) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)

    assert not failed


def test_a_client_in_a_task_cancelled_by_the_end_of_the_loop_ends_silently(script, server, wire):
    async def handler(reader, writer, number):
        writer.write(wire.head() + wire.chunk(wire.delta("Hel")))
        await writer.drain()
        await reader.read()

    server.handler = handler
    done = script(
        """
        import asyncio
        from acechat import AsyncClient
        async def work():
            client = AsyncClient(TOKEN, base_url=URL)
            async for _ in client.stream("Hello"):
                pass
        async def main():
            task = asyncio.create_task(work())
            await asyncio.sleep(0.3)
        asyncio.run(main())
        print("done")
        """
    )

    assert done.stdout.split() == ["done"]
    assert done.stderr == ""


# ---- arguments that cannot be sent


@pytest.mark.parametrize("value", ["\x01", "\x0b", "\x7f", "\udcff", "a\rb"])
def test_an_invalid_header_value_is_rejected(either, server, value):
    error = either("chat", extra_headers={"x-note": value})

    assert isinstance(error, ConfigurationError)
    assert "x-note" in str(error)
    assert not server.requests


@pytest.mark.parametrize(
    "url",
    ["http://a\\b", "http://xn--.invalid", "http://" + "ä" * 80, "http://a..b", "http://h:99999"],
)
@pytest.mark.parametrize("kind", [AsyncClient, Client])
def test_a_base_url_without_a_valid_host_is_rejected_at_once(kind, url):
    with pytest.raises(ConfigurationError, match="base URL"):
        kind("token", base_url=url)


@pytest.mark.parametrize("where", ["h:notaport", ":80", "h:99999", "[::1"])
def test_a_proxy_without_a_valid_host_is_rejected_without_showing_its_password(where):
    with pytest.raises(ConfigurationError, match="proxy") as caught:
        AsyncClient("token", proxy=f"http://ada:pass-word@{where}")

    assert "pass-word" not in str(caught.value)


@pytest.mark.parametrize("what", ["closed", "of another loop"])
def test_an_unusable_session_raises_a_clear_error(server, wire, settings, what):
    import aiohttp

    async def make():
        session = aiohttp.ClientSession()
        if what == "closed":
            await session.close()
        return session

    async def ask(session):
        async with AsyncClient(**settings, session=session) as client:
            with pytest.raises(ConfigurationError, match="session=") as caught:
                await client.chat("Hello")
            return caught.value

    session = asyncio.run(make())
    error = asyncio.run(ask(session))
    session.detach()

    assert len(error.attempts) == 1
    assert not error.attempts[0].may_be_billed
    assert not server.requests


def test_an_invalid_host_name_is_not_retried(make_ask, monkeypatch):
    def refuse(*_, **__):
        raise UnicodeError("label empty or too long")

    monkeypatch.setattr("socket.getaddrinfo", refuse)
    with pytest.raises(ConnectError) as caught:
        make_ask("http://somewhere.invalid").chat()

    assert [one.failure for one in caught.value.attempts] == ["unsent"]
