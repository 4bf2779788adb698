"""Relays in web frameworks, each run by its real server, with its compression middleware."""

from __future__ import annotations

import gzip
import http.client
import importlib.util
import socket
import time
import zlib
from pathlib import Path

import pytest

from acechat.emulator import ok, pace, stall

SERVICE = Path(__file__).with_name("web_service.py")
NEEDS = {
    "aiohttp": ["aiohttp"],
    "starlette": ["starlette", "uvicorn"],
    "fastapi": ["fastapi", "uvicorn"],
    "litestar": ["litestar", "uvicorn"],
    "django_asgi": ["django", "uvicorn"],
    "django_wsgi": ["django", "waitress"],
    "flask": ["flask", "flask_compress", "waitress"],
}
"""The libraries of each framework in web_service.py."""


@pytest.fixture(params=NEEDS)
def page(request, environment, serving, monkeypatch):
    """Open the page of a service; return the connection and its response."""
    name = request.param
    for library in NEEDS[name]:
        if importlib.util.find_spec(library) is None:
            pytest.skip(f"{library} is not installed; `nox -s integrations` runs this")
    monkeypatch.setenv("FRAMEWORK", name)
    opened = []

    def ask(**headers):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        opened.append(connection)
        connection.request("GET", "/", headers=headers)
        return connection, connection.getresponse()

    with serving(SERVICE) as (port, process):
        yield ask
        for connection in opened:
            connection.close()
        process.terminate()
        process.communicate(timeout=20)


def unzipped(data):
    """Return the text in *data*, which may end anywhere; Django sends one member per chunk."""
    text = b""
    while data:
        member = zlib.decompressobj(31)
        text += member.decompress(data)
        data = member.unused_data
    return text


def closed_within(service, seconds):
    until = time.monotonic() + seconds
    while service.connections and time.monotonic() < until:
        time.sleep(0.01)
    return not service.connections


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_a_page_receives_the_stream_and_done(page, environment, encoding):
    environment.script(ok("Hello big world"))

    connection, response = page(**{"Accept-Encoding": encoding})
    body = response.read()

    if response.headers.get("Content-Encoding") == "gzip":
        body = gzip.decompress(body)
    assert response.status == 200
    assert response.headers["Content-Type"].startswith("text/event-stream")
    assert "no-transform" in response.headers["Cache-Control"]
    assert b"Hello" in body
    assert body.endswith(b"data: [DONE]\n\n")
    connection.close()


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_the_first_events_are_not_held_back(page, environment, encoding):
    environment.script(stall(30, after=4, of=ok(["one ", "two ", "three ", "four "] * 5)))

    connection, response = page(**{"Accept-Encoding": encoding})
    began = time.monotonic()
    received = b""
    compressed = response.headers.get("Content-Encoding") == "gzip"
    while b"one" not in (unzipped(received) if compressed else received):
        received += response.read1(65536)

    assert time.monotonic() - began < 10  # the rest comes after 30 s
    connection.close()


def test_a_page_that_leaves_ends_the_request_to_the_service(page, environment):
    environment.script(pace(0.05, of=ok(["word "] * 2000)))
    connection, response = page()
    response.read1(100)
    assert environment.connections

    connection.sock and connection.sock.shutdown(socket.SHUT_RDWR)
    response.close()
    connection.close()

    assert closed_within(environment, 5)
