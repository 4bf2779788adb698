"""`conversation.trim`: the oldest turns are removed until the history fits the context window."""

from __future__ import annotations

import asyncio
import json

import msgspec
import pytest

from acechat import (
    AssistantMessage,
    AsyncClient,
    Client,
    ConfigurationError,
    ToolCall,
    ToolMessage,
    UserMessage,
    document,
    image,
)
from acechat._policy.token_estimate import estimate_tokens
from acechat._wire.messages import tool_images_message
from acechat.emulator import ok
from acechat.types import FunctionCall

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)


def turn(number, words=100):
    return [
        UserMessage(content=f"question {number} " + "word " * words),
        AssistantMessage(content=f"answer {number}"),
    ]


def tool_turn(number, words=100):
    call = ToolCall(id=f"t{number}", function=FunctionCall("look", "{}"))
    return [
        UserMessage(content=f"question {number}"),
        AssistantMessage(tool_calls=[call]),
        ToolMessage(content="word " * words, tool_call_id=call.id),
        tool_images_message([image(PNG)]),
        AssistantMessage(content=f"answer {number}"),
    ]


class Trimmer:
    def __init__(self, mode, service):
        self.blocking = mode == "blocking"
        self.settings = {"api_token": service.token, "base_url": service.url}
        self.service = service

    def __call__(self, messages, *arguments, system=None, then=(), **options):
        """Return the conversation and the removed messages."""
        if self.blocking:
            with Client(**self.settings) as client:
                talk = client.conversation(messages=messages, system=system)
                removed = talk.trim(*arguments, **options)
                for said in then:
                    talk.send(said)
                return talk, removed

        async def go():
            async with AsyncClient(**self.settings) as client:
                talk = client.conversation(messages=messages, system=system)
                removed = await talk.trim(*arguments, **options)
                for said in then:
                    await talk.send(said)
                return talk, removed

        return asyncio.run(go())

    def count(self, messages, system=None):
        with Client(**self.settings) as client:
            return client.count_tokens(messages=messages, system=system)


@pytest.fixture(params=["async", "blocking"])
def trim(request, acechat_service):
    return Trimmer(request.param, acechat_service)


@pytest.mark.parametrize("count", ["service", "estimate"])
@pytest.mark.parametrize("make", [turn, tool_turn])
@pytest.mark.parametrize("left", range(1, 6))
def test_the_oldest_turns_are_removed(trim, count, make, left):
    messages = [one for number in range(6) for one in make(number)]
    size = len(make(0))
    kept = messages[-left * size :]
    limit = trim.count(kept) if count == "service" else estimate_tokens(kept)

    talk, removed = trim(messages, limit, count=count)

    assert talk.messages == kept
    assert removed == messages[: -left * size]


def test_turns_of_different_sizes_fit_without_removing_too_many(trim):
    messages = [one for number in range(12) for one in turn(number, 10 ** (number % 4))]
    for left in range(1, 12):
        limit = trim.count(messages[-2 * left :])

        talk, _ = trim(messages, limit)

        assert trim.count(talk.messages) <= limit
        assert len(talk.messages) >= 2 * left


def test_a_history_that_fits_is_unchanged(trim):
    messages = turn(0) + turn(1)

    talk, removed = trim(messages, max_tokens=100_000)

    assert (talk.messages, removed) == (messages, [])
    talk, removed = trim([], 10)
    assert (talk.messages, removed) == ([], [])


@pytest.mark.parametrize("count", ["service", "estimate"])
@pytest.mark.parametrize("keep", [0, 1, 2, 5, 9])
def test_the_latest_turns_are_kept(trim, count, keep):
    messages = [one for number in range(5) for one in turn(number)]

    talk, _ = trim(messages, 1, keep=keep, count=count)

    assert talk.messages == (messages[-2 * keep :] if keep else [])


def test_the_system_prompt_counts(trim):
    messages = turn(0) + turn(1)
    system = "word " * 1000

    for count in ("service", "estimate"):
        talk, _ = trim(messages, 700, system=system, count=count)
        assert len(talk.messages) == 2
        assert talk.system == system


def test_a_tool_call_stays_with_its_result(trim):
    messages = [*tool_turn(0, 3000), *turn(1), *tool_turn(2, 3000), *turn(3)]

    talk, removed = trim(messages, 500, count="estimate")

    assert talk.messages == turn(3)
    assert removed == messages[:-2]
    called = {call.id for one in removed for call in getattr(one, "tool_calls", None) or ()}
    answered = {one.tool_call_id for one in removed if one.role == "tool"}
    assert called == answered == {"t0", "t2"}


def test_an_unanswered_question_is_the_latest_turn(trim):
    messages = [*turn(0), UserMessage(content="And?")]

    talk, _ = trim(messages, 1)

    assert talk.messages == [UserMessage(content="And?")]


def test_a_history_of_json_is_trimmed(trim):
    messages = [msgspec.to_builtins(one) for one in (*tool_turn(0), *turn(1))]

    talk, removed = trim(messages, 1)

    assert [one.role for one in talk.messages] == ["user", "assistant"]
    assert len(removed) == 5


def test_an_estimate_sends_nothing_and_a_count_is_free(trim, acechat_service):
    messages = turn(0) + turn(1)

    trim(messages, 1, count="estimate")
    assert not acechat_service.requests
    trim(messages, 1)
    assert {one.path for one in acechat_service.requests} == {"/v1/messages/count_tokens"}


def test_a_trimmed_conversation_goes_on(trim, acechat_service):
    acechat_service.script(ok("Fine."))

    talk, _ = trim(turn(0) + turn(1), 1, then=["Next"])

    sent = json.loads(acechat_service.requests[-1].body)["messages"]
    assert [one["role"] for one in sent] == ["user", "assistant", "user"]
    assert len(talk.messages) == 4


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"max_tokens": 0}, "max_tokens must be"),
        ({"max_tokens": None}, "max_tokens must be"),
        ({"max_tokens": 1.5}, "max_tokens must be"),
        ({"max_tokens": 5, "keep": -1}, "keep must be an integer of 0 or more"),
        ({"max_tokens": 5, "keep": 1.0}, "keep must be an integer of 0 or more"),
        ({"max_tokens": 5, "count": "guess"}, 'count must be "service" or "estimate"'),
    ],
)
def test_invalid_arguments_are_rejected(trim, acechat_service, options, reason):
    with pytest.raises(ConfigurationError, match=reason):
        trim(turn(0), **options)

    assert not acechat_service.requests


def test_a_turn_that_has_not_ended_is_not_trimmed(acechat_service):
    with Client(acechat_service.token, base_url=acechat_service.url) as client:
        talk = client.conversation(messages=turn(0))
        stream = talk.stream("Next")
        with pytest.raises(RuntimeError, match="has not ended"):
            talk.trim(1)
        stream.close()


@pytest.mark.parametrize(
    ("content", "least", "most"),
    [
        ("word " * 1000, 1000, 2000),
        ("字" * 1000, 800, 1500),
        ([image(PNG)], 1500, 1700),
        ([image("https://host/cat.png")], 1500, 1700),
        ([document(b"%PDF-1.7" + bytes(75_000))], 3000, 6000),
    ],
)
def test_an_estimate_is_near_the_number_of_tokens(content, least, most):
    assert least <= estimate_tokens([UserMessage(content=content)]) <= most
    json_content = msgspec.to_builtins(UserMessage(content=content))
    assert least <= estimate_tokens([json_content]) <= most


def test_an_estimate_reads_any_json():
    odd = {"role": "user", "content": [{"text": "word " * 100, "odd": [1, None, 2.5, True]}]}

    assert 100 <= estimate_tokens([odd]) <= 200
    assert estimate_tokens([]) == 0


def test_before_turn_can_trim_a_long_run(acechat_service):
    def look() -> str:
        """Look."""
        return "word " * 2000

    with Client(acechat_service.token, base_url=acechat_service.url) as client:

        def shorten(messages):
            talk = client.conversation(messages=messages)
            talk.trim(1000, count="estimate")
            return talk.messages

        calls = [ok(tool_calls=[("look", {})]), ok("Fine.")]
        acechat_service.script(*calls)
        history = [one for number in range(5) for one in turn(number, 500)]
        result = client.run("Look", messages=history, tools=[look], before_turn=shorten)

    assert [one.role for one in result.messages] == ["user", "assistant", "tool", "assistant"]
