"""What type checkers say about every public call; mypy and pyright read this, nothing runs it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, assert_type

from acechat import (
    AsyncChatStream,
    AsyncClient,
    AsyncConversation,
    ChatCompletion,
    ChatCompletionChunk,
    ChatStream,
    Client,
    Conversation,
    Delta,
    ImagePart,
    Model,
    RetryPolicy,
    StreamTruncatedError,
    Timeout,
    ToolCall,
    Usage,
    UserMessage,
    image,
)
from acechat.types import MessageLike, StreamEvent


async def asynchronous(client: AsyncClient) -> None:
    reply = await client.chat("Hello", image(b""), max_tokens=5, timeout=3, retries=RetryPolicy())
    assert_type(reply, ChatCompletion)
    assert_type(reply.text, str)
    assert_type(reply.reasoning, str | None)
    assert_type(reply.usage, Usage | None)
    assert_type(reply.tool_calls, list[ToolCall])
    assert_type(reply.to_dict(), dict[str, Any])
    stream = client.stream(
        messages=[{"role": "user", "content": "Hello"}, UserMessage(content="x")]
    )
    assert_type(stream, AsyncChatStream)
    async with stream as entered:
        assert_type(entered, AsyncChatStream)
        async for delta in entered:
            assert_type(delta, Delta)
    assert_type(stream.text(), AsyncIterator[str])
    assert_type(stream.chunks(), AsyncIterator[ChatCompletionChunk])
    assert_type(stream.events(), AsyncIterator[StreamEvent])
    assert_type(stream.completion, ChatCompletion)
    assert_type(await stream.collect(), ChatCompletion)
    talk = client.conversation(system="Be brief.", temperature=0.5)
    assert_type(talk, AsyncConversation)
    assert_type(await talk.send("Hello"), ChatCompletion)
    assert_type(talk.stream("Hello"), AsyncChatStream)
    assert_type(talk.fork(), AsyncConversation)
    assert_type(talk.undo(), list[MessageLike])
    assert_type(await client.models(), list[Model])
    assert_type(await client.count_tokens("Hello"), int)
    assert_type(client.with_options(timeout=Timeout(idle=3)), AsyncClient)

    await client.chat("Hello", max_token=5)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    client.chat("Hello")  # type: ignore[unused-coroutine] # pyright: ignore[reportUnusedCoroutine]


def blocking(client: Client) -> None:
    reply = client.chat("Hello", image(b""), max_tokens=5, timeout=3, retries=RetryPolicy())
    assert_type(reply, ChatCompletion)
    stream = client.stream("Hello")
    assert_type(stream, ChatStream)
    with stream as entered:
        for delta in entered:
            assert_type(delta, Delta)
    assert_type(stream.text(), Iterator[str])
    assert_type(stream.events(), Iterator[StreamEvent])
    assert_type(stream.completion, ChatCompletion)
    talk = client.conversation(system="Be brief.")
    assert_type(talk, Conversation)
    assert_type(talk.send("Hello"), ChatCompletion)
    assert_type(talk.stream("Hello"), ChatStream)
    assert_type(client.models(), list[Model])
    assert_type(client.count_tokens("Hello"), int)

    client.chat("Hello", max_token=5)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]


def errors(error: StreamTruncatedError) -> None:
    assert_type(error.partial, ChatCompletion | None)
    assert_type(error.trace_id, str | None)
    assert_type(image("cat.jpg"), ImagePart)
