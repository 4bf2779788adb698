"""What stands around each call, against servers that nobody here wrote."""

import json
import os
import shutil
import subprocess
from time import monotonic

import pytest

from acechat import (
    AttemptFailed,
    Budget,
    BudgetExceededError,
    CallFailed,
    CallFinished,
    FirstToken,
    MaxTurnsError,
    NotFoundError,
    OverloadedError,
    RateLimit,
    RateLimitError,
    RequestSent,
    RetryPolicy,
    ToolFinished,
    ToolStarted,
)

pytestmark = pytest.mark.timeout(60, func_only=True)

GREETING = "Hello! How can I help you today? 你好 🌟"
PATIENT = RetryPolicy(max_attempts=3, base_delay=0.01)
TELLING = {"stream_options": {"include_usage": True}}
"""For streams; a whole answer ignores it."""

TOKEN = "sk-ace-master"
THINKING = "claude-sonnet-4-20250514-thinking"


# --- what was used


def test_a_meter_adds_up_what_the_server_counted(connect, aimock, either):
    caller = connect(aimock)
    for _ in range(3):
        assert getattr(caller, either)("Hello", **TELLING).usage.total_tokens == 20

    spent = caller.client.meter.snapshot()
    assert (spent.calls, spent.total_tokens) == (3, 60)
    assert (spent.prompt_tokens, spent.completion_tokens) == (24, 36)
    assert (spent.cost, spent.unpriced) == (None, 3)


def test_a_meter_counts_answers_whose_server_tells_no_usage(connect, ai_mock):
    caller = connect(ai_mock, "/openai")
    caller.collect("Hello")

    assert (caller.client.meter.calls, caller.client.meter.total_tokens) == (1, 0)


def test_a_spent_budget_refuses_before_anything_is_sent(connect, aimock, either, heard):
    caller = connect(aimock, budget=Budget(tokens=30))
    for _ in range(2):
        getattr(caller, either)("Hello", **TELLING)

    with pytest.raises(BudgetExceededError, match="30 tokens is used up: 40 were spent"):
        getattr(caller, either)("Hello", **TELLING)
    assert len(heard(caller)) == 2


def test_copies_share_the_meter_and_the_budget(connect, aimock):
    caller = connect(aimock, budget=Budget(tokens=10))
    caller.ask("Hello")
    caller.client = caller.client.with_options(model="claude-opus-4-20250514")

    with pytest.raises(BudgetExceededError):
        caller.ask("Hello")


# --- how fast


def test_a_retry_after_holds_back_the_next_call_of_a_limited_client(connect, aimock, either):
    caller = connect(aimock, rate_limit=RateLimit(requests_per_minute=6000))
    with pytest.raises(RateLimitError) as caught:
        getattr(caller, either)("Hello", model="claude-rate-limited")
    assert caught.value.retry_after == 1.0

    began = monotonic()
    assert getattr(caller, either)("Hello").text == GREETING
    assert 0.7 < monotonic() - began < 5


def test_without_a_limit_the_next_call_goes_at_once(connect, aimock, either):
    caller = connect(aimock)
    with pytest.raises(RateLimitError):
        getattr(caller, either)("Hello", model="claude-rate-limited")

    began = monotonic()
    getattr(caller, either)("Hello")
    assert monotonic() - began < 0.7


def test_a_refused_call_of_a_limited_client_waits_and_succeeds(connect, aimock, either, heard):
    limit = RateLimit(requests_per_minute=6000)
    caller = connect(aimock, model="claude-retry", retries=PATIENT, rate_limit=limit)

    assert getattr(caller, either)("Hello").text == "third time lucky"
    assert len(heard(caller)) == 3


# --- how an answer travels


def test_an_answer_is_the_same_by_stream_and_at_once(connect, aimock, heard):
    ways = {way: connect(aimock, streaming=way) for way in ("always", "never", "auto")}
    answers = {way: caller.ask("Hello") for way, caller in ways.items()}

    assert {reply.text for reply in answers.values()} == {GREETING}
    assert {reply.usage.total_tokens for reply in answers.values()} == {20}
    asked = {way: heard(caller)[0].get("stream", False) for way, caller in ways.items()}
    assert asked == {"always": True, "never": False, "auto": False}


@pytest.mark.parametrize(
    "options", [{"model": THINKING}, {"max_tokens": 32_000}, {"reasoning_effort": "high"}]
)
def test_what_may_take_long_rides_on_a_stream_and_tells_its_usage(connect, aimock, heard, options):
    caller = connect(aimock)
    reply = caller.ask("Hello", **options)

    assert reply.text
    assert reply.usage.total_tokens > 0
    (body,) = heard(caller)
    assert body["stream"] is True
    assert body["stream_options"] == {"include_usage": True}


def test_another_model_takes_over_from_one_that_stays_overloaded(connect, aimock, either, heard):
    models = ["claude-overloaded", "claude-opus-4-20250514"]
    caller = connect(aimock, model=models[0], fallback_models=models[1:], retries=2)
    reply = getattr(caller, either)("Hello")

    assert reply.text == GREETING
    assert reply.model == models[1]
    assert [attempt.model for attempt in reply.response.attempts] == [models[0]] * 2
    assert [body["model"] for body in heard(caller)] == [models[0], models[0], models[1]]


def test_where_no_model_is_left_the_error_tells_who_was_asked(connect, aimock, either):
    caller = connect(aimock, model="claude-overloaded", fallback_models=["claude-overloaded"])
    with pytest.raises(OverloadedError) as caught:
        getattr(caller, either)("Hello")
    assert [attempt.model for attempt in caught.value.attempts] == ["claude-overloaded"]


# --- who watches, and who stands between


def test_an_observer_hears_each_attempt(connect, aimock, either):
    events = []
    caller = connect(aimock, model="claude-retry", retries=PATIENT, observers=[events.append])
    getattr(caller, either)("Hello")

    kinds = [type(event) for event in events if not isinstance(event, FirstToken)]
    tried = [RequestSent, AttemptFailed]
    assert kinds == [*tried, *tried, RequestSent, CallFinished]
    assert [event.attempt for event in events if isinstance(event, RequestSent)] == [1, 2, 3]
    assert sum(isinstance(event, FirstToken) for event in events) == (either == "collect")
    assert TOKEN not in repr(events)


def test_an_observer_hears_how_a_call_failed(connect, aimock, either):
    events = []
    caller = connect(aimock, model="claude-rate-limited", observers=[events.append])
    with pytest.raises(RateLimitError):
        getattr(caller, either)("Hello")

    assert [type(event) for event in events] == [RequestSent, AttemptFailed, CallFailed]


def test_a_middlewares_header_arrives_with_each_attempt(connect, aimock, either, journal):
    tried = []

    async def sign(request, call_next):
        tried.append(request)
        return await call_next(request.with_headers({"X-Signed": f"by me, {len(tried)}"}))

    caller = connect(aimock, model="claude-retry", retries=PATIENT, middleware=[sign])
    assert getattr(caller, either)("Hello").text == "third time lucky"

    signed = [entry["headers"]["x-signed"] for entry in journal(caller)]
    assert signed == ["by me, 1", "by me, 2", "by me, 3"]
    assert not any("authorization" in {name.lower() for name in one.headers} for one in tried)


def test_a_middlewares_header_changes_what_ai_mock_answers(connect, ai_mock, either):
    async def script(request, call_next):
        return await call_next(request.with_headers({"mock-response": "as the middleware says"}))

    caller = connect(ai_mock, "/openai", middleware=[script])
    assert getattr(caller, either)("Hello").text == "as the middleware says"


# --- tools


def test_a_run_stream_tells_of_its_tools_while_they_work(connect, aimock, heard):
    def get_weather(city: str, note: str) -> str:
        return f"sunny in {city}"

    def get_time() -> str:
        return "12:00"

    events = []
    caller = connect(aimock)
    result = caller.run(
        "How is the weather?", tools=[get_weather, get_time], stream=True, into=events
    )

    assert result.text == "It is sunny."
    started = [event.call.function.name for event in events if isinstance(event, ToolStarted)]
    assert sorted(started) == ["get_time", "get_weather"]
    assert sum(isinstance(event, ToolFinished) for event in events) == 2
    assert all(body["stream"] for body in heard(caller))


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_tool_that_fails_is_told_to_the_server_in_its_place(connect, aimock, heard, stream):
    def get_weather(city: str, note: str) -> str:
        raise LookupError(f"no such city: {city}")

    caller = connect(aimock)
    result = caller.run("How is the weather?", tools=[get_weather], stream=stream)

    assert result.text == "It is sunny."
    told = [message for message in heard(caller)[1]["messages"] if message["role"] == "tool"]
    assert [message["tool_call_id"] for message in told] == ["call_w1", "call_w2"]
    assert told[0]["content"] == "Error: LookupError: no such city: Paris"
    assert told[1]["content"] == "Error: no tool is named 'get_time'; available tools: get_weather"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_server_that_always_calls_tools_ends_a_run_at_its_limit(connect, ai_mock, stream):
    def get_weather(city: str) -> str:
        return f"sunny in {city}"

    call = {"mock-response": 'f:{"name": "get_weather", "arguments": {"city": "Paris"}}'}
    caller = connect(ai_mock, "/openai", headers=call)
    with pytest.raises(MaxTurnsError) as caught:
        caller.run("Weather?", tools=[get_weather], max_turns=2, stream=stream)

    turns = caught.value.run.turns
    assert [turn.results[0].content for turn in turns] == ["sunny in Paris"] * 2


# --- a request as data


@pytest.mark.skipif(not shutil.which("curl"), reason="there is no curl here")
def test_a_prepared_request_is_what_curl_sends(connect, aimock, journal):
    caller = connect(aimock)
    prepared = caller.client.prepare(
        'It\'s "quoted" $HOME `id`\n你好 🌟', system="Be brief.", max_tokens=100
    )
    done = subprocess.run(
        ["bash", "-c", f"{prepared.curl()} --silent --show-error --fail --max-time 20"],
        env=os.environ | {"ACEDATACLOUD_API_TOKEN": TOKEN},
        capture_output=True,
        check=True,
    )
    assert json.loads(done.stdout)["choices"][0]["message"]["content"] == GREETING
    caller.ask(messages=prepared.json()["messages"], max_tokens=100)

    by_curl, by_us = journal(caller)
    assert by_curl["body"] == by_us["body"]
    assert by_curl["headers"]["content-type"] == by_us["headers"]["content-type"]
    assert by_curl["headers"]["user-agent"].startswith("curl/")


def test_a_server_that_cannot_count_tokens_is_not_found(connect, aimock):
    with pytest.raises(NotFoundError, match="Not found"):
        connect(aimock).count_tokens("Hello")
