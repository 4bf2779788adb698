"""A kept connection that ends: whether the service may have read the request."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import struct
import sys
import threading
import time

import pytest
import trustme

from acechat import AsyncClient, Client, RetryPolicy, TransportError
from acechat._http import direct
from acechat._sync.event_loop import loop_factory

LINUX = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux reports what was not acknowledged"
)


class Service:
    """Answers the first request on its first connection, and all on the others."""

    def __init__(self, wire, then, context=None):
        self.took = []
        """The text of each request that was read completely."""

        self.kept = None
        self.open = []
        self._wire, self._then, self._context = wire, then, context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        number = 0
        with contextlib.suppress(OSError):
            while True:
                conn, _ = self._listener.accept()
                number += 1
                self.open.append(conn)
                threading.Thread(target=self._serve, args=(conn, number), daemon=True).start()

    def _serve(self, conn, number):
        with contextlib.suppress(OSError):
            if self._context is not None:
                conn = self._context.wrap_socket(conn, server_side=True)
                self.open.append(conn)
            if number > 1:
                while self.read(conn):
                    conn.sendall(self._wire.ok())
                return
            self.kept = conn
            self.read(conn)
            conn.sendall(self._wire.ok())
            self._then(self, conn)

    def read(self, conn):
        """Read a request; return False at the end of the connection."""
        data = b""
        while b"\r\n\r\n" not in data:
            got = conn.recv(2**16)
            if not got:
                return False
            data += got
        head, _, body = data.partition(b"\r\n\r\n")
        size = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        while len(body) < size:
            body += conn.recv(2**16)
        self.took.append(json.loads(body)["messages"][0]["content"][:9])
        return True

    def close(self):
        self._listener.close()
        for conn in self.open:
            conn.close()


def fin(conn):
    conn.shutdown(socket.SHUT_RDWR)
    conn.close()


def notify_and_fin(conn):
    conn.settimeout(0)
    with contextlib.suppress(ssl.SSLWantReadError):
        conn.unwrap()
    conn.close()


def rst(conn):
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    conn.close()


def never(_service, _conn):
    """Leave the connection to the test."""


def ends_while_idle(_service, conn):
    fin(conn)


def read_and(end, pause=0.0):
    def then(service, conn):
        service.read(conn)
        time.sleep(pause)
        end(conn)

    return then


def read_the_head_and(end):
    def then(_service, conn):
        conn.recv(16)
        end(conn)

    return then


def received_and(end):
    """Close after the request has come, without reading it."""

    def then(_service, conn):
        while not conn.recv(1, socket.MSG_PEEK):
            pass
        end(conn)

    return then


@pytest.fixture
def start(wire):
    running = []

    def start(then, context=None):
        running.append(Service(wire, then, context))
        return running[-1]

    yield start
    for service in running:
        service.close()


@pytest.fixture(scope="module")
def certificates():
    ca = trustme.CA()
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(theirs)
    ours = ssl.create_default_context()
    ca.configure_trust(ours)
    return theirs, ours


def ask_twice(mode, service, wire, *, retries, text="two", context=None, pause=0.05):
    """Return the second completion, or the error, and the observed events of both calls."""
    seen = []
    options = {
        "base_url": f"http{'s' if context else ''}://127.0.0.1:{service.port}/v1",
        "retries": RetryPolicy(max_attempts=retries, base_delay=0),
        "observers": [seen.append],
        "ssl": context,
        "timeout": 10,
    }
    if mode == "blocking":
        with Client(wire.token, **options) as client:
            client.chat("one")
            time.sleep(pause)
            try:
                return client.chat(text), seen
            except TransportError as error:
                return error, seen

    async def ask():
        async with AsyncClient(wire.token, **options) as client:
            await client.chat("one")
            await asyncio.sleep(pause)
            try:
                return await client.chat(text), seen
            except TransportError as error:
                return error, seen

    return asyncio.run(ask())


@pytest.fixture
def crossing(monkeypatch):
    """End the kept connection in the instant before the second request is written."""

    def arrange(service, end):
        written = []
        write = direct._write

        def late(*args):
            written.append(args)
            if len(written) == 2:
                end(service.kept)
                while not args[0].has_unread_data():
                    pass  # it has arrived, but the loop cannot read it before it writes
            write(*args)

        monkeypatch.setattr(direct, "_write", late)

    return arrange


MODES = pytest.mark.parametrize("mode", ["async", "blocking"])


@MODES
def test_a_connection_that_ended_while_idle_costs_no_attempt(start, wire, mode):
    service = start(ends_while_idle)
    reply, _ = ask_twice(mode, service, wire, retries=1)
    assert reply.text == "Hello"
    assert reply.response.attempts == ()
    assert service.took == ["one", "two"]


@LINUX
@MODES
@pytest.mark.parametrize("text", ["two", "two" * 100_000], ids=["small", "300 KB"])
def test_an_end_that_crosses_the_request_costs_no_attempt(start, crossing, wire, mode, text):
    service = start(never)
    crossing(service, fin)
    reply, seen = ask_twice(mode, service, wire, retries=1, text=text)
    assert reply.text == "Hello"
    assert reply.response.attempts == ()
    assert service.took == ["one", text[:9]]
    assert "AttemptFailed" not in [type(event).__name__ for event in seen]


@LINUX
@MODES
@pytest.mark.parametrize("end", [fin, notify_and_fin])
def test_an_end_that_crosses_the_request_over_tls_costs_no_attempt(
    start, crossing, certificates, wire, mode, end
):
    theirs, ours = certificates
    service = start(never, theirs)
    crossing(service, end)
    outcome, _ = ask_twice(mode, service, wire, retries=1, context=ours)
    if mode == "blocking" and end is fin and loop_factory() is not None:
        # uvloop reports an end without TLS's close_notify after it has closed the socket. The state
        # of the kernel's buffers is gone by then, so the request counts as lost.
        assert [one.failure for one in outcome.attempts] == ["lost"]
        assert service.took == ["one"]
        return
    assert outcome.text == "Hello"
    assert outcome.response.attempts == ()
    assert service.took == ["one", "two"]


def test_a_failed_write_costs_no_attempt(start, crossing, wire):
    # asyncio writes at once; uvloop, which the blocking client may run on, after this.
    service = start(never)
    crossing(service, rst)
    reply, _ = ask_twice("async", service, wire, retries=1)
    assert reply.text == "Hello"
    assert reply.response.attempts == ()


LOST = [
    pytest.param(read_and(fin, pause=0.5), id="read, worked on, closed"),
    pytest.param(read_and(rst, pause=0.5), id="read, worked on, reset"),
    pytest.param(read_and(fin), id="read, closed at once"),
    pytest.param(read_and(rst), id="read, reset at once"),
    pytest.param(read_the_head_and(fin), id="read in part, closed"),
    pytest.param(read_the_head_and(rst), id="read in part, reset"),
    pytest.param(received_and(fin), id="received, closed"),
    pytest.param(received_and(rst), id="received, reset"),
]


@MODES
@pytest.mark.parametrize("then", LOST)
def test_a_request_that_the_service_may_have_read_is_a_lost_attempt(start, wire, mode, then):
    service = start(then)
    error, seen = ask_twice(mode, service, wire, retries=1)
    assert isinstance(error, TransportError)
    assert [(one.failure, one.may_be_billed) for one in error.attempts] == [("lost", True)]
    assert service.took.count("two") <= 1
    assert [type(event).__name__ for event in seen].count("AttemptFailed") == 1


@pytest.mark.parametrize("then", LOST[:4])
def test_a_request_read_over_tls_is_a_lost_attempt(start, certificates, wire, then):
    theirs, ours = certificates
    service = start(then, theirs)
    error, _ = ask_twice("async", service, wire, retries=1, context=ours)
    assert isinstance(error, TransportError)
    assert [(one.failure, one.may_be_billed) for one in error.attempts] == [("lost", True)]
    assert service.took == ["one", "two"]


@MODES
def test_a_lost_request_is_sent_again_as_a_second_attempt(start, wire, mode):
    service = start(read_and(fin, pause=0.1))
    reply, _ = ask_twice(mode, service, wire, retries=2)
    assert reply.text == "Hello"
    assert [(one.failure, one.may_be_billed) for one in reply.response.attempts] == [("lost", True)]
    assert service.took == ["one", "two", "two"]
