"""No text that acechat can write contains the token: each error class, each writer.

A writer is a function of `WRITERS`, which takes a `Happened` and returns or yields text. A new
kind of output (a cassette, a report) needs a function here, which is tried on all failures.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import io
import logging
import pickle
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import pytest
from rich.console import Console
from rich.traceback import Traceback

import acechat
from acechat import AceChatError, AsyncClient, Budget, Client, RetryPolicy, Timeout, errors

WRITERS = {}
FAILURES = {}
NEVER_RAISED_HERE = {
    "AceChatError",  # the base; never raised itself
    "Attempt",  # no error, but a part of them
    # of bulk runs, whose texts are acechat's own, beside the error of the service as cause
    "BatchRowError",
    "BatchStoppedError",
    "JournalError",
}


def writes(function):
    """Add a writer, which is tried on all failures."""
    WRITERS[function.__name__] = function
    return function


@dataclass
class Happened:
    """One failure, and all that was logged and reported meanwhile."""

    error: AceChatError
    client: object
    logged: str = ""
    warned: list[str] = field(default_factory=list)


def chain(error):
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


@writes
def text(happened):
    for error in chain(happened.error):
        yield from (str(error), repr(error), repr(error.args), f"{error!s:>10}")
        yield repr(vars(error))
        yield repr(getattr(error, "__notes__", ()))


@writes
def attempts(happened):
    yield repr(happened.error.attempts)
    yield from (attempt.error for attempt in happened.error.attempts)


@writes
def partial(happened):
    if happened.error.partial is not None:
        yield repr(happened.error.partial)
        yield repr(happened.error.partial.to_dict())
        yield repr(happened.error.partial.response)


@writes
def runs(happened):
    if happened.error.run is not None:
        yield repr(happened.error.run)
        yield from (repr(turn.completion.to_dict()) for turn in happened.error.run)


@writes
def pickles(happened):
    for error in chain(happened.error):
        yield repr(pickle.dumps(error))
        yield repr(copy.deepcopy(error).__dict__)
    yield repr(pickle.dumps(happened.client))


@writes
def pythons_traceback_with_locals(happened):
    for error in chain(happened.error):
        told = traceback.TracebackException.from_exception(error, capture_locals=True)
        told.stack[:] = [frame for frame in told.stack if "/tests/" not in frame.filename]
        yield from told.format()


@writes
def richs_traceback_with_locals(happened):
    error = happened.error
    trace = Traceback.extract(
        type(error), error, error.__traceback__, show_locals=True, locals_max_string=None
    )
    for stack in trace.stacks:
        stack.frames = [frame for frame in stack.frames if "/tests/" not in frame.filename]
    console = Console(file=io.StringIO(), width=500)
    with mock.patch.object(Traceback, "_guess_lexer", return_value="text"):  # both modes take long
        console.print(Traceback(trace, show_locals=True, locals_max_string=None))
    yield console.file.getvalue()


@writes
def cassettes(happened):
    for save in (happened.error.save, happened.client.save_cassette):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "it.acecast"
            with contextlib.suppress(RuntimeError):  # nothing was sent
                save(path)
                yield path.read_text(encoding="utf-8")


@writes
def response_cache(happened):
    if happened.error.cassette is not None:
        with tempfile.TemporaryDirectory() as folder:
            cache = acechat.ResponseCache(folder)
            cache.store("0" * 32, happened.error.cassette.exchanges)
            while cache._pending:
                time.sleep(0.001)
            for path in Path(folder).iterdir():
                yield path.read_text(encoding="utf-8")


@writes
def logs(happened):
    yield happened.logged


@writes
def told_warnings(happened):
    yield from happened.warned


@writes
def the_client(happened):
    yield from (repr(happened.client), str(happened.client), repr(vars(happened.client)))


# ---- the failures, at least one for each class; the service echoes the token


def refused(status, code="x"):
    def set_up(server, wire):
        error = {"code": code, "message": wire.token, "type": wire.token}
        body = {"success": False, "error": error, "trace_id": wire.token}
        server.reply(wire.http(body, status, X_Echo=f"Bearer {wire.token}"))

    return set_up


def sent(make):
    return lambda server, wire: server.reply(make(wire))


def broken(make):
    def set_up(server, wire):
        async def handler(reader, writer, number):
            writer.write(make(wire))
            await writer.drain()
            writer.close()

        server.handler = handler

    return set_up


def fails(cls, set_up, *, name="", methods=("chat", "stream"), **options):
    FAILURES[f"{cls.__name__}{name and f', {name}'}"] = (cls, set_up, methods, options)


def held(server, wire):
    async def handler(reader, writer, number):
        await reader.read()

    server.handler = handler


fails(errors.ConfigurationError, held, temperature=float("nan"))
fails(errors.ConfigurationError, held, name="header", extra_headers={"X\r\nA": "1"})
fails(errors.ConnectError, held, base_url="http://127.0.0.1:1")
fails(errors.RequestTimeoutError, held, timeout=Timeout(first_token=0.2))
fails(errors.RequestTimeoutError, held, name="total", timeout=Timeout(total=0.2))
fails(errors.ClientClosedError, held, close_first=True)
fails(errors.TransportError, broken(lambda wire: wire.ok()[:-4]), methods=("chat",))
fails(errors.TransportError, broken(lambda wire: f"{wire.token}\r\n\r\n".encode()), name="no HTTP")
fails(errors.ProtocolError, sent(lambda wire: wire.http(wire.token.encode())))
fails(errors.ProtocolError, sent(lambda wire: wire.sse(f"data: {wire.token}\n\n".encode())),
      name="event")  # fmt: skip
fails(errors.StreamTruncatedError, sent(lambda wire: wire.sse(wire.delta("Hel"))))
fails(errors.StreamInterruptedError, broken(lambda wire: wire.sse(wire.delta("Hel"), end=False)),
      methods=("stream",))  # fmt: skip
fails(errors.APIError, refused("307 Elsewhere"))
fails(errors.BadRequestError, refused("400 No"))
fails(errors.ContextWindowExceededError, refused("400 No", "context_length_exceeded"))
fails(errors.APINotImplementedError, refused("400 No", "api_not_implemented"))
fails(errors.RequestTooLargeError, refused("413 No"))
fails(errors.AuthenticationError, refused("401 No"))
fails(errors.TokenMismatchError, refused("400 No", "token_mismatched"))
fails(errors.PermissionDeniedError, refused("403 No"))
fails(errors.InsufficientBalanceError, refused("403 No", "used_up"))
fails(errors.AccountDisabledError, refused("403 No", "disabled"))
fails(errors.ContentModerationError, refused("403 No", "forbidden"))
fails(errors.PaymentRequiredError, refused("402 No"))
fails(errors.NotFoundError, refused("404 No"))
fails(errors.RateLimitError, refused("429 No"))
fails(errors.ServerError, refused("500 No"))
fails(errors.OverloadedError, refused("503 No"))
fails(errors.GatewayTimeoutError, refused("504 No"))


def calls_a_tool(wire):
    call = {"id": "t-1", "type": "function", "function": {"name": "fall", "arguments": "{}"}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    return wire.http(wire.answer(choices=[choice]), X_Echo=f"Bearer {wire.token}")


def fall() -> str:
    """Fall."""
    raise ValueError("it fell")


echoing = sent(lambda wire: wire.ok(X_Echo=f"Bearer {wire.token}"))
fails(errors.BudgetExceededError, echoing, budget=Budget(tokens=1), after=1)
fails(errors.OutputError, echoing, output_type=int)
fails(errors.ModelMismatchError,
      sent(lambda wire: wire.http(wire.answer(model=f"model-{wire.token}"))),
      on_model_mismatch="raise", streaming="never", methods=("chat",))  # fmt: skip
fails(errors.MaxTurnsError, sent(calls_a_tool), methods=("run",), tools=[fall], max_turns=1)
fails(errors.ToolError, sent(calls_a_tool), methods=("run",), tools=[fall], raise_tool_errors=True)


CLIENT = ("base_url", "budget", "on_model_mismatch", "streaming")
"""Options that are arguments of the client."""


@pytest.fixture
def all_logs():
    """All log records, at DEBUG, as a formatter shows them."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s %(args)s"))
    loggers = [logging.getLogger(name) for name in ("", "acechat", "aiohttp", "asyncio")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    loggers[0].addHandler(handler)
    yield stream
    loggers[0].removeHandler(handler)
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.fixture
def happen(ask, server, wire, all_logs):
    """Make a failure happen; return it as a `Happened`."""

    def run(method, cls, set_up, options):
        set_up(server, wire)
        options = dict(options)
        settings = ask.options({"retries": RetryPolicy(max_attempts=2, base_delay=0)})
        settings |= {key: options.pop(key) for key in CLIENT if key in options}
        close_first = options.pop("close_first", False)
        calls = options.pop("after", 0) + 1
        client = (AsyncClient if ask.mode == "async" else Client)(**settings)

        async def call():
            if close_first:
                await client.aclose()
            try:
                for _ in range(calls):
                    if method == "stream":
                        await client.stream("Hi", **options).collect()
                    else:
                        await getattr(client, method)("Hi", **options)
            finally:
                await client.aclose()

        def wait():
            if close_first:
                client.close()
            with contextlib.closing(client):
                for _ in range(calls):
                    if method == "stream":
                        client.stream("Hi", **options).collect()
                    else:
                        getattr(client, method)("Hi", **options)

        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            with pytest.raises(cls) as caught:
                asyncio.run(call(), debug=True) if ask.mode == "async" else wait()
        return Happened(
            caught.value, client, all_logs.getvalue(), [str(one.message) for one in warned]
        )

    return run


@pytest.mark.leaves("blocking calls")  # asyncio's debug mode reads the sources that it shows
@pytest.mark.parametrize(
    ("failure", "method"),
    [(name, way) for name, (_, _, ways, _) in FAILURES.items() for way in ways],
)
def test_no_written_text_holds_the_token(happen, wire, monkeypatch, failure, method):
    cls, set_up, _, options = FAILURES[failure]
    # an unpickled client has another token
    monkeypatch.setenv("ACEDATACLOUD_API_TOKEN", "tok-of-the-environment")
    happened = happen(method, cls, set_up, options)
    leaks = {
        name: text[:2000]
        for name, write in WRITERS.items()
        for text in write(happened)
        if wire.token in text
    }
    assert not leaks


def test_every_error_class_is_covered():
    tried = {cls.__name__ for cls, *_ in FAILURES.values()}
    assert set(errors.__all__) - NEVER_RAISED_HERE == tried


@pytest.mark.leaves("blocking calls")  # as above
def test_a_leaking_writer_is_detected(happen, wire):
    happened = happen("chat", errors.AuthenticationError, refused("401 No"), {})
    happened.error.add_note(f"asked with {wire.token}")
    assert any(wire.token in one for one in text(happened))
    assert any(wire.token in one for one in pythons_traceback_with_locals(happened))
    happened.error.trace_id = wire.token
    assert any(wire.token in one for one in pickles(happened))


@pytest.mark.parametrize("python", [[], ["-X", "dev"]], ids=["usual", "dev"])
@pytest.mark.parametrize("failure", ["AuthenticationError", "ProtocolError", "BadRequestError"])
def test_the_command_line_does_not_show_the_token(server, wire, monkeypatch, failure, python):
    FAILURES[failure][1](server, wire)
    monkeypatch.setenv("ACEDATACLOUD_API_TOKEN", wire.token)
    monkeypatch.setenv("ACEDATACLOUD_API_BASE_URL", server.url)
    done = subprocess.run(
        [sys.executable, *python, "-m", "acechat", "chat", "Hello"],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 1
    assert done.stderr
    assert wire.token not in done.stdout + done.stderr


@pytest.mark.parametrize("kind", [AsyncClient, Client])
def test_requests_recorded_by_the_emulator_do_not_show_the_token(acechat_service, kind):
    settings = {"base_url": acechat_service.url, "api_token": acechat_service.token, "proxy": ""}

    async def call():
        async with AsyncClient(**settings) as client:
            await client.chat("Hello")

    if kind is AsyncClient:
        asyncio.run(call())
    else:
        with Client(**settings) as client:
            client.chat("Hello")
    (request,) = acechat_service.requests
    for written in (repr(request), repr(pickle.dumps(request)), repr(acechat_service)):
        assert acechat_service.token not in written
    assert acechat.__version__ in request.headers["user-agent"]


@pytest.mark.parametrize("size", [10, 1_100_000], ids=["small", "large"])
@pytest.mark.parametrize("way", ["cancel", "wait_for", "timeout"])
def test_an_interrupted_call_shows_no_token_in_its_traceback(server, wire, way, size):
    async def silent(reader, writer, number):
        await reader.read()

    async def end(call):
        if way == "wait_for":
            await asyncio.wait_for(call, 0.2)
        elif way == "timeout":
            async with asyncio.timeout(0.2):
                await call
        task = asyncio.create_task(call)
        await asyncio.sleep(0.2)
        task.cancel()
        await task

    async def ask():
        async with AsyncClient(wire.token, base_url=server.url, proxy="") as client:
            try:
                await end(client.chat("x" * size))
            except (TimeoutError, asyncio.CancelledError) as error:
                return error

    server.handler = silent
    ended = asyncio.run(ask())
    happened = Happened(ended, None, "", [])
    told = [*pythons_traceback_with_locals(happened)]
    if size < 1000:  # rich takes seconds for a megabyte
        told += richs_traceback_with_locals(happened)

    assert any("acechat" in text for text in told)
    assert not [text for text in told if wire.token in text]
