"""Turns of a conversation: removed by `undo`, whole, and with the images of tools."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from acechat import (
    AssistantMessage,
    AsyncClient,
    Client,
    MaxTurnsError,
    ToolMessage,
    UserMessage,
    image,
)
from acechat.emulator import call, ok

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)


def shot():
    return image(PNG)


def look() -> str:
    return "a cat"


@pytest.fixture(params=["async", "blocking"])
def history(request, acechat_service):
    """Return the conversation that continues a run, and ask its further questions."""
    settings = {"base_url": acechat_service.url, "api_token": acechat_service.token}

    async def asynchronous(tools, questions):
        async with AsyncClient(**settings) as client:
            result = await client.run("Look", tools=tools)
            talk = client.conversation(messages=result.messages)
            for question in questions:
                await talk.send(question)
            return talk

    def run(tools, *questions):
        if request.param == "async":
            return asyncio.run(asynchronous(tools, questions))
        with Client(**settings) as client:
            talk = client.conversation(messages=client.run("Look", tools=tools).messages)
            for question in questions:
                talk.send(question)
            return talk

    return run


def roles(messages):
    return [one.role for one in messages]


@pytest.mark.parametrize("calls", [["shot"], ["shot", "look"], ["look", "look"], ["shot", "shot"]])
def test_undo_removes_a_turn_with_its_tool_calls_and_images(history, acechat_service, calls):
    acechat_service.script(ok(tool_calls=[(name, {}) for name in calls]), call(calls[0]), ok("."))

    talk = history([shot, look])

    undone = talk.undo()
    assert talk.messages == []
    assert roles(undone)[:2] == ["user", "assistant"]
    assert roles(undone)[-1] == "assistant"
    assert talk.undo() == []


def test_undo_removes_one_turn_at_a_time(history, acechat_service):
    acechat_service.script(call("shot"), ok("a cat"), ok("black"))
    talk = history([shot], "Which colour?")

    assert [one.content for one in talk.undo()] == ["Which colour?", "black"]
    assert roles(talk.undo()) == ["user", "assistant", "tool", "user", "assistant"]
    assert talk.messages == []


@pytest.mark.parametrize("make", [lambda one: one, msgspec.to_builtins], ids=["structs", "JSON"])
def test_undo_knows_tool_images_after_saving(history, acechat_service, make):
    acechat_service.script(call("shot"), ok("a cat"))
    talk = history([shot])
    talk.messages = [make(one) for one in talk.messages]

    assert len(talk.undo()) == 5
    assert talk.messages == []


def test_a_question_after_tool_results_is_a_turn(acechat_service):
    acechat_service.script(call("look"), ok("a cat"))
    with Client(acechat_service.token, base_url=acechat_service.url) as client:
        with pytest.raises(MaxTurnsError) as caught:
            client.run("Look", tools=[look], max_turns=1)
        talk = client.conversation(messages=caught.value.run.messages)
        talk.send("And?")

    assert [one.content for one in talk.undo()] == ["And?", "a cat"]
    assert roles(talk.messages) == ["user", "assistant", "tool"]


def test_a_user_message_with_the_same_parts_is_a_turn(acechat_service):
    with Client(acechat_service.token, base_url=acechat_service.url) as client:
        talk = client.conversation(
            messages=[
                UserMessage(content="1"),
                AssistantMessage(content="one"),
                UserMessage(content=[image(PNG)]),
                AssistantMessage(content="two"),
            ]
        )

    assert len(talk.undo()) == 2
    assert len(talk.undo()) == 2


def test_a_history_that_begins_with_a_result_is_one_turn(acechat_service):
    with Client(acechat_service.token, base_url=acechat_service.url) as client:
        talk = client.conversation(
            messages=[ToolMessage(content="1", tool_call_id="t"), AssistantMessage(content="one")]
        )

    assert len(talk.undo()) == 2
