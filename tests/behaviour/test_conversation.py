"""Turns over the wire are added to the history completely or not at all."""

from __future__ import annotations

import asyncio
import inspect

import pytest

from acechat import (
    AsyncClient,
    Client,
    ClientClosedError,
    RetryPolicy,
    ServerError,
    StreamTruncatedError,
    Timeout,
    UserMessage,
)


@pytest.fixture
def settings(server, wire):
    return {
        "base_url": server.url,
        "api_token": wire.token,
        "timeout": Timeout(total=8),
        "retries": RetryPolicy(base_delay=0),
    }


@pytest.fixture
def talk(mode, settings):
    """Run steps with a conversation, async or sync: ``talk(step, …)``, each a function of it."""

    def run(*steps, **options):
        if mode == "blocking":
            with Client(**settings) as client:
                conversation = client.conversation(**options)
                for step in steps:
                    step(conversation)
            return conversation

        async def go():
            async with AsyncClient(**settings) as client:
                conversation = client.conversation(**options)
                for step in steps:
                    result = step(conversation)
                    if hasattr(result, "__await__"):
                        await result
                return conversation

        return asyncio.run(go())

    return run


def texts(conversation):
    return [message.content for message in conversation.messages]


def send(said, raises=None):
    def step(conversation):
        if raises is None:
            return conversation.send(said)
        if not inspect.iscoroutinefunction(conversation.send):
            with pytest.raises(raises):
                conversation.send(said)
            return None

        async def go():
            with pytest.raises(raises):
                await conversation.send(said)

        return go()

    return step


def stream(said, raises=None):
    def step(conversation):
        reading = conversation.stream(said).collect
        if not inspect.iscoroutinefunction(reading):
            if raises is None:
                return reading()
            with pytest.raises(raises):
                reading()
            return None

        async def go():
            if raises is None:
                return await reading()
            with pytest.raises(raises):
                await reading()
            return None

        return go()

    return step


def test_each_turn_sends_the_history(talk, server, wire):
    server.reply(wire.ok("one"), wire.stream("two"), wire.ok("three"))
    conversation = talk(send("1"), stream("2"), send("3"), system="Be short.")
    assert texts(conversation) == ["1", "one", "2", "two", "3", "three"]
    sent = [message["content"] for message in server.requests[-1].json["messages"]]
    assert sent == ["Be short.", "1", "one", "2", "two", "3"]


def test_a_failed_turn_leaves_the_history_unchanged(talk, server, wire):
    server.reply(wire.refusal("500 X", "api_error"))
    conversation = talk(send("1", ServerError))
    assert texts(conversation) == []
    server.reply(wire.sse(wire.delta("Hel")))
    conversation = talk(stream("1", StreamTruncatedError))
    assert texts(conversation) == []
    assert conversation.pending.text == "Hel"


def test_a_failed_turn_can_be_sent_again(talk, server, wire):
    server.reply(wire.sse(wire.delta("Hel")), wire.ok("one"))
    conversation = talk(stream("1", StreamTruncatedError), send("1"))
    assert texts(conversation) == ["1", "one"]
    assert conversation.pending is None


def test_a_retried_turn_is_added_once(talk, server, wire):
    server.reply(wire.refusal(), wire.sse(b""), wire.stream("one"))
    assert texts(talk(stream("1"))) == ["1", "one"]


def test_a_cancelled_turn_leaves_the_history_unchanged(server, wire, settings):
    async def handler(reader, writer, number):
        if number == 1:
            await reader.read()
        writer.write(wire.ok("two"))

    server.handler = handler

    async def go():
        async with AsyncClient(**settings) as client:
            conversation = client.conversation()
            task = asyncio.create_task(conversation.send("1"))
            await asyncio.sleep(0.1)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await conversation.send("2")
            return texts(conversation)

    assert asyncio.run(go()) == ["2", "two"]


@pytest.mark.parametrize("how", ["block", "break", "unread"])
def test_an_unfinished_stream_leaves_the_history_unchanged(server, wire, settings, how):
    async def handler(reader, writer, number):
        if number == 1 and how != "unread":
            writer.write(wire.sse(wire.delta("Hel"), end=False))
            await writer.drain()
            await reader.read()
        writer.write(wire.ok("two"))

    server.handler = handler
    with Client(**settings) as client:
        conversation = client.conversation()
        if how == "block":
            with conversation.stream("1") as reading:
                next(reading)
        elif how == "break":
            with pytest.warns(ResourceWarning, match="with client.stream"):
                next(conversation.stream("1"))  # the warning of a broken loop
        else:
            conversation.stream("1")
        conversation.send("2")
        assert texts(conversation) == ["2", "two"]


def test_concurrent_turns_are_rejected(server, wire, settings):
    server.reply(wire.ok("one"))

    async def go():
        async with AsyncClient(**settings) as client:
            conversation = client.conversation()
            results = await asyncio.gather(
                conversation.send("1"), conversation.send("2"), return_exceptions=True
            )
            assert [type(result).__name__ for result in results] == [
                "ChatCompletion",
                "RuntimeError",
            ]
            return texts(conversation)

    assert asyncio.run(go()) == ["1", "one"]
    assert len(server.requests) == 1


def test_closing_a_stream_while_it_is_read_ends_only_its_own_turn(server, wire, settings):
    async def handler(reader, writer, number):
        if number == 1:
            writer.write(wire.sse(wire.delta("Hel"), end=False))
            await writer.drain()
            await reader.read()
        writer.write(wire.stream("two"))

    server.handler = handler

    async def go():
        async with AsyncClient(**settings) as client:
            conversation = client.conversation()
            first = conversation.stream("1")
            await first.receive()
            task = asyncio.create_task(first.receive())
            await asyncio.sleep(0.02)
            await first.aclose()
            second = conversation.stream("2")
            await asyncio.gather(task, return_exceptions=True)
            await second.collect()
            return texts(conversation)

    assert asyncio.run(go()) == ["2", "two"]


def test_a_fork_is_independent(talk, server, wire):
    server.reply(wire.ok("one"), wire.ok("two"), wire.ok("three"))
    forks = []

    def fork(conversation):
        forks.append(conversation.fork())
        return forks[0].send("2")

    conversation = talk(send("1"), fork, send("3"))
    assert texts(conversation) == ["1", "one", "3", "three"]
    assert texts(forks[0]) == ["1", "one", "2", "two"]


@pytest.mark.leaves("blocking calls")  # save and load are for small files, as documented
def test_a_saved_conversation_can_be_continued(talk, server, wire, tmp_path):
    server.reply(wire.ok("one"))
    path = tmp_path / "talk.json"
    talk(send("1")).save(path)
    server.reply(wire.ok("two"))
    conversation = talk(lambda loaded: loaded.load(path) and None, send("2"))
    assert texts(conversation) == ["1", "one", "2", "two"]


def test_a_turn_of_a_closed_client_raises_and_changes_nothing(settings):
    client = Client(**settings)
    conversation = client.conversation()
    client.close()
    for _ in range(2):
        with pytest.raises(ClientClosedError):
            conversation.send("1")
        with pytest.raises(ClientClosedError):
            conversation.stream("1").collect()
    assert conversation.messages == []


def test_the_message_of_a_completion_can_be_sent(ask, server, wire):
    server.reply(wire.ok("one"), wire.ok("two"))
    first = ask.chat("1")
    ask.chat("2", messages=[UserMessage(content="1"), first.message])
    roles = [message["role"] for message in server.requests[-1].json["messages"]]
    assert roles == ["user", "assistant", "user"]
