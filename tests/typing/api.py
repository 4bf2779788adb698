"""What type checkers say about every public call; mypy and pyright read this, nothing runs it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict, assert_type

import msgspec
import pydantic
from aiohttp import web
from fastapi import UploadFile
from werkzeug.datastructures import FileStorage

from acechat import (
    AsyncChatStream,
    AsyncClient,
    AsyncConversation,
    AsyncPreparedRequest,
    AsyncRun,
    AsyncRunStream,
    AsyncSSERelay,
    Budget,
    CallEvent,
    CallFinished,
    CallNext,
    CatalogModel,
    ChatCompletion,
    ChatCompletionChunk,
    ChatStream,
    Client,
    ContextWindowExceededError,
    Conversation,
    Cost,
    Delta,
    Estimate,
    HTTPRequest,
    HTTPResponse,
    ImagePart,
    MaxTurnsError,
    Meter,
    Model,
    ModelEvidence,
    Output,
    OutputError,
    PreparedRequest,
    RateLimit,
    ResponseCache,
    RetryPolicy,
    RunResult,
    RunStream,
    SSERelay,
    StreamTruncatedError,
    TextPart,
    Timeout,
    Tool,
    ToolCall,
    ToolResult,
    TotalUsage,
    TransportError,
    Turn,
    Usage,
    UserMessage,
    document,
    image,
    mcp,
    text,
    tool,
)
from acechat.types import MessageLike, RunEvent, StreamEvent


async def weather(city: str, days: int = 1) -> str:
    return f"{city} {days}"


@tool
def plain(a: int) -> float:
    return a


@tool(name="other", timeout=3)
async def renamed(a: int, *, b: str = "") -> list[str]:
    return [str(a), b]


async def tools(client: AsyncClient) -> None:
    assert_type(plain(1), float)
    assert_type(await renamed(1, b="x"), list[str])
    assert_type(await tool(weather, name="forecast")("Paris"), str)
    plain("1")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]

    run = client.run("Hello", tools=[weather, plain, renamed], max_turns=3, temperature=0.5)
    run = assert_type(run, AsyncRun)
    async for turn in run:
        assert_type(turn, Turn)
        assert_type(turn.results, tuple[ToolResult, ...])
    result = await run
    assert_type(result, RunResult)
    assert_type(result.text, str)
    assert_type(result.usage, Usage | Any)
    assert_type(result.cost, Cost | None)
    assert_type(list(result), list[Turn])
    stream = client.run_stream("Hello", tools=[weather], budget=Budget(tokens=5))
    assert_type(stream, AsyncRunStream)
    async for event in stream:
        assert_type(event, RunEvent)
    assert_type(stream.text(), AsyncIterator[str])
    assert_type(await stream.collect(), RunResult)
    await client.chat("Hello", tools=[weather, {"type": "function", "function": {"name": "x"}}])
    async with mcp.connect("python", "server.py") as found:
        assert_type(found, list[Tool])
        await client.run("Hello", tools=[*found, weather])

    await client.run("Hello", budget=5)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    await client.run("Hello", max_turn=3)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]


async def asynchronous(client: AsyncClient) -> None:
    reply = await client.chat("Hello", image(b""), max_tokens=5, timeout=3, retries=RetryPolicy())
    assert_type(reply, ChatCompletion)
    assert_type(reply.text, str)
    assert_type(reply.reasoning, str | None)
    assert_type(reply.usage, Usage | Any)
    assert_type(reply.usage.total_tokens, int | None | Any)
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
    _ = assert_type(stream.sse(keep_alive=None), AsyncSSERelay)
    relay = await stream.sse()
    _ = assert_type(relay, AsyncSSERelay)
    assert_type(relay.headers, Mapping[str, str])
    assert_type([told async for told in relay], list[bytes])
    assert_type(stream.completion, ChatCompletion)
    assert_type(await stream.collect(), ChatCompletion)
    talk = client.conversation(system="Be brief.", temperature=0.5)
    assert_type(talk, AsyncConversation)
    assert_type(await talk.send("Hello"), ChatCompletion)
    assert_type(talk.stream("Hello"), AsyncChatStream)
    assert_type(talk.fork(), AsyncConversation)
    assert_type(talk.undo(), list[MessageLike])
    assert_type(await client.models(), list[Model])
    assert_type(client.save_cassette("x.acecast"), None)
    assert_type(await client.count_tokens("Hello"), int)
    assert_type(client.with_options(timeout=Timeout(idle=3)), AsyncClient)
    client.with_options(streaming="always", fallback_models=["claude-haiku-4-5-20251001"])
    assert_type(reply.cost, Cost | None)
    assert_type(client.meter, Meter)
    assert_type(talk.meter.cost, Decimal | None)
    assert_type(client.meter.snapshot(), TotalUsage)
    assert_type(await client.catalog(), list[CatalogModel])
    prepared = client.prepare("Hello", max_tokens=5)
    assert_type(prepared, AsyncPreparedRequest)
    assert_type(await prepared.estimate(), Estimate)
    assert_type((await prepared.estimate()).max_cost, Decimal | None)
    assert_type(prepared.json(), dict[str, Any])
    assert_type(prepared.curl(), str)

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
    assert_type(stream.sse(), SSERelay)
    assert_type(list(stream.sse()), list[bytes])
    assert_type(stream.completion, ChatCompletion)
    result = client.run("Hello", tools=[weather, plain], budget=Budget(credits=0.5))
    assert_type(result, RunResult)
    for turn in result:
        assert_type(turn, Turn)
    run = client.run_stream("Hello", tools=[weather])
    assert_type(run, RunStream)
    for event in run:
        assert_type(event, RunEvent)
    with mcp.connect("https://localhost/mcp") as found:
        assert_type(found, list[Tool])
    talk = client.conversation(system="Be brief.")
    assert_type(talk, Conversation)
    assert_type(talk.send("Hello"), ChatCompletion)
    assert_type(talk.stream("Hello"), ChatStream)
    assert_type(client.models(), list[Model])
    assert_type(client.save_cassette(Path("x.acecast")), None)
    assert_type(client.count_tokens("Hello"), int)
    assert_type(reply.cost, Cost | None)
    assert_type(client.meter.reset(), TotalUsage)
    assert_type(client.catalog(), list[CatalogModel])
    assert_type(client.prepare("Hello"), PreparedRequest)
    assert_type(client.prepare("Hello").estimate(), Estimate)

    client.chat("Hello", max_token=5)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]


class Plan(msgspec.Struct):
    title: str


@dataclass
class Point:
    x: int


class Named(TypedDict):
    name: str


class Checked(pydantic.BaseModel):
    x: int


Weather = Literal["sun", "rain"]
Positive = Annotated[int, msgspec.Meta(ge=1)]


async def output(client: AsyncClient, talk: AsyncConversation) -> None:
    reply = await client.chat("Plan", output_type=Plan)
    assert_type(reply, ChatCompletion[Plan])
    assert_type(reply.output, Plan)
    assert_type((await client.chat("Plan", output_type=Point)).output, Point)
    assert_type((await client.chat("Plan", output_type=Named)).output, Named)
    assert_type((await client.chat("Plan", output_type=Checked)).output, Checked)
    assert_type((await client.chat("Plan", output_type=list[int])).output, list[int])
    assert_type((await client.chat("Plan", output_type=dict[str, Plan])).output, dict[str, Plan])
    assert_type((await client.chat("Plan", output_type=tuple[int, str])).output, tuple[int, str])
    assert_type((await client.chat("Plan", output_type=Output(Plan, retries=0))).output, Plan)
    stream = client.stream("Plan", output_type=Plan)
    assert_type(stream, AsyncChatStream[Plan])
    assert_type(stream.partials(), AsyncIterator[Any])
    assert_type(stream.completion.output, Plan)
    assert_type((await stream.collect()).output, Plan)
    async with stream as entered:
        assert_type(entered.completion.output, Plan)
    assert_type(await talk.send("Plan", output_type=Plan), ChatCompletion[Plan])
    assert_type(talk.stream("Plan", output_type=Plan), AsyncChatStream[Plan])

    # Type checkers infer these from an Output only.
    assert_type((await client.chat("Sun?", output_type=Weather)).output, object)
    assert_type((await client.chat("Plan", output_type=Plan | None)).output, object)
    assert_type((await client.chat("Sun?", output_type=Output(Weather))).output, Weather)
    assert_type((await client.chat("Plan", output_type=Output(Plan | None))).output, Plan | None)
    assert_type((await client.chat("How many?", output_type=Output(Positive))).output, int)
    assert_type((await client.chat("How many?", output_type=list[Positive])).output, list[int])
    assert_type((await client.chat("?", output_type=Output[Weather](Weather))).output, Weather)
    assert_type((await client.chat("?", output_type=Output[Positive](Positive))).output, int)
    assert_type((await client.chat("?", output_type=Output.from_schema({}))).output, Any)
    either = Output[Plan | Point](Plan | Point, retries=0)
    assert_type((await client.chat("Plan", output_type=either)).output, Plan | Point)
    assert_type(client.stream("How many?", output_type=Output(Positive)), AsyncChatStream[int])

    whatever(reply)
    Output(3)  # type: ignore[call-overload] # pyright: ignore[reportArgumentType, reportCallIssue]
    await client.chat("Plan", output_type=3)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


def whatever(reply: ChatCompletion) -> None:
    """Take an answer of any type: a plain `ChatCompletion` is one."""
    assert_type(reply.output, Any)


def blocking_output(client: Client, talk: Conversation) -> None:
    reply = client.chat("Plan", output_type=Plan)
    assert_type(reply, ChatCompletion[Plan])
    assert_type(reply.output, Plan)
    assert_type(client.chat("Plan", output_type=list[int]).output, list[int])
    assert_type(client.chat("?", output_type=Output(Weather)).output, Weather)
    assert_type(client.chat("?", output_type=Output(Positive)).output, int)
    assert_type(talk.send("?", output_type=Output(Positive)), ChatCompletion[int])
    stream = client.stream("Plan", output_type=Plan)
    assert_type(stream, ChatStream[Plan])
    assert_type(stream.partials(), Iterator[Any])
    assert_type(stream.completion.output, Plan)
    assert_type(stream.collect().output, Plan)
    assert_type(talk.send("Plan", output_type=Plan), ChatCompletion[Plan])
    assert_type(talk.stream("Plan", output_type=Plan), ChatStream[Plan])


def output_error(error: OutputError) -> None:
    assert_type(error.message, str)
    assert_type(error.text, str)
    assert_type(error.completion, ChatCompletion | None)


def observe(event: CallEvent) -> None:
    match event:
        case CallFinished():
            assert_type(event.cost, Cost | None)
            assert_type(event.usage, Usage | None)
        case _:
            assert_type(event.call, int)


async def tag(request: HTTPRequest, call_next: CallNext) -> HTTPResponse:
    response = await call_next(request.with_headers({"X-Tag": "1"}))
    assert_type(response, HTTPResponse)
    assert_type(await response.read(), bytes)
    return response


async def cached(client: AsyncClient) -> None:
    cache = ResponseCache(Path("cache"))
    AsyncClient(cache=cache)
    assert_type(Client(cache=ResponseCache("cache")).chat("Hello").cached, bool)
    assert_type((await client.chat("Hello")).cached, bool)
    assert_type(cache.clear(), None)
    Client(cache="cache")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


def evidence(client: Client, reply: ChatCompletion) -> None:
    assert_type(reply.evidence, ModelEvidence)
    assert_type(reply.evidence.matches, bool | None)
    Client(on_model_mismatch="raise").with_options(on_model_mismatch="warn")
    AsyncClient(on_model_mismatch="panic")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


async def later() -> str:
    return "token"


def tokens() -> None:
    AsyncClient(later)
    AsyncClient(api_token=lambda: "token")
    Client(later)
    Client(api_token=lambda: "token")
    Client(lambda: 5)  # type: ignore[arg-type, return-value] # pyright: ignore[reportArgumentType]


def limits() -> None:
    budget, rate = Budget(tokens=5, credits=0.5), RateLimit(requests_per_minute=5)
    AsyncClient(budget=budget, rate_limit=rate, observers=[observe], middleware=[tag])
    Client(budget=budget, rate_limit=rate, observers=[observe, print], middleware=[tag])
    Client(streaming="horse")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


def errors(error: StreamTruncatedError) -> None:
    assert_type(error.save("bug.acecast"), None)
    assert_type(error.ending, str) if isinstance(error, TransportError) else None
    assert_type(error.partial, ChatCompletion | None)
    assert_type(error.trace_id, str | None)
    assert_type(MaxTurnsError(3).run, RunResult | None)
    assert_type(image("cat.jpg"), ImagePart)
    assert_type(image(Path("cat.jpg"), detail="low", max_pixels=1_000_000), ImagePart)


def allow(name: str, arguments: dict[str, Any]) -> bool:
    return bool(name and arguments)


async def change(name: str, arguments: dict[str, Any]) -> bool | str | dict[str, Any]:
    return {**arguments, "name": name} if arguments else "no arguments"


def shorten(messages: list[MessageLike]) -> list[MessageLike]:
    return messages[-3:]


async def shorten_later(messages: list[MessageLike]) -> list[MessageLike] | None:
    return messages[-3:] or None


async def parts(client: AsyncClient, blocking: Client, error: ContextWindowExceededError) -> None:
    assert_type(document("a.pdf", cache=True), TextPart | ImagePart)
    assert_type(text("Hello", cache="1h"), TextPart)
    assert_type(image(b"", cache="5m"), ImagePart)
    await client.chat("x", document(b""), text("x"))
    text("x", cache="2h")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    usage = Usage()
    assert_type(usage.cache_read_tokens, int | None)
    assert_type(usage.cache_write_tokens, int | None)
    removed = await client.conversation().trim(1000, keep=3, count="estimate")
    assert_type(removed, list[MessageLike])
    assert_type(blocking.conversation().trim(max_tokens=1000), list[MessageLike])
    assert_type(error.limit, int | None)


async def approved(client: AsyncClient, blocking: Client) -> None:
    run = await client.run("x", tools=[tool(print, approve=allow)], approve=change)
    assert_type(run, RunResult)
    await client.run("x", approve=allow, before_turn=shorten)
    result = blocking.run("x", approve=allow, before_turn=shorten_later)
    assert_type(result, RunResult)
    assert_type(result.turns[0].results[0].refused, bool)
    Tool(name="x", function=print, approve=change)
    blocking.run_stream("x", approve=change, before_turn=shorten)
    blocking.run_stream("x", approve=1)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


def uploads(
    flask: FileStorage, fast: UploadFile, server: web.FileField, bytes_: memoryview
) -> None:
    parts = [image(flask), image(fast), image(server), image(bytes_)]
    assert_type(parts, list[ImagePart])
