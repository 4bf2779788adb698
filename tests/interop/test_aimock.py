"""aimock (npm, by CopilotKit): a mock of the OpenAI API that can fail in many ways."""

import json
from base64 import b64decode
from copy import deepcopy
from time import monotonic

import msgspec
import pytest

from acechat import AsyncClient, Output, RetryPolicy, Timeout, image
from acechat.errors import (
    AuthenticationError,
    BadRequestError,
    NotFoundError,
    ProtocolError,
    RateLimitError,
    RequestTimeoutError,
    ServerError,
    StreamInterruptedError,
    TransportError,
)

pytestmark = pytest.mark.timeout(60, func_only=True)

GREETING = "Hello! How can I help you today? 你好 🌟"
UNICODE = "a\u2028b\u0085c\u2029d 你好🌟 \n\ndata: [DONE]\n\n end"
PATIENT = RetryPolicy(max_attempts=3, base_delay=0.01)
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
    for name in ("get_weather", "get_time")
]
DOT = b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)


def test_chat_returns_the_answer_and_how_it_came(connect, aimock):
    reply = connect(aimock).ask("Hello")
    assert reply.text == GREETING
    assert reply.finish_reason == "stop"
    assert reply.usage.total_tokens == 20
    assert reply.response.status == 200
    assert reply.response.attempts == ()
    assert reply.trace_id.startswith("req-")


@pytest.mark.parametrize(
    ("words", "model", "options"),
    [
        ("Hello", "claude-sonnet-4-20250514", {}),
        ("Hello", "claude-sonnet-4-20250514-thinking", {}),
        ("weather", "claude-sonnet-4-20250514", {"tools": TOOLS}),
        ("length", "claude-sonnet-4-20250514", {"max_tokens": 5}),
        ("unicode", "claude-sonnet-4-20250514", {}),
        ("Hello", "claude-sonnet-4-20250514", {"response_format": {"type": "json_object"}}),
    ],
    ids=["plain", "thinking", "tools", "length", "unicode", "json"],
)
def test_a_stream_adds_up_to_what_chat_returns(connect, aimock, words, model, options):
    caller = connect(aimock, model=model)
    whole = caller.ask(words, **options)
    streamed = caller.collect(words, stream_options={"include_usage": True}, **options)
    assert streamed.choices == whole.choices
    assert streamed.usage == whole.usage
    assert (streamed.model, streamed.system_fingerprint) == (model, whole.system_fingerprint)
    assert streamed.trace_id.startswith("req-")


def test_deltas_add_up_to_the_text(connect, aimock):
    deltas = []
    completion = connect(aimock).collect("Hello", into=deltas)
    assert len(deltas) > 5
    assert "".join(map(str, deltas)) == completion.text == GREETING


def test_reasoning_comes_before_the_role_and_the_text(connect, aimock):
    deltas = []
    caller = connect(aimock, model="claude-sonnet-4-20250514-thinking")
    completion = caller.collect("Sine of 30 degrees?", into=deltas)
    assert deltas[0].reasoning_content == "The sine of 30 degre"
    assert deltas[-1].content == completion.text == "**1/2**"
    assert completion.reasoning == "The sine of 30 degrees is a well-known value."


def test_tool_calls_are_put_together_from_their_pieces(connect, aimock, heard):
    deltas = []
    caller = connect(aimock)
    completion = caller.collect("How is the weather?", tools=TOOLS, into=deltas)
    weather, clock = completion.tool_calls
    assert (weather.id, weather.function.name) == ("call_w1", "get_weather")
    assert json.loads(weather.function.arguments) == {"city": "Paris", "note": "é 你好 🌟"}
    assert (clock.id, clock.function.name, clock.function.arguments) == (
        "call_w2",
        "get_time",
        "{}",
    )
    assert completion.finish_reason == "tool_calls"
    assert completion.text == ""
    assert sum(1 for delta in deltas if delta.tool_calls) > 4
    assert heard(caller)[0]["tools"] == TOOLS


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_run_calls_the_tools_until_the_answer(connect, aimock, heard, stream):
    async def get_weather(city: str, note: str) -> str:
        """Forecast the weather."""
        return f"sunny in {city} {note}"

    def get_time() -> str:
        return "12:00"

    caller = connect(aimock)
    result = caller.run("How is the weather?", tools=[get_weather, get_time], stream=stream)

    assert result.text == "It is sunny."
    told = [one.content for turn in result for one in turn.results]
    assert told == ["sunny in Paris \u00e9 \u4f60\u597d \U0001f31f", "12:00"]
    first, second = heard(caller)
    assert [tool["function"]["name"] for tool in first["tools"]] == ["get_weather", "get_time"]
    assert [message["role"] for message in second["messages"]] == [
        "user",
        "assistant",
        "tool",
        "tool",
    ]


def test_a_tool_result_gets_its_answer(connect, aimock, either):
    caller = connect(aimock)
    question = {"role": "user", "content": "How is the weather?"}
    calls = caller.ask(messages=[question], tools=TOOLS).message
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": "sunny"} for call in calls.tool_calls
    ]
    answer = getattr(caller, either)(messages=[question, calls, *results], tools=TOOLS)
    assert answer.text == "It is sunny."


def test_an_image_travels_in_the_request(connect, aimock, either, heard):
    caller = connect(aimock)
    assert getattr(caller, either)("What is this?", image(DOT)).text == GREETING
    words, picture = heard(caller)[0]["messages"][0]["content"]
    assert words == {"type": "text", "text": "What is this?"}
    kind, _, data = picture["image_url"]["url"].partition(",")
    assert (kind, b64decode(data)) == ("data:image/png;base64", DOT)


def test_text_that_looks_like_the_protocol_is_only_text(connect, aimock, either, heard):
    caller = connect(aimock)
    said = f"unicode {UNICODE}"
    assert getattr(caller, either)(said).text == UNICODE
    assert heard(caller)[0]["messages"] == [{"role": "user", "content": said}]


def test_a_character_that_the_server_splits_over_two_events_is_joined(connect, aimock):
    assert connect(aimock, model="claude-halves").collect("Hello").text == "one two\U0001f31f"


def test_models_are_listed(connect, aimock):
    names = [model.id for model in connect(aimock).models()]
    assert "claude-sonnet-4-20250514-thinking" in names


# --- structured output


class Plan(msgspec.Struct):
    title: str
    days: int
    steps: list[str]


def test_a_type_is_answered_with_after_it_was_asked_for_again(connect, aimock, heard):
    caller = connect(aimock)
    reply = caller.ask("Plan a picnic", output_type=Plan)
    assert reply.output == Plan("Picnic é 你", 2, ["pack", "eat"])
    assert reply.tool_calls == []
    first, second = heard(caller)
    assert first["tool_choice"] == {"type": "function", "function": {"name": "answer"}}
    assert "Expected `int`, got `str` - at `$.days`" in second["messages"][-1]["content"]


def test_a_streamed_type_is_the_same_as_a_whole_one(connect, aimock, either):
    reply = getattr(connect(aimock), either)("Plan an outing", output_type=Plan)
    assert reply.output == Plan("Outing", 1, ["walk"])


@pytest.mark.parametrize("strategy", ["json_schema", "prompt"])
def test_a_type_is_answered_with_however_it_was_asked_for(connect, aimock, either, heard, strategy):
    caller = connect(aimock)
    asked = Output(Plan, strategy=strategy)
    reply = getattr(caller, either)("Plan a voyage", system="Be brief.", output_type=asked)
    assert reply.output == Plan("Voyage", 4, ["sail"])
    (body,) = heard(caller)
    assert "tools" not in body
    assert ("response_format" in body) == (strategy == "json_schema")


@pytest.mark.parametrize("kind", [Plan, Plan | None], ids=str)
def test_a_type_is_seen_while_it_is_being_told(connect, aimock, kind):
    seen, reply = partials_of(connect(aimock), "Plan a trek", output_type=Output(kind))
    title, steps = "Trek é 你 🌟", ["up", "down"]
    states = [
        {},
        {"title": title},
        {"title": title, "days": 3},
        *({"title": title, "days": 3, "steps": steps[:some]} for some in range(3)),
    ]
    assert len(seen) > 2
    assert [value for value in states if value in seen] == seen
    assert seen[-1] == states[-1]
    assert reply.output == Plan(title, 3, steps)


def test_a_type_that_is_told_as_text_is_seen_too(connect, aimock):
    asked = Output(Plan, strategy="prompt")
    caller = connect(aimock)
    seen, reply = partials_of(caller, "Plan a voyage", system="Be brief.", output_type=asked)
    assert seen[-1] == {"title": "Voyage", "days": 4, "steps": ["sail"]}
    assert reply.output == Plan("Voyage", 4, ["sail"])


def partials_of(caller, *content, **options):
    """Return each state of the JSON that was seen, and the answer."""

    async def read():
        async with caller.client.stream(*content, **options) as stream:
            seen = [deepcopy(value) async for value in stream.partials()]
        return seen, stream.completion

    if isinstance(caller.client, AsyncClient):
        return caller._run(read)
    with caller.client.stream(*content, **options) as stream:
        return [deepcopy(value) for value in stream.partials()], stream.completion


# --- refusals


def test_a_wrong_token_is_named_and_not_shown(connect, aimock, either, heard):
    caller = connect(aimock, api_token="sk-wrong-0123456789abcdef", retries=PATIENT)
    with pytest.raises(AuthenticationError) as caught:
        getattr(caller, either)("Hello")
    error = caught.value
    assert (error.status, error.code) == (401, "invalid_api_key")
    assert error.trace_id.startswith("req-")
    assert "sk-wrong" not in f"{error!s}{error!r}{vars(error)}"
    assert [attempt.failure for attempt in error.attempts] == ["refused"]
    assert heard(caller) == []


def test_a_bad_request_is_told_in_the_servers_words(connect, aimock, either):
    caller = connect(aimock, retries=PATIENT)
    with pytest.raises(BadRequestError, match="Missing required parameter: 'messages'") as caught:
        getattr(caller, either)("Hello", extra_body={"messages": "none"})
    assert caught.value.status == 400
    assert len(caught.value.attempts) == 1


def test_an_address_that_is_not_there_is_not_found(connect, aimock):
    with pytest.raises(NotFoundError, match="Not found"):
        connect(aimock, "/nowhere").models()


def test_a_rate_limit_tells_how_long_to_wait(connect, aimock, either):
    with pytest.raises(RateLimitError) as caught:
        getattr(connect(aimock, model="claude-rate-limited"), either)("Hello")
    error = caught.value
    assert (error.status, error.code, error.retry_after) == (429, "too_many_requests", 1.0)


def test_refusals_are_retried_until_the_answer_comes(connect, aimock, either, heard):
    caller = connect(aimock, model="claude-retry", retries=PATIENT)
    reply = getattr(caller, either)("Hello")
    assert reply.text == "third time lucky"
    first, second = reply.response.attempts
    assert (first.failure, first.error[:15]) == ("refused", "RateLimitError:")
    assert (second.failure, second.error[:16]) == ("refused", "OverloadedError:")
    assert reply.response.elapsed > 1.0, "Retry-After: 1 was not obeyed"
    assert len(heard(caller)) == 3


@pytest.mark.parametrize(("model", "code"), [("500", "api_error"), ("drop", "chaos_drop")])
def test_a_server_that_always_fails_is_a_server_error(connect, aimock, either, heard, model, code):
    caller = connect(aimock, model=f"claude-{model}", retries=PATIENT)
    with pytest.raises(ServerError) as caught:
        getattr(caller, either)("Hello")
    assert (caught.value.status, caught.value.code) == (500, code)
    assert len(caught.value.attempts) == len(heard(caller)) == 3


# --- answers that are none, or not whole


def test_json_that_is_none_is_an_error_and_not_asked_for_again(connect, aimock, either, heard):
    caller = connect(aimock, model="claude-malformed", retries=PATIENT)
    with pytest.raises(ProtocolError) as caught:
        getattr(caller, either)("Hello")
    assert caught.value.body.startswith(b"{malformed json")
    assert len(heard(caller)) == 1


def test_a_server_that_hangs_up_is_asked_again(connect, aimock, either, heard):
    caller = connect(aimock, model="claude-hangup", retries=PATIENT)
    with pytest.raises(TransportError) as caught:
        getattr(caller, either)("Hello")
    assert [attempt.failure for attempt in caught.value.attempts] == ["lost"] * 3
    assert len(heard(caller)) == 3


def test_a_stream_that_ends_before_its_first_byte_is_asked_for_again(connect, aimock, heard):
    caller = connect(aimock, model="claude-empty", retries=PATIENT)
    with pytest.raises(TransportError) as caught:
        caller.collect("Hello")
    assert [attempt.failure for attempt in caught.value.attempts] == ["lost"] * 3
    assert len(heard(caller)) == 3


@pytest.mark.parametrize("model", ["claude-truncated", "claude-disconnect"])
def test_a_cut_stream_is_an_error_with_what_had_arrived(connect, aimock, heard, model):
    deltas = []
    caller = connect(aimock, model=model, retries=PATIENT)
    with pytest.raises(StreamInterruptedError) as caught:
        caller.collect("Hello", into=deltas)
    partial = caught.value.partial
    assert partial.text.startswith("This ")
    assert partial.text == "".join(map(str, deltas))
    assert partial.finish_reason is None
    assert caught.value.received > 0
    assert [attempt.failure for attempt in caught.value.attempts] == ["partial"]
    assert len(heard(caller)) == 1


# --- time


def test_a_late_answer_passes_the_limit_and_is_not_paid_for_twice(connect, aimock, either):
    began = monotonic()
    caller = connect(aimock, model="claude-late", timeout=Timeout(first_token=0.3), retries=PATIENT)
    with pytest.raises(RequestTimeoutError) as caught:
        getattr(caller, either)("Hello")
    assert caught.value.phase == "first_token"
    assert [attempt.failure for attempt in caught.value.attempts] == ["timed_out"]
    assert monotonic() - began < 1.2


def test_a_stream_whose_first_word_is_late_passes_the_limit(connect, aimock):
    caller = connect(aimock, model="claude-slow", timeout=Timeout(first_token=0.3))
    with pytest.raises(RequestTimeoutError) as caught:
        caller.collect("Hello")
    assert caught.value.phase == "first_token"


def test_a_slow_stream_within_its_limits_is_whole(connect, aimock):
    caller = connect(aimock, model="claude-slow", timeout=Timeout(first_token=5, idle=2, total=10))
    assert caller.collect("Hello").text == "slow and steady wins"


@pytest.mark.parametrize(
    ("timeout", "phase"), [(Timeout(idle=0.5), "idle"), (Timeout(total=0.7), "total")]
)
def test_a_stream_that_stalls_passes_the_limit_with_what_had_arrived(
    connect, aimock, timeout, phase
):
    began = monotonic()
    deltas = []
    caller = connect(aimock, model="claude-stalls", timeout=timeout, retries=PATIENT)
    with pytest.raises(RequestTimeoutError) as caught:
        caller.collect("Hello", into=deltas)
    assert caught.value.phase == phase
    assert caught.value.partial.text == "".join(map(str, deltas)) == "Once upon "
    assert monotonic() - began < 2.0


def test_a_client_works_on_after_every_kind_of_failure(connect, aimock):
    caller = connect(aimock, timeout=Timeout(total=5, first_token=0.5))
    for model in ("drop", "malformed", "hangup", "empty", "disconnect", "late", "rate-limited"):
        with pytest.raises((TransportError, ProtocolError, ServerError, RateLimitError)):
            caller.collect("Hello", model=f"claude-{model}")
        assert caller.ask("Hello").text == GREETING
