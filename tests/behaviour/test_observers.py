"""Events for observers and log records, async and sync, over real sockets."""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import pickle
import re
import warnings
from contextlib import suppress
from functools import partial

import pytest

from acechat import (
    AceChatError,
    AsyncClient,
    AttemptFailed,
    CallFailed,
    CallFinished,
    Client,
    FirstToken,
    Instrumentation,
    RateLimitError,
    RequestSent,
    RetryPolicy,
)
from acechat.emulator import cut, fail, ok, split, stall

TOKEN = "emulated-token"
SECRET = "the-secret-of-the-user"
BOTH = pytest.mark.parametrize("method", ["chat", "stream"])


@pytest.fixture
def watched(make_ask, acechat_service):
    """Call the emulator with an observer; return the events."""
    asking = make_ask(acechat_service.url)

    def run(method, *content, observers=None, **options):
        events = []
        settings = {"api_token": TOKEN, "observers": observers or [events.append]}
        with suppress(AceChatError):
            getattr(asking, method)(*content, client_options=settings, **options)
        return events

    return run


def kinds(events):
    return [type(event) for event in events]


def test_a_call_reports_its_start_and_end(watched):
    sent, finished = watched("chat", "Hello")

    assert (sent.attempt, sent.model, sent.method) == (1, "claude-sonnet-4-20250514", "POST")
    assert sent.path == "/chat/completions"
    assert sent.request_bytes > 50
    assert isinstance(finished, CallFinished)
    assert finished.call == sent.call
    assert finished.usage.total_tokens == 21
    assert (finished.status, finished.finish_reason, finished.attempts) == (200, "stop", 1)
    assert finished.trace_id
    assert finished.response_bytes > 100
    assert 0 <= sent.elapsed <= finished.elapsed < 5
    assert finished.first_token is None
    assert str(finished.cost.amount) == "0.000460451"


def test_a_stream_reports_its_first_token(watched):
    sent, first, finished = watched("stream", "Hello")

    assert kinds([sent, first, finished]) == [RequestSent, FirstToken, CallFinished]
    assert first.trace_id == finished.trace_id
    assert 0 < first.elapsed == finished.first_token <= finished.elapsed
    assert finished.usage.total_tokens == 21


def test_the_cost_is_reported_if_known(watched, acechat_service):
    cost = {"amount": 0.0012, "currency": "credits"}
    acechat_service.script(ok("Hi", usage={"total_tokens": 3, "cost": cost}))

    finished = watched("chat")[-1]

    assert (str(finished.cost.amount), finished.cost.currency) == ("0.0012", "credits")


@BOTH
def test_failed_attempts_and_retry_delays_are_reported(watched, acechat_service, method):
    acechat_service.script(fail(429, retry_after=0.01))

    events = watched(method)

    assert kinds(events)[:3] == [RequestSent, AttemptFailed, RequestSent]
    failed, sent = events[1:3]
    assert (failed.error, failed.status, failed.code) == (
        "RateLimitError",
        429,
        "too_many_requests",
    )
    assert (failed.failure, failed.retry_in, failed.may_be_billed) == ("refused", 0.01, False)
    assert sent.attempt == 2
    assert events[-1].attempts == 2
    assert len({event.call for event in events}) == 1


@BOTH
def test_a_failed_call_is_reported_once(watched, acechat_service, method):
    acechat_service.script(fail(401))

    sent, failed, ended = watched(method)

    assert kinds([sent, failed, ended]) == [RequestSent, AttemptFailed, CallFailed]
    assert failed.retry_in is None
    assert (ended.error, ended.status, ended.code) == ("AuthenticationError", 401, "invalid_token")
    assert (ended.attempts, ended.failure, ended.may_be_billed) == (1, "refused", False)


def test_a_truncated_stream_may_be_billed(watched, acechat_service):
    acechat_service.script(cut(after=4, of=ok("one two three four")))

    events = watched("stream")

    assert kinds(events) == [RequestSent, FirstToken, AttemptFailed, CallFailed]
    assert (events[-1].failure, events[-1].may_be_billed) == ("partial", True)


def test_an_unfinished_stream_is_reported_as_cancelled(acechat_service, mode):
    events = []
    settings = {"api_token": TOKEN, "base_url": acechat_service.url, "observers": [events.append]}
    acechat_service.script(stall(5, after=4, of=ok("one two three four")))

    if mode == "blocking":
        with Client(**settings) as client, client.stream("Hello") as stream:
            next(stream)
    else:

        async def leave():
            async with AsyncClient(**settings) as client, client.stream("Hello") as stream:
                await anext(stream)

        asyncio.run(leave())

    assert kinds(events) == [RequestSent, FirstToken, CallFailed]
    assert (events[-1].failure, events[-1].error) == ("cancelled", None)
    assert events[-1].may_be_billed


async def _dropped(client):
    async for _ in client.stream("Hello"):
        break


def test_a_dropped_stream_is_reported_as_cancelled(acechat_service):
    events = []
    acechat_service.script(stall(5, after=4, of=ok("one two three four")))

    async def main():
        async with AsyncClient(
            TOKEN, base_url=acechat_service.url, observers=[events.append]
        ) as client:
            await _dropped(client)
            gc.collect()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        asyncio.run(main())

    assert kinds(events) == [RequestSent, FirstToken, CallFailed]


def test_a_call_cancelled_while_waiting_for_a_slot_is_not_billed(acechat_service):
    events = []

    async def leave():
        async with AsyncClient(
            TOKEN, base_url=acechat_service.url, observers=[events.append], max_concurrency=1
        ) as client:
            first = asyncio.create_task(client.chat("Hello"))
            await asyncio.sleep(0.2)
            second = asyncio.create_task(client.chat("Hello"))
            await asyncio.sleep(0.1)
            second.cancel()
            await asyncio.wait([second])
            first.cancel()
            await asyncio.wait([first])

    acechat_service.script(stall(5, after=0, of=ok("never")))
    asyncio.run(leave())

    waiting, under_way = (event for event in events if isinstance(event, CallFailed))
    assert (waiting.failure, waiting.may_be_billed) == ("cancelled", False)
    assert (under_way.failure, under_way.may_be_billed) == ("cancelled", True)


def test_a_cancelled_call_may_be_billed(acechat_service):
    events = []
    acechat_service.script(stall(5, after=0, of=ok("never")))

    async def main():
        async with AsyncClient(
            TOKEN, base_url=acechat_service.url, observers=[events.append]
        ) as client:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.chat("Hello"), 0.2)

    asyncio.run(main())

    assert kinds(events) == [RequestSent, CallFailed]
    assert (events[-1].failure, events[-1].may_be_billed) == ("cancelled", True)


def test_an_unread_stream_reports_nothing(acechat_service):
    events = []

    async def main():
        async with AsyncClient(
            TOKEN, base_url=acechat_service.url, observers=[events.append]
        ) as client:
            client.stream("Hello")

    asyncio.run(main())

    assert events == []


def test_other_kinds_of_calls_are_reported(make_ask, acechat_service):
    events = []

    make_ask(acechat_service.url).run(
        "models", client_options={"api_token": TOKEN, "observers": [events.append]}
    )

    sent, finished = events
    assert (sent.method, sent.path, sent.model, sent.request_bytes) == ("GET", "/models", "", 0)
    assert finished.usage is None


@BOTH
def test_no_event_holds_content_or_the_token(watched, acechat_service, method):
    body = f'{{"error": {{"code": "x", "message": "{SECRET} {TOKEN}"}}}}'
    acechat_service.script(fail(500, body=body), ok(SECRET))

    events = watched(method, SECRET)

    told = repr(events) + repr([pickle.dumps(event) for event in events])
    assert len(events) >= 4
    assert SECRET not in told
    assert TOKEN not in told


@BOTH
@pytest.mark.parametrize("error", [RuntimeError, SystemExit, GeneratorExit])
def test_an_observer_that_raises_does_not_break_the_call_and_is_logged_once(
    make_ask, acechat_service, caplog, method, error
):
    heard = []

    def broken(event):
        raise error("no disk")

    reply = getattr(make_ask(acechat_service.url), method)(
        client_options={"api_token": TOKEN, "observers": [broken, heard.append]}
    )

    assert reply.text
    assert len(heard) == (2 if method == "chat" else 3)
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.name for record in errors] == ["acechat"]
    assert "no disk" in caplog.text


def test_copies_have_the_same_observers(acechat_service):
    events = []
    with Client(TOKEN, base_url=acechat_service.url, observers=[events.append]) as client:
        client.with_options(retries=1).chat("Hello")

    assert len(events) == 2


@pytest.mark.parametrize("cls", [AsyncClient, Client])
@pytest.mark.parametrize("name", ["observers", "middleware"])
def test_a_client_with_callbacks_does_not_pickle(cls, name):
    client = cls("token", **{name: [print]})

    with pytest.raises(TypeError, match=f"{name}="):
        pickle.dumps(client)


@pytest.mark.parametrize("cls", [AsyncClient, Client])
def test_an_invalid_observer_is_rejected(cls):
    async def observer(event):
        """Would never be awaited."""

    class Observer:
        async def __call__(self, event):
            """Neither would this."""

    for wrong in (observer, Observer(), partial(observer, 1), 5, "print"):
        with pytest.raises(TypeError, match="an observer must be a plain function"):
            cls("token", observers=[wrong])


# the log


def test_calls_are_logged_at_debug(make_ask, acechat_service, caplog):
    caplog.set_level(logging.DEBUG, "acechat")

    make_ask(acechat_service.url).chat(SECRET, client_options={"api_token": TOKEN})

    sent, finished = (record.getMessage() for record in caplog.records if record.name == "acechat")
    assert "RequestSent attempt=1" in sent
    assert "model=claude-sonnet-4-20250514" in sent
    assert "CallFinished" in finished
    assert re.search(r"tokens=\d\d ", finished)
    assert SECRET not in caplog.text
    assert TOKEN not in caplog.text


def test_successful_calls_are_not_logged_above_debug(make_ask, acechat_service, caplog):
    caplog.set_level(logging.INFO, "acechat")

    make_ask(acechat_service.url).chat(client_options={"api_token": TOKEN})

    assert not [record for record in caplog.records if record.name == "acechat"]


def test_a_retry_is_logged_at_info(make_ask, acechat_service, caplog):
    caplog.set_level(logging.INFO, "acechat")
    acechat_service.script(fail(503))

    make_ask(acechat_service.url).chat(client_options={"api_token": TOKEN})

    (record,) = (record for record in caplog.records if record.name == "acechat")
    assert record.levelno == logging.INFO
    assert "AttemptFailed" in record.getMessage()


def test_a_retry_that_may_be_billed_twice_is_logged_as_a_warning(make_ask, server, wire, caplog):
    caplog.set_level(logging.INFO, "acechat")
    numbers = itertools.count(1)

    async def handler(reader, writer, number):
        if next(numbers) == 1:
            writer.close()
        else:
            writer.write(wire.ok())

    server.handler = handler

    make_ask(server.url).chat()

    (record,) = (record for record in caplog.records if record.name == "acechat")
    assert record.levelno == logging.WARNING
    assert "may_be_billed=True" in record.getMessage()


def test_without_logging_configuration_no_output_is_written(script, server, wire):
    server.reply(wire.refusal(), wire.ok())

    done = script("""
        from acechat import Client, RetryPolicy
        with Client(TOKEN, base_url=URL, retries=RetryPolicy(base_delay=0)) as client:
            print(client.chat("Hello").text)
    """)

    assert (done.stdout, done.stderr) == ("Hello\n", "")


# no observer


def test_without_an_observer_a_successful_call_creates_no_event(
    make_ask, acechat_service, monkeypatch
):
    made = []
    monkeypatch.setattr("acechat._core.reporter.CallReporter.__init__", lambda *_: made.append(1))
    asking = make_ask(acechat_service.url)

    asking.chat(client_options={"api_token": TOKEN})
    assert asking.stream(client_options={"api_token": TOKEN}).completion

    assert made == []


def test_a_call_rejected_before_sending_reports_nothing(acechat_service):
    events = []
    with (
        Client(TOKEN, base_url=acechat_service.url, observers=[events.append]) as client,
        pytest.raises(TypeError),
    ):
        client.chat("Hello", max_token=3)

    assert events == []


def test_observers_receive_the_last_attempt_when_retries_are_used_up(acechat_service):
    events = []
    acechat_service.script(fail(429), fail(429))
    with (
        Client(
            TOKEN,
            base_url=acechat_service.url,
            observers=[events.append],
            retries=RetryPolicy(max_attempts=2, base_delay=0),
        ) as client,
        pytest.raises(RateLimitError),
    ):
        client.chat("Hello")

    assert kinds(events) == [RequestSent, AttemptFailed, RequestSent, AttemptFailed, CallFailed]
    assert [event.attempt for event in events[:4]] == [1, 1, 2, 2]
    assert events[-1].attempts == 2


class Counting(Instrumentation):
    """Counts chunks, and the calls that they belong to."""

    def __init__(self):
        self.counts = []
        self.calls = set()

    def __call__(self, event):
        """Receive an event."""

    def chunks_received(self, call, count):
        self.calls.add(call)
        self.counts.append(count)


class Uninterested(Instrumentation):
    def __call__(self, event):
        """Receive an event."""


class Brief(Instrumentation):
    success_events = False

    def __init__(self):
        self.events = []
        self.completions = []

    def __call__(self, event):
        self.events.append(event)

    def call_ended(self, call, completion, error):
        self.completions.append(completion)


@BOTH
def test_success_is_not_reported_to_an_instrumentation_that_reads_completions(
    watched, acechat_service, method
):
    observer = Brief()
    acechat_service.script(fail(429, retry_after=0.01), ok("Hi"), fail(401))

    watched(method, "Hello", observers=[observer])
    watched(method, "Hello", observers=[observer])

    streamed = [FirstToken] if method == "stream" else []
    assert kinds(observer.events) == [AttemptFailed, *streamed, AttemptFailed, CallFailed]
    first, second = observer.completions
    assert (first.text, len(first.response.attempts)) == ("Hi", 1)
    assert second is None


def test_success_is_reported_to_the_others_beside_such_an_instrumentation(watched):
    observer, events = Brief(), []

    watched("chat", "Hello", observers=[observer, events.append])

    assert kinds(events) == [RequestSent, CallFinished]


def test_success_is_logged_beside_such_an_instrumentation(watched, caplog):
    caplog.set_level(logging.DEBUG, "acechat")

    watched("chat", "Hello", observers=[Brief()])

    assert [record.getMessage().split()[2] for record in caplog.records] == [
        "RequestSent",
        "CallFinished",
    ]


def test_cancelled_requests_of_such_an_instrumentation_count_as_sent(watched, acechat_service):
    observer = Brief()
    acechat_service.script(stall(5, of=ok("Hi")))

    async def main():
        async with AsyncClient(TOKEN, base_url=acechat_service.url, observers=[observer]) as client:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.chat("Hello"), 0.3)

    asyncio.run(main())

    (failed,) = observer.events
    assert (failed.failure, failed.may_be_billed) == ("cancelled", True)


@pytest.mark.parametrize("size", [None, 7], ids=["whole events", "bytes"])
def test_an_instrumentation_receives_the_number_of_chunks(watched, acechat_service, size):
    observer, other = Counting(), Uninterested()
    words = ok(["one ", "two ", "three"])
    acechat_service.script(words if size is None else split(size, of=words))

    watched("stream", "Hello", observers=[observer, other])

    assert len(observer.calls) == 1
    assert min(observer.counts) >= 1
    assert (
        sum(observer.counts) == 7
    )  # the role, an empty text, three words, the finish reason, the usage


def test_an_instrumentation_receives_no_chunks_of_a_call_that_is_not_streamed(watched):
    observer = Counting()

    watched("chat", "Hello", observers=[observer])

    assert observer.counts == []


def test_the_chunks_are_not_counted_for_observers_that_ignore_them(watched, monkeypatch):
    counted = []
    monkeypatch.setattr("acechat._core.reporter.CallReporter.chunks", counted.append)

    watched("stream", "Hello", observers=[Uninterested(), counted.append])

    assert [type(event) for event in counted] == [RequestSent, FirstToken, CallFinished]
