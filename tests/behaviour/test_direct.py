"""Requests that are written straight to a connection, past aiohttp's session."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress

import pytest
from msgspec.structs import replace

from acechat import AsyncClient, Client
from acechat._http import direct as _direct


@pytest.fixture
def early_bird(wire):
    """Serve all clients: respond after the head of a request, without reading its body.

    Yields its URL and the connections that were made.
    """
    connections = []

    def attend(connection):
        with connection:
            head = b""
            while b"\r\n\r\n" not in head:
                head += connection.recv(4096)
            connection.sendall(wire.ok("early"))
            done.wait(5)

    def serve():
        while not done.is_set():
            with suppress(OSError):
                connections.append(listener.accept()[0])
                threads.append(threading.Thread(target=attend, args=(connections[-1],)))
                threads[-1].start()

    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        threads = [threading.Thread(target=serve)]
        threads[0].start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", connections
        done.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("kind", [AsyncClient, Client])
def test_a_response_before_the_request_was_read_is_accepted(early_bird, wire, kind, monkeypatch):
    url, connections = early_bird

    def write_into_a_narrow_pipe(protocol, transport, data):  # as a slow network is
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        transport.write(data)

    monkeypatch.setattr(_direct, "_write", write_into_a_narrow_pipe)
    said = "x" * 1_000_000

    async def ask():
        async with AsyncClient(wire.token, base_url=url, timeout=5) as client:
            return [(await client.chat(said)).text for _ in range(2)]

    if kind is Client:
        with Client(wire.token, base_url=url, timeout=5) as client:
            texts = [client.chat(said).text for _ in range(2)]
    else:
        texts = asyncio.run(ask())

    assert texts == ["early", "early"]
    assert len(connections) == 2, "what was not written would come before the next request"


def test_headers_of_a_request_override_default_headers(server, wire):
    server.reply(wire.ok())

    with Client(wire.token, base_url=server.url, headers={"x-team": "blue"}) as client:
        client.chat("Hello", extra_headers={"USER-AGENT": "mine/1", "x-note": "é"})
        client.chat("Hello")

    first, second = (request.headers for request in server.requests)
    assert (first["user-agent"], first["x-note"]) == ("mine/1", "Ã©")  # UTF-8, read as Latin-1
    assert second["user-agent"].startswith("acechat/")
    assert (first["x-team"], second["x-team"]) == ("blue", "blue")
    for headers, request in zip((first, second), server.requests, strict=True):
        assert headers["content-length"] == str(len(request.body))
        assert headers["content-type"] == "application/json"
        assert headers["host"] == f"localhost:{server.port}"


def test_no_header_is_sent_twice(make_server, wire):
    heads = []

    async def note(reader, writer):
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(wire.ok())

    server = make_server(on_connect=note)
    with Client(wire.token, base_url=server.url) as client:
        client.chat("Hello", extra_headers={"accept": "text/plain"})

    names = [line.partition(":")[0].lower() for line in heads[0].decode().split("\r\n")[1:-2]]
    assert sorted(names) == sorted({*names})


def test_request_paths_of_a_middleware_use_bounded_memory(server, wire):
    server.reply(wire.ok())

    async def number(request, call_next):
        number.asked += 1
        return await call_next(replace(request, path=f"{request.path}?n={number.asked}"))

    number.asked = 0

    async def ask():
        async with AsyncClient(wire.token, base_url=server.url, middleware=[number]) as client:
            for _ in range(70):
                await client.chat("Hello")
            (pool,) = client._transport._pools.values()
            return len(pool.direct)

    assert asyncio.run(ask()) <= 32
    assert server.requests[-1].line == "POST /v1/chat/completions?n=70 HTTP/1.1"
    assert server.connections == 1
