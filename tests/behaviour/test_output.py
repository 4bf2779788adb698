"""Structured output over the wire, async and sync."""

from __future__ import annotations

import asyncio
import copy
import pickle
from typing import Annotated, Literal

import msgspec
import pydantic
import pytest

from acechat import (
    APIError,
    AsyncClient,
    BadRequestError,
    Client,
    ConfigurationError,
    Output,
    OutputError,
    RequestTimeoutError,
    RetryPolicy,
    ServerError,
    StreamTruncatedError,
    Timeout,
)
from acechat.emulator import cut, fail, ok, split, stall


class Plan(msgspec.Struct):
    title: str
    days: Annotated[int, msgspec.Meta(ge=1, le=7)]
    steps: list[str] = []


class Options(msgspec.Struct):
    limit: int | None = None
    words: list[str] = []


class Model(pydantic.BaseModel):
    x: int


GOOD = {"title": "Picnic", "days": 2, "steps": ["pack", "eat"]}
BAD = {"title": "Picnic", "days": 9}
PLAN = Plan("Picnic", 2, ["pack", "eat"])
THINKING = "claude-sonnet-4-20250514-thinking"
REFUSED = "Thinking may not be enabled when tool_choice forces tool use."


class Caller:
    """A client, async or sync, for one call."""

    def __init__(self, mode, service):
        self.blocking = mode == "blocking"
        self.settings = {
            "api_token": service.token,
            "base_url": service.url,
            "timeout": Timeout(total=8),
            "retries": RetryPolicy(base_delay=0),
        }

    def chat(self, **options):
        if self.blocking:
            with Client(**self.settings) as client:
                return client.chat("Plan", **options)

        async def go():
            async with AsyncClient(**self.settings) as client:
                return await client.chat("Plan", **options)

        return asyncio.run(go())

    def partials(self, **options):
        """Return the partials, the completion, and the error."""
        seen = []
        try:
            answer = self._blocking(seen, options) if self.blocking else self._async(seen, options)
        except (OutputError, StreamTruncatedError, APIError) as error:
            return seen, None, error
        return seen, answer, None

    def _blocking(self, seen, options):
        with Client(**self.settings) as client, client.stream("Plan", **options) as stream:
            seen.extend(copy.deepcopy(value) for value in stream.partials())
            return stream.completion

    def _async(self, seen, options):
        async def go():
            async with (
                AsyncClient(**self.settings) as client,
                client.stream("Plan", **options) as stream,
            ):
                async for value in stream.partials():
                    seen.append(copy.deepcopy(value))
                return stream.completion

        return asyncio.run(go())

    def turns(self, *, stream=False):
        """Return a conversation after a turn with a Plan and a turn with text."""
        if self.blocking:
            with Client(**self.settings) as client:
                talk = client.conversation()
                if stream:
                    talk.stream("Plan", output_type=Plan).collect()
                else:
                    talk.send("Plan", output_type=Plan)
                talk.send("Thanks")
                return talk

        async def go():
            async with AsyncClient(**self.settings) as client:
                talk = client.conversation()
                if stream:
                    await talk.stream("Plan", output_type=Plan).collect()
                else:
                    await talk.send("Plan", output_type=Plan)
                await talk.send("Thanks")
                return talk

        return asyncio.run(go())


@pytest.fixture
def caller(mode, acechat_service):
    return Caller(mode, acechat_service)


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (Plan, PLAN),
        (Model, Model(x=1)),
        (list[int], [1, 2]),
        (Literal["sun", "rain"], "rain"),
        (dict[str, int], {"a": 1}),
        (Plan | None, PLAN),
    ],
    ids=str,
)
@pytest.mark.parametrize("model", ["claude-opus-4-20250514", THINKING])
def test_the_output_has_the_requested_type(caller, acechat_service, kind, told, model):
    json = told.model_dump() if isinstance(told, Model) else told
    acechat_service.script(ok(json=json), ok(json=json))
    reply = caller.chat(output_type=kind, model=model)
    _, streamed, error = caller.partials(output_type=kind, model=model)
    assert error is None
    assert reply.output == streamed.output == told
    assert streamed == reply
    assert type(reply.output) is type(told)


def test_an_unscripted_completion_matches_the_type(caller):
    assert caller.chat(output_type=Plan).output == Plan("An example", 1, ["example step"])


@pytest.mark.parametrize("strategy", ["auto", "json_schema", "prompt"])
def test_every_strategy_accepts_json_in_a_code_fence(caller, acechat_service, strategy):
    text = f"Here:\n```json\n{msgspec.json.encode(GOOD).decode()}\n```\nEnjoy {{it}}!"
    acechat_service.script(ok(text))
    assert caller.chat(output_type=Output(Plan, strategy=strategy)).output == PLAN


def test_an_ignored_response_format_is_corrected_by_a_second_request(caller, acechat_service):
    acechat_service.script(ok("A picnic, of course."), ok(json=GOOD))
    reply = caller.chat(output_type=Output(Plan, strategy="json_schema"))
    first, second = (request.json for request in acechat_service.requests)
    assert first["response_format"]["type"] == "json_schema"
    assert '"title":"Plan"' in second["messages"][-1]["content"]
    assert reply.output == PLAN


def test_a_mismatched_completion_is_requested_again_and_counted(caller, acechat_service):
    usages = [{"prompt_tokens": 5, "completion_tokens": n, "total_tokens": 5 + n} for n in (2, 3)]
    acechat_service.script(ok(json=BAD, usage=usages[0]), ok(json=GOOD, usage=usages[1]))
    reply = caller.chat(output_type=Plan)
    assert reply.output == PLAN
    assert reply.usage.total_tokens == 15
    (failed,) = reply.response.attempts
    assert (failed.failure, failed.may_be_billed) == ("answered", True)
    assert "Expected `int` <= 7 - at `$.days`" in failed.error
    assert len(acechat_service.requests) == 2


@pytest.mark.parametrize("reasks", [0, 1, 2])
def test_the_last_mismatched_completion_raises_an_error(caller, acechat_service, reasks):
    acechat_service.script(*[ok(json=BAD)] * 5)
    with pytest.raises(OutputError) as caught:
        caller.chat(output_type=Output(Plan, retries=reasks))
    error = pickle.loads(pickle.dumps(caught.value))
    assert error.message == "Expected `int` <= 7 - at `$.days`"
    assert msgspec.json.decode(error.text) == BAD
    assert error.completion.text == error.text
    assert error.trace_id == acechat_service.requests[-1].trace_id
    assert len(error.attempts) == len(acechat_service.requests) == 1 + reasks


def test_a_completion_truncated_at_max_tokens_is_not_requested_again(caller, acechat_service):
    acechat_service.script(ok('{"title": "Pic', finish_reason="length"))
    with pytest.raises(OutputError, match="truncated at max_tokens"):
        caller.chat(output_type=Plan)
    assert len(acechat_service.requests) == 1


@pytest.mark.parametrize("way", ["chat", "partials"])
def test_a_completion_truncated_before_its_value_is_not_an_empty_value(
    caller, acechat_service, way
):
    acechat_service.script(ok(tool_calls=[("answer", "")], finish_reason="length"))
    if way == "chat":
        with pytest.raises(OutputError) as caught:
            caller.chat(output_type=Options)
        error = caught.value
    else:
        _, _, error = caller.partials(output_type=Options)
    assert type(error) is OutputError
    assert error.message == "truncated at max_tokens"
    assert error.text == ""
    assert len(acechat_service.requests) == 1


def test_each_exchange_has_its_own_attempts(caller, acechat_service):
    acechat_service.script(fail(503), fail(503), ok(json=BAD), fail(503), fail(503), ok(json=GOOD))
    reply = caller.chat(output_type=Plan)
    assert reply.output == PLAN
    failures = [attempt.failure for attempt in reply.response.attempts]
    assert failures == ["refused", "refused", "answered", "refused", "refused"]
    assert [attempt.number for attempt in reply.response.attempts] == [1, 2, 3, 4, 5]


def test_an_error_response_to_the_second_request_is_raised(caller, acechat_service):
    acechat_service.script(ok(json=BAD), *[fail(500)] * 3)
    with pytest.raises(ServerError) as caught:
        caller.chat(output_type=Plan)
    assert [attempt.failure for attempt in caught.value.attempts] == ["answered", *["refused"] * 3]


def test_the_total_limit_covers_all_exchanges(caller, acechat_service):
    acechat_service.script(*[stall(0.3, of=ok(json=BAD))] * 3)
    with pytest.raises(RequestTimeoutError) as caught:
        caller.chat(output_type=Output(Plan, retries=9), timeout=0.5)
    assert caught.value.phase == "total"
    assert [attempt.failure for attempt in caught.value.attempts] == ["answered", "timed_out"]


@pytest.mark.parametrize("way", ["chat", "partials"])
def test_a_model_found_to_reason_is_asked_with_a_prompt(caller, acechat_service, way):
    acechat_service.script(fail(400, message=REFUSED), ok(json=GOOD))
    got = getattr(caller, way)(output_type=Plan)
    reply = got if way == "chat" else got[1]
    assert reply.output == PLAN
    first, second = (request.json for request in acechat_service.requests)
    assert "tool_choice" in first
    assert "tool_choice" not in second


def test_other_bad_requests_are_not_sent_again(caller, acechat_service):
    acechat_service.script(fail(400, message="model is invalid."))
    with pytest.raises(BadRequestError, match="model is invalid"):
        caller.chat(output_type=Plan)
    assert len(acechat_service.requests) == 1


def test_tools_with_an_output_type_are_rejected_before_sending(caller, acechat_service):
    with pytest.raises(ConfigurationError, match="output_type= and tools= cannot be combined"):
        caller.chat(output_type=Plan, tools=[{"type": "function", "function": {"name": "f"}}])
    assert acechat_service.requests == []


@pytest.mark.parametrize("model", ["claude-opus-4-20250514", THINKING])
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_partials_grow_by_finished_values(caller, acechat_service, model, size):
    acechat_service.script(split(bytes=size, of=ok(json=GOOD)))
    seen, answer, error = caller.partials(output_type=Plan, model=model)
    assert error is None
    assert seen[-1] == GOOD
    assert answer.output == PLAN
    whole = [{}, {"title": "Picnic"}, {"title": "Picnic", "days": 2}]
    assert all(
        value in whole or value["steps"] == GOOD["steps"][: len(value["steps"])] for value in seen
    )


def test_partials_of_a_list_are_the_list(caller, acechat_service):
    acechat_service.script(ok(tool_calls=[("answer", '{"value": [1, 2, 3]}')]))
    seen, answer, _ = caller.partials(output_type=list[int])
    assert seen[-1] == answer.output == [1, 2, 3]
    assert all(isinstance(value, list) for value in seen)


@pytest.mark.parametrize("told", [GOOD, {"value": GOOD}], ids=["bare", "wrapped"])
@pytest.mark.parametrize("kind", [Plan | None, Plan | list[int]], ids=str)
def test_partials_of_a_union_are_its_object_bare_and_wrapped(caller, acechat_service, kind, told):
    acechat_service.script(split(bytes=7, of=ok(tool_calls=[("answer", told)])))
    seen, answer, error = caller.partials(output_type=kind)
    assert error is None
    assert seen[-1] == GOOD
    assert not any("value" in part for part in seen)
    assert answer.output == PLAN


@pytest.mark.parametrize(
    ("kind", "told", "sent"),
    [
        (Plan | None, GOOD, {"value": GOOD}),
        (Plan | None, {"value": GOOD}, {"value": GOOD}),
        (Plan | None, None, {"value": None}),
        (Plan, GOOD, GOOD),
        (Model, {"y": 1}, {"y": 1}),
    ],
    ids=str,
)
def test_the_emulator_fills_the_schema_of_the_tool(caller, acechat_service, kind, told, sent):
    acechat_service.script(ok(json=told))
    try:
        reply = caller.chat(output_type=Output(kind, retries=0))
    except OutputError as misfit:
        reply = misfit.completion
    (call,) = reply.to_dict()["choices"][0]["message"]["tool_calls"]
    assert msgspec.json.decode(call["function"]["arguments"]) == sent


def test_a_mismatched_stream_raises_at_its_end(caller, acechat_service):
    acechat_service.script(ok(json=BAD))
    seen, _, error = caller.partials(output_type=Plan)
    assert seen[-1] == BAD
    assert type(error) is OutputError
    assert error.partial == error.completion
    assert msgspec.json.decode(error.text) == BAD
    assert [attempt.failure for attempt in error.attempts] == ["answered"]
    assert len(acechat_service.requests) == 1


def test_a_truncated_stream_yields_its_partials_and_raises(caller, acechat_service):
    acechat_service.script(cut(after=3, of=ok('{"title": "Picnic", "days": 2}')))
    seen, _, error = caller.partials(output_type=Plan)
    assert type(error) is StreamTruncatedError
    assert seen[0] == {}


def test_partials_need_no_type(caller, acechat_service):
    acechat_service.script(ok('Yes: [1, {"a": 2}]'))
    seen, answer, _ = caller.partials()
    assert seen[-1] == [1, {"a": 2}]
    assert answer.output is None


@pytest.mark.parametrize("stream", [False, True])
def test_a_conversation_keeps_the_completion_without_the_output_tool(
    caller, acechat_service, stream
):
    answers = [ok(json=GOOD)] if stream else [ok(json=BAD), ok(json=GOOD)]
    acechat_service.script(*answers, ok("Bye"))
    talk = caller.turns(stream=stream)
    _, answer, _, _ = talk.messages
    assert [message.role for message in talk.messages] == ["user", "assistant"] * 2
    assert msgspec.json.decode(answer.content) == GOOD
    assert answer.tool_calls is None
    assert "tools" not in acechat_service.requests[-1].json
