"""`chat` on an internal stream, and fallback models, async and sync."""

from __future__ import annotations

from decimal import Decimal

import pytest

from acechat import (
    AuthenticationError,
    Budget,
    BudgetExceededError,
    CallFailed,
    CallFinished,
    Client,
    ConfigurationError,
    Output,
    OverloadedError,
    RetryPolicy,
    ServerError,
)
from acechat._wire.request import reads_as_stream
from acechat.emulator import fail, ok

TOKEN = "emulated-token"
BOTH = pytest.mark.parametrize("method", ["chat", "stream"])


@pytest.fixture
def asking(make_ask, acechat_service):
    one = make_ask(acechat_service.url)

    def run(method="chat", *, client_options=None, **options):
        settings = {"api_token": TOKEN, **(client_options or {})}
        if method == "chat":
            return one.chat(client_options=settings, **options)
        got = one.stream(client_options=settings, **options)
        if got.error:
            raise got.error
        return got.completion

    return run


@pytest.mark.parametrize(
    ("streaming", "model", "options", "rides"),
    [
        ("auto", "claude-sonnet-4-20250514", {}, False),
        ("auto", "claude-sonnet-4-20250514", {"max_tokens": 4096}, False),
        ("auto", "claude-sonnet-4-20250514", {"max_tokens": 4097}, True),
        ("auto", "claude-sonnet-4-20250514", {"max_completion_tokens": 64_000}, True),
        ("auto", "claude-sonnet-4-20250514", {"max_tokens": None}, False),
        ("auto", "claude-sonnet-4-20250514", {"reasoning_effort": "low"}, True),
        ("auto", "claude-sonnet-4-20250514-thinking", {}, True),
        ("auto", "claude-opus-5", {}, True),
        ("never", "claude-sonnet-4-20250514-thinking", {"max_tokens": 64_000}, False),
        ("always", "claude-sonnet-4-20250514", {}, True),
    ],
)
def test_auto_streams_reasoning_models_and_long_outputs(streaming, model, options, rides):
    assert reads_as_stream(streaming, model, options) is rides


@pytest.mark.parametrize(
    "answer",
    [
        ok("Hello there"),
        ok("Hello", reasoning="They greet."),
        ok("", tool_calls=[("weather", {"city": "Paris"}), ("time", {})]),
        ok("Hi", cost=0.25),
    ],
)
def test_the_completion_is_the_same_with_and_without_streaming(asking, acechat_service, answer):
    acechat_service.script(answer, answer)

    plain, ridden = (asking(client_options={"streaming": how}) for how in ("never", "always"))

    assert ridden == plain
    assert ridden.cost == plain.cost
    assert [bool(each.json.get("stream")) for each in acechat_service.requests] == [False, True]
    assert ridden.response.status == 200
    assert ridden.trace_id == acechat_service.requests[1].trace_id


@pytest.mark.parametrize("wish", [None, {"include_usage": False}])
def test_an_internal_stream_requests_usage_by_default(asking, acechat_service, wish):
    options = {} if wish is None else {"stream_options": wish}

    asking(client_options={"streaming": "always"}, **options)

    assert acechat_service.requests[0].json["stream_options"] == (wish or {"include_usage": True})


def test_auto_depends_on_the_request(asking, acechat_service):
    asking()
    asking(max_tokens=32_000)
    asking(client_options={"model": "claude-sonnet-4-20250514-thinking"})

    rode = [bool(each.json.get("stream")) for each in acechat_service.requests]
    assert rode == [False, True, True]


@pytest.mark.parametrize(
    "extra",
    [
        {"max_tokens": 64_000},
        {"reasoning": {"max_tokens": 2000}},
        {"thinking": {"type": "enabled"}},
        {"reasoning_effort": "high"},
        {"model": "claude-sonnet-4-20250514-thinking"},
    ],
    ids=str,
)
def test_auto_considers_extra_body(asking, acechat_service, extra):
    asking(extra_body=extra)

    assert acechat_service.requests[0].json["stream"] is True


def test_an_internal_stream_is_retried_like_a_plain_call(asking, acechat_service):
    acechat_service.script(fail(503), ok("Hi"))

    reply = asking(client_options={"streaming": "always"})

    assert reply.text == "Hi"
    assert [tried.failure for tried in reply.response.attempts] == ["refused"]


def test_an_invalid_streaming_value_is_rejected(asking):
    with pytest.raises(ConfigurationError, match="streaming must be"):
        asking(client_options={"streaming": "horse"})


# models that take over

OTHERS = ["claude-haiku-4-5-20251001", "claude-opus-4-20250514"]


@BOTH
def test_a_fallback_model_is_used_when_a_model_stays_overloaded(asking, acechat_service, method):
    acechat_service.script(fail(503), fail(500, "busy"), fail(529, "overloaded_error"), ok("Hi"))

    reply = asking(method, client_options={"fallback_models": OTHERS}, temperature=0.5)

    asked = [received.json["model"] for received in acechat_service.requests]
    assert asked == ["claude-sonnet-4-20250514"] * 3 + OTHERS[:1]
    assert reply.model == OTHERS[0]
    assert [tried.model for tried in reply.response.attempts] == ["claude-sonnet-4-20250514"] * 3
    first, *_, last = (received.json for received in acechat_service.requests)
    assert first | {"model": ""} == last | {"model": ""}


@BOTH
@pytest.mark.parametrize("refusal", [fail(500), fail(529), fail(503, "api_error")])
def test_an_api_error_code_counts_as_overload(asking, acechat_service, method, refusal):
    """The rate limits of the service's upstream channels arrive as ``500 api_error``."""
    acechat_service.script(refusal, refusal, ok("Hi"))
    twice = {"fallback_models": OTHERS, "retries": RetryPolicy(max_attempts=2, base_delay=0)}

    reply = asking(method, client_options=twice)

    asked = [received.json["model"] for received in acechat_service.requests]
    assert asked == ["claude-sonnet-4-20250514"] * 2 + OTHERS[:1]
    assert reply.model == OTHERS[0]


@BOTH
@pytest.mark.parametrize("code", ["bad_response", "timeout", "news"])
def test_other_service_errors_are_no_overload(asking, acechat_service, method, code):
    acechat_service.script(fail(500, code), ok("Hi"))
    once = {"fallback_models": OTHERS, "retries": RetryPolicy(max_attempts=1)}

    with pytest.raises(ServerError):
        asking(method, client_options=once)
    assert len(acechat_service.requests) == 1


@BOTH
def test_when_all_models_are_overloaded_the_error_names_them(asking, acechat_service, method):
    acechat_service.script(*[fail(503)] * 3)
    once = {"fallback_models": OTHERS, "retries": RetryPolicy(max_attempts=1)}

    with pytest.raises(OverloadedError) as caught:
        asking(method, client_options=once)

    models = [tried.model for tried in caught.value.attempts]
    assert models == ["claude-sonnet-4-20250514", *OTHERS]
    assert [tried.number for tried in caught.value.attempts] == [1, 2, 3]


def test_each_model_has_retries_of_its_own(asking, acechat_service):
    acechat_service.script(*[fail(503)] * 5)
    twice = {"fallback_models": OTHERS, "retries": RetryPolicy(max_attempts=2, base_delay=0)}

    reply = asking(client_options=twice)

    assert len(reply.response.attempts) == 5
    assert reply.model == OTHERS[1]


def test_other_failures_use_no_fallback_model(asking, acechat_service):
    acechat_service.script(fail(401))

    with pytest.raises(AuthenticationError):
        asking(client_options={"fallback_models": OTHERS})
    assert len(acechat_service.requests) == 1


def test_without_fallback_models_the_error_is_raised(asking, acechat_service):
    acechat_service.script(*[fail(503)] * 3)

    with pytest.raises(OverloadedError):
        asking()
    assert len(acechat_service.requests) == 3


def test_no_fallback_model_is_tried_after_the_total_timeout(asking, acechat_service):
    acechat_service.script(fail(503, retry_after=100), ok("Hi"))

    reply = asking(client_options={"fallback_models": OTHERS}, timeout=5)

    assert reply.model == OTHERS[0]


@pytest.mark.parametrize("models", ["claude-opus-4-20250514", [5], [""]])
def test_invalid_fallback_models_are_rejected(asking, models):
    with pytest.raises(ConfigurationError, match="model"):
        asking(client_options={"fallback_models": models})


# completions with an output type


@pytest.mark.parametrize("streaming", ["never", "always"])
def test_a_mismatched_output_is_requested_again_with_every_streaming_mode(
    asking, acechat_service, streaming
):
    wrong, right = (ok(text, cost=0.5) for text in ("none", "[1, 2]"))
    acechat_service.script(wrong, right)
    events = []

    reply = asking(
        output_type=Output(list[int], strategy="prompt"),
        client_options={"streaming": streaming, "observers": [events.append]},
    )

    assert reply.output == [1, 2]
    assert len(acechat_service.requests) == 2
    rode = [bool(each.json.get("stream")) for each in acechat_service.requests]
    assert rode == [streaming == "always"] * 2
    assert [type(event) for event in events if isinstance(event, CallFinished)] == [
        CallFinished
    ] * 2
    assert not any(isinstance(event, CallFailed) for event in events)


def test_both_completions_count_towards_usage_and_budget(acechat_service):
    acechat_service.script(ok("none", cost=0.5), ok("[1]", cost=0.25), ok("none", cost=0.5))
    with Client(TOKEN, base_url=acechat_service.url, budget=Budget(credits=1)) as client:
        output = Output(list[int], strategy="prompt")
        assert client.chat("Hello", output_type=output).output == [1]
        assert (client.meter.calls, client.meter.cost) == (2, Decimal("0.75"))

        with pytest.raises(BudgetExceededError):
            client.chat("Hello", output_type=output)

    assert len(acechat_service.requests) == 3


def test_a_request_with_an_output_type_can_be_prepared(acechat_service):
    with Client(TOKEN, base_url=acechat_service.url) as client:
        assert client.prepare("Hello", output_type=list[int]).json()["tools"]
