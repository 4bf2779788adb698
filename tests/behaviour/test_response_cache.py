"""``cache=ResponseCache(path)``: the same request gets the stored response."""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import stat
import subprocess
import sys
import time

import pytest

from acechat import (
    AsyncClient,
    CallFinished,
    Client,
    RequestSent,
    ResponseCache,
    ServerError,
    StreamTruncatedError,
)
from acechat.emulator import Service, cut, fail, ok

TOKEN = "tok-secret-0123456789abcdef"


@pytest.fixture(scope="module")
def running():
    with Service(token=TOKEN) as service:
        yield service


@pytest.fixture
def service(running):
    running.reset()
    return running


@pytest.fixture
def cache(tmp_path):
    return ResponseCache(tmp_path / "cache")


@pytest.fixture(params=["async", "sync"])
def use(request, service, cache):
    """Return a function that calls each of *works* with a new client, and returns the results."""

    def run(*works, **options):
        options = {"base_url": service.url, "cache": cache} | options
        if request.param == "sync":
            results = []
            for work in works:
                with Client(TOKEN, **options) as client:
                    results.append(work(client))
            return results

        async def main():
            results = []
            for work in works:
                async with AsyncClient(TOKEN, **options) as client:
                    results.append(await work(client))
            return results

        return asyncio.run(main())

    return run


def chat(client):
    return client.chat("Hello")


def collect(client):
    return client.stream("Hello").collect()


def files(cache, count):
    """Return the files of the cache, once there are *count*: a thread writes them."""
    for _ in range(200):
        found = sorted(cache.path.glob("*"))
        if len(found) == count and not cache._pending:
            return found
        time.sleep(0.01)
    raise AssertionError(found)


@pytest.mark.parametrize("first", [chat, collect])
@pytest.mark.parametrize("second", [chat, collect])
def test_the_same_request_is_sent_once(use, service, cache, first, second):
    sent, stored = use(first, second)

    assert (sent.cached, stored.cached) == (False, True)
    assert stored.text == sent.text == 'You said: "Hello" (1 message)'
    assert stored.usage == sent.usage
    assert stored.trace_id == sent.trace_id
    assert len(service.requests) == 1
    files(cache, 1)


def test_deltas_of_a_stored_stream(service, cache):
    with Client(TOKEN, base_url=service.url, cache=cache) as client:
        live = list(client.stream("Hello").text())
        assert list(client.stream("Hello").text()) == live
    assert len(service.requests) == 1


@pytest.mark.parametrize(
    "other",
    [
        lambda client: client.chat("Hello!"),
        lambda client: client.chat("Hello", model="claude-opus-5"),
        lambda client: client.chat("Hello", temperature=0.5),
        lambda client: client.chat("Hello", system="Be brief."),
    ],
)
def test_another_request_is_sent(use, service, other):
    assert [reply.cached for reply in use(chat, other)] == [False, False]
    assert len(service.requests) == 2


def test_headers_and_order_of_fields_are_not_compared(use):
    first, second = use(
        lambda client: client.chat("Hello", temperature=0, top_p=1),
        lambda client: client.chat("Hello", top_p=1, temperature=0, extra_headers={"X-A": "b"}),
    )

    assert (first.cached, second.cached) == (False, True)


def test_it_is_off_by_default(use, service):
    assert [reply.cached for reply in use(chat, chat, cache=None)] == [False, False]
    assert len(service.requests) == 2


def test_a_stored_response_counts_nowhere(service, cache):
    events = []
    with Client(TOKEN, base_url=service.url, cache=cache, observers=[events.append]) as client:
        client.chat("Hello")
        before = client.meter.snapshot()
        events.clear()
        client.chat("Hello")
        assert client.meter.snapshot() == before
    assert not any(isinstance(event, RequestSent) for event in events)
    (finished,) = [event for event in events if isinstance(event, CallFinished)]
    assert (finished.usage, finished.cost) == (None, None)


async def passing(request, call_next):
    return await call_next(request)


async def reading(request, call_next):
    response = await call_next(request)
    await response.read()
    return response


@pytest.mark.parametrize("middleware", [passing, reading])
@pytest.mark.parametrize("work", [chat, collect])
def test_middleware_is_called_for_stored_responses_too(service, cache, middleware, work):
    called = []

    async def counting(request, call_next):
        called.append(request)
        return await middleware(request, call_next)

    options = {"base_url": service.url, "cache": cache, "middleware": [counting]}
    with Client(TOKEN, **options) as client:
        assert not work(client).cached
        before = client.meter.snapshot()
        assert before.calls == 1
        assert work(client).cached
        assert client.meter.snapshot() == before
    assert len(called) == 2
    assert len(service.requests) == 1


def test_failures_are_not_stored(use, service, cache):
    service.script(fail(503), fail(503), ok("Hello!"))

    with pytest.raises(ServerError):
        use(chat, retries=1)
    with pytest.raises(ServerError):
        use(chat, retries=1)
    assert not cache.path.exists()

    assert [reply.cached for reply in use(chat, chat)] == [False, True]


def test_the_response_after_a_retry_is_stored(use, service):
    service.script(fail(503), ok("Hello!"))

    replies = use(chat, chat)

    assert [reply.cached for reply in replies] == [False, True]
    assert [reply.text for reply in replies] == ["Hello!"] * 2
    assert (len(replies[0].response.attempts), len(replies[1].response.attempts)) == (1, 0)


def test_a_truncated_stream_is_not_stored(use, service, cache):
    service.script(cut(after=3))

    with pytest.raises(StreamTruncatedError):
        use(collect)

    assert not cache.path.exists()


def test_requests_for_an_output_type_are_stored(use, service):
    service.script(ok('{"no": 1}'), ok("[1, 2]"))
    work = lambda client: client.chat("Numbers", output_type=list[int])  # noqa: E731

    first, second = use(work, work)

    assert (first.output, second.output) == ([1, 2], [1, 2])
    assert (first.cached, second.cached) == (False, True)
    assert len(service.requests) == 2


def test_calls_that_are_free_are_not_stored(use, service, cache):
    use(lambda client: client.models(), lambda client: client.count_tokens("Hello"))

    assert not cache.path.exists()


def test_the_files_are_cassettes_for_their_owner_without_the_token(service, cache):
    with Client(TOKEN, base_url=service.url, cache=cache) as client:
        reply = client.chat(f"Is {TOKEN} secret?")
    (file,) = files(cache, 1)

    assert file.suffix == ".acecast"
    assert TOKEN.encode() not in file.read_bytes()
    assert TOKEN not in str(file)
    if os.name == "posix":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(cache.path.stat().st_mode) == 0o700
    service.reset()
    with Service(token=TOKEN, replay=file) as replayed, Client(TOKEN, base_url=replayed.url) as one:
        assert one.chat(f"Is {TOKEN} secret?").text == reply.text.replace(TOKEN, "*" * len(TOKEN))


def test_an_unreadable_file_is_replaced(use, cache, caplog):
    use(chat)
    (file,) = files(cache, 1)
    file.write_bytes(b"no cassette")

    with caplog.at_level(logging.WARNING, "acechat"):
        replies = use(chat, chat)

    assert [reply.cached for reply in replies] == [False, True]
    assert "cannot be read" in caplog.text


def test_a_folder_that_cannot_be_written_only_logs(use, service, cache, caplog):
    cache.path.write_text("a file")

    with caplog.at_level(logging.WARNING, "acechat"):
        (reply,) = use(chat)
        for _ in range(200):
            if not cache._pending:
                break
            time.sleep(0.01)

    assert reply.text
    assert "cache" in caplog.text


def test_a_large_response_is_stored(use, service):
    service.script(ok("x" * 2_000_000))

    first, second = use(chat, chat)

    assert second.cached
    assert second.text == first.text
    assert len(second.text) == 2_000_000


def test_clear_deletes_the_responses_and_nothing_else(use, cache):
    use(chat)
    files(cache, 1)
    other = cache.path / "mine.txt"
    other.write_text("x")

    cache.clear()

    assert list(cache.path.iterdir()) == [other]
    assert [reply.cached for reply in use(chat)] == [False]
    files(cache, 2)


def test_clearing_an_empty_cache(cache):
    cache.clear()
    assert repr(cache) == f"ResponseCache({str(cache.path)!r})"
    assert pickle.loads(pickle.dumps(cache)).path == cache.path


def test_the_home_folder_is_expanded():
    assert "~" not in str(ResponseCache("~/x").path)


def test_a_program_that_ends_at_once_has_stored_its_response(service, tmp_path):
    code = (
        "import sys; from acechat import Client, ResponseCache\n"
        f"client = Client({TOKEN!r}, base_url={service.url!r}, cache=ResponseCache(sys.argv[1]))\n"
        "print(client.chat('Hello').cached, flush=True)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "cache")]

    said = [
        subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2)
    ]

    assert said == ["False\n", "True\n"]


def test_a_client_with_a_cache_is_not_pickled(cache):
    with pytest.raises(TypeError, match="cache= "):
        pickle.dumps(AsyncClient("token", cache=cache))
