"""A server that sends the bytes of a test, and a client that is used async or sync.

Every test that uses them ends with a check of leaks: no open connection on the server, no pending
task, no complaint of asyncio.
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from acechat import AceChatError, AsyncClient, Client, RetryPolicy, Timeout
from benchmarks.conformance.raw_server import RawServer, reset
from benchmarks.conformance.wire import chunk, head, http, sse

# From 3.12 on, Python warns about a fork in a process with threads; these tests need it.
PYTHON = (sys.executable, "-W", "ignore:This process:DeprecationWarning")
TOKEN = "tok-secret-0123456789abcdef"
HERE = Path(__file__).parent


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "case(*ids): the cases of client_cases.json that a test is about"
    )


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.parent == HERE and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(30))


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


class Wire:
    """Bytes of HTTP and SSE."""

    token = TOKEN

    def answer(self, text="Hello", **more):
        """Return the JSON of a complete response."""
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        return {"id": "c-1", "object": "chat.completion", "created": 1, "model": "m"} | {
            "choices": [choice],
            "usage": usage,
            **more,
        }

    def http(self, body=b"", status="200 OK", kind="application/json", **headers):
        """Return a response with ``Content-Length``; a *body* that is not bytes is sent as JSON."""
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        return http(body, status, kind, **headers)

    head = staticmethod(head)
    chunk = staticmethod(chunk)
    sse = staticmethod(sse)

    def ok(self, text="Hello", **headers):
        """Return a complete response, as bytes."""
        return self.http(self.answer(text), **headers)

    def refusal(self, status="503 Service Unavailable", code="busy", **headers):
        """Make an error as AceData writes it."""
        error = {"code": code, "message": "not now"}
        return self.http({"success": False, "error": error, "trace_id": "t-1"}, status, **headers)

    def delta(self, text=None, finish=None, index=0, **fields):
        """Make one event of a stream."""
        delta = {"content": text} if text is not None else {}
        choice = {"index": index, "delta": delta, "finish_reason": finish}
        event = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        return b"data: %s\n\n" % json.dumps(event | {"choices": [choice]} | fields).encode()

    done = b"data: [DONE]\n\n"

    def events(self, *texts):
        """Return the body of a complete stream."""
        return b"".join(map(self.delta, texts)) + self.delta(finish="stop") + self.done

    def stream(self, *texts):
        """Return a complete streamed response, as bytes."""
        return self.sse(self.events(*(texts or ("Hel", "lo"))))


@pytest.fixture(scope="session")
def wire():
    return Wire()


class FaultServer(RawServer):
    """Responds with ``await handler(reader, writer, number)``, or with *answers*.

    Without a handler the n-th request gets the n-th of *answers*, and all further requests the
    last one. Connections stay open until a handler or the client closes them.
    """

    reset = staticmethod(reset)

    def __init__(self, ssl=None, handler=None, answers=(), on_connect=None):
        super().__init__(ssl)
        self.handler = handler
        self.answers = answers
        self.on_connect = on_connect
        self.requests = []

    @property
    def url(self):
        return f"{'https' if self._ssl else 'http'}://localhost:{self.port}"

    def reply(self, *answers):
        """Set the responses to the next requests."""
        self.answers = answers

    def gone(self, within=1.0):
        """Return whether the client closes all connections within *within* seconds."""
        until = time.monotonic() + within
        while self.open and time.monotonic() < until:
            time.sleep(0.005)
        return not self.open

    def wait_for(self, requests, within=2.0):
        """Wait until *requests* requests have arrived."""
        until = time.monotonic() + within
        while len(self.requests) < requests:
            assert time.monotonic() < until
            time.sleep(0.005)

    async def connected(self, reader, writer):
        if self.on_connect is not None:
            await self.on_connect(reader, writer)

    async def respond(self, request, reader, writer):
        self.requests.append(request)
        number = len(self.requests)
        if self.handler is not None:
            await self.handler(reader, writer, number)
        elif self.answers:
            writer.write(self.answers[min(number, len(self.answers)) - 1])
        await writer.drain()


@pytest.fixture
def make_server():
    servers = []

    def make(**options):
        server = FaultServer(**options)
        server.start()
        servers.append(server)
        return server

    yield make
    left = [server.connections for server in servers if not server.gone(3)]
    for server in servers:
        server.stop()
    assert not left, "the client left connections open"


@pytest.fixture
def server(make_server):
    return make_server()


@dataclass
class Streamed:
    """The content of a stream."""

    texts: list[str] = field(default_factory=list)
    completion: object = None
    error: AceChatError | None = None

    @property
    def text(self):
        return "".join(self.texts)


@pytest.fixture
def black_hole():
    """An address that takes no connection: its queue of connections is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = []
        for _ in range(4):
            sock = socket.socket()
            sock.settimeout(0)
            sock.connect_ex(listener.getsockname())
            waiting.append(sock)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        for sock in waiting:
            sock.close()


PATIENT = Timeout(total=8, connect=2, first_token=4, idle=4)
AT_ONCE = RetryPolicy(base_delay=0)


class Ask:
    """A client for one call, async or sync as the test's *mode*."""

    def __init__(self, mode, url):
        self.mode = mode
        self.url = url

    def options(self, given):
        return {
            "base_url": self.url,
            "api_token": TOKEN,
            "timeout": PATIENT,
            "retries": AT_ONCE,
            **given,
        }

    def chat(self, *content, client_options=None, **options):
        """Return the completion, or raise the error of the client."""
        return self.run("chat", *content, client_options=client_options, **options)

    def run(self, method, *content, client_options=None, **options):
        """Call any method."""
        settings = self.options(client_options or {})
        content = content or (("Hello",) if method == "chat" else ())
        if self.mode == "blocking":
            with Client(**settings) as client:
                return getattr(client, method)(*content, **options)

        async def call():
            async with AsyncClient(**settings) as client:
                return await getattr(client, method)(*content, **options)

        return self.in_loop(call())

    def stream(self, *content, client_options=None, **options):
        """Return the content that arrived, and the error that ended it."""
        settings = self.options(client_options or {})
        content = content or ("Hello",)
        got = Streamed()
        if self.mode == "blocking":
            with Client(**settings) as client:
                try:
                    with client.stream(*content, **options) as stream:
                        for delta in stream:
                            got.texts.append(str(delta))
                    got.completion = stream.completion
                except AceChatError as error:
                    got.error = error
            return got

        async def call():
            async with AsyncClient(**settings) as client:
                try:
                    async with client.stream(*content, **options) as stream:
                        async for delta in stream:
                            got.texts.append(str(delta))
                    got.completion = stream.completion
                except AceChatError as error:
                    got.error = error

        self.in_loop(call())
        return got

    @staticmethod
    def in_loop(coroutine):
        """Run it; no task may be left behind."""

        async def watched():
            try:
                return await coroutine
            finally:
                await asyncio.sleep(0)
                left = asyncio.all_tasks() - {asyncio.current_task()}
                assert not left

        return asyncio.run(watched())


@pytest.fixture(params=["async", "blocking"])
def mode(request):
    return request.param


@pytest.fixture
def ask(mode, server):
    return Ask(mode, server.url)


@pytest.fixture
def make_ask(mode):
    return lambda url: Ask(mode, url)


class Kept:
    """A client for several calls, async or sync as the test's *mode*."""

    def __init__(self, mode, settings):
        self._run = asyncio.Runner().run if mode == "async" else None
        self._client = (AsyncClient if self._run else Client)(**settings)

    def chat(self, *content, **options):
        """Return a completion."""
        answer = self._client.chat(*content, **options)
        return self._run(answer) if self._run else answer

    def collect(self, *content, **options):
        """Return a completion that was streamed."""
        answer = self._client.stream(*content, **options).collect()
        return self._run(answer) if self._run else answer

    def wait(self, seconds):
        """Give the client time to notice events on its connections."""
        if self._run:
            self._run(asyncio.sleep(seconds))
        else:
            time.sleep(seconds)

    def close(self):
        """Close the client, and its loop."""
        if self._run:
            self._run(self._client.aclose())
            self._run.__self__.close()
        else:
            self._client.close()


@pytest.fixture
def kept(ask):
    client = Kept(ask.mode, ask.options({}))
    yield client
    client.close()


@pytest.fixture
def either(ask):
    """Return the error of a call of either kind: ``either("stream")``."""

    def fails(method, **options):
        if method == "stream":
            error = ask.stream(**options).error
            assert error is not None, "the stream ended without an error"
            return error
        with pytest.raises(AceChatError) as caught:
            ask.chat(**options)
        return caught.value

    return fails


@pytest.fixture
def script(server, tmp_path):
    """Run a program of its own; URL is the server's. Return (exit code, stdout, stderr)."""

    def run(code, *, timeout=20, check=True, python=()):
        program = tmp_path / "program.py"
        head = f"URL = {server.url!r}\nTOKEN = {TOKEN!r}\n"
        program.write_text(head + textwrap.dedent(code))
        done = subprocess.run(
            [*PYTHON, *python, program],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check:
            assert (done.returncode, done.stderr) == (0, "")
        return done

    run.start = lambda code: _started(code, server, tmp_path)
    return run


def _started(code, server, tmp_path):
    program = tmp_path / "program.py"
    head = f"URL = {server.url!r}\nTOKEN = {TOKEN!r}\n"
    program.write_text(head + textwrap.dedent(code))
    return subprocess.Popen(
        [*PYTHON, program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.fixture
def unused_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]
