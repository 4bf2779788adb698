"""`AsyncClient`: the service, as an object."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

from acechat._caller import Caller
from acechat._config import RetryPolicy, Timeout
from acechat._limits import Budget
from acechat._request import Content
from acechat._stream import AsyncChatStream
from acechat._terms import Limits, Terms
from acechat.types import CatalogModel, ChatCompletion, ChatOptions, MessageLike, Model

if TYPE_CHECKING:  # what most programs never use is imported when it is asked for
    from acechat._conversation import AsyncConversation
    from acechat._output import OutputT, OutputType
    from acechat._prepared import AsyncPreparedRequest
    from acechat._run import AsyncRun
    from acechat._run_stream import AsyncRunStream

__all__ = ["AsyncClient"]


class AsyncClient(Caller):
    """The chat completion service, for asyncio.

    A client keeps connections for the event loop that it is used in: make one and keep it. It may
    be used in one loop after another, and after a fork. It pickles without its token.

    Args:
        api_token: The token of an application; None for ``ACEDATACLOUD_API_TOKEN``, else
            ``ACEDATACLOUD_API_KEY``, else ``ACEDATA_API_KEY``.
        base_url: An origin, to which ``/v1`` is added, or an API's root, used as it is; None for
            ``ACEDATACLOUD_API_BASE_URL``, else ``https://api.acedata.cloud``.
        model: The model of calls that name none.
        fallback_models: Who is asked next, in this order and each with retries of its own, when a
            model stays overloaded; `ChatCompletion.model` tells who answered.
        transport: How the answers of `chat` travel: ``"stream"``, ``"plain"``, or ``"auto"``, which
            is a stream where the model thinks or may write more than 4096 tokens, because gateways
            cut what is silent for long. The answer is the same.
        timeout: Limits of a call; a number is `Timeout.total`, in seconds.
        retries: When to send again; a number is `RetryPolicy.max_attempts`, the first included.
        headers: Additional headers of all requests.
        proxy: ``http://`` or ``https://`` URL of a proxy; ``""`` for none, None for the
            environment's (``HTTPS_PROXY``, ``NO_PROXY``, …).
        ssl: How to check the service's certificate; None for the system's way.
        session: A session of your own, which the client uses but does not close.
        max_concurrency: The most requests at a time; None for no limit. Waiting for a turn counts
            to `Timeout.total` alone.
        budget: The most that may be spent; `BudgetExceededError` after that. None for no limit.
        rate_limit: How fast to ask; None for as fast as callers do. Waiting for a turn counts to
            `Timeout.total` alone.
        observers: Are called with what happens to each call, as structs; see `CallEvent`.
        middleware: Are awaited once per attempt, with the request and what sends it; the first is
            the outermost.
        max_event_bytes: The most bytes of one event of a stream.
        max_response_bytes: The most bytes of a whole answer, decompressed.
        record_bytes: The most bytes that are kept of what goes over the wire in one call, for
            `AceChatError.save` and `save_last`; 0 records nothing.

    Raises:
        ConfigurationError: An argument, or a variable of the environment, cannot be used.
        TypeError: An observer or a middleware is none.

    Example:
        >>> async with AsyncClient() as client:
        ...     reply = await client.chat("Hello")
        >>> reply.text
    """

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections; calls under way end with `ClientClosedError`."""
        await self._transport.close()

    async def close(self) -> None:
        """Do what `aclose` does, under the name that other clients have for it."""
        await self.aclose()

    async def chat(
        self,
        *content: Content,
        messages: Iterable[MessageLike] = (),
        system: str | None = None,
        model: str | None = None,
        output_type: OutputType[OutputT] | None = None,
        timeout: Timeout | float | None = None,
        retries: RetryPolicy | int | None = None,
        extra_body: Mapping[str, Any] | None = None,
        extra_headers: Mapping[str, str] | None = None,
        **options: Unpack[ChatOptions],
    ) -> ChatCompletion[OutputT]:
        """Ask, wait, and return the whole answer.

        Args:
            *content: What the user says now: strings, and pictures from `image`.
            messages: What was said before, as structs or as the API's own JSON.
            system: Instructions, sent before everything else.
            model: The model that answers; None for the client's.
            output_type: The type of the reply's *output*: a struct, dataclass, `TypedDict` or
                pydantic model, or what holds them; an `Output` says more. The answer's JSON is its
                text. One that does not fit is asked for again, once, which costs as much again.
            timeout: Limits of this call; a number is the total, in seconds.
            retries: When to send again; a number is *max_attempts*.
            extra_body: Fields of the request that acechat does not know; they win.
            extra_headers: Additional headers.
            **options: The other fields of the request; see `ChatOptions`.

        Raises:
            ConfigurationError: Something cannot be sent; nothing was.
            TypeError: An option is unknown.
            APIError: The service refused.
            TransportError: No whole answer came; `RequestTimeoutError` where a limit passed.
            ProtocolError: What came is no answer.
            OutputError: The answer is not of *output_type*.

        Example:
            >>> (await client.chat("Hello", max_tokens=100)).text
        """
        terms = Terms(system, model, timeout, retries, extra_body, extra_headers, options)
        return await self._chat(content, messages, terms, output_type)

    def stream(
        self,
        *content: Content,
        messages: Iterable[MessageLike] = (),
        system: str | None = None,
        model: str | None = None,
        output_type: OutputType[OutputT] | None = None,
        timeout: Timeout | float | None = None,
        retries: RetryPolicy | int | None = None,
        extra_body: Mapping[str, Any] | None = None,
        extra_headers: Mapping[str, str] | None = None,
        **options: Unpack[ChatOptions],
    ) -> AsyncChatStream[OutputT]:
        """Ask, and return the answer while it is being written.

        Takes what `chat` does. Nothing is sent before the stream is read or entered; from then on
        it raises what `chat` does. An answer that is not of *output_type* is not asked for again.

        Raises:
            ConfigurationError: Something cannot be sent.
            TypeError: An option is unknown.

        Example:
            >>> async for delta in client.stream("Hello"):
            ...     print(delta, end="")
        """
        terms = Terms(system, model, timeout, retries, extra_body, extra_headers, options)
        return self._stream(content, messages, terms, output_type)

    def run(
        self,
        *content: Content,
        messages: Iterable[MessageLike] = (),
        system: str | None = None,
        model: str | None = None,
        max_turns: int = 8,
        max_parallel: int = 8,
        tool_timeout: float | None = None,
        raise_tool_errors: bool = False,
        budget: Budget | None = None,
        timeout: Timeout | float | None = None,
        retries: RetryPolicy | int | None = None,
        extra_body: Mapping[str, Any] | None = None,
        extra_headers: Mapping[str, str] | None = None,
        **options: Unpack[ChatOptions],
    ) -> AsyncRun:
        """Ask, call the tools that the model wants called, and ask again, until it answers.

        Await it for the result, or iterate over its turns as they end; nothing is sent before.
        Each turn is a call like `chat`, at the price of one.

        Args:
            *content: What the user says now: strings, and pictures from `image`.
            messages: What was said before.
            system: Instructions, sent before everything else.
            model: The model that answers; None for the client's.
            max_turns: The most answers to ask for, 1 or more.
            max_parallel: The most tools that run at a time, 1 or more.
            tool_timeout: Seconds that one call of a tool may take; None for no limit.
            raise_tool_errors: Whether a failing tool ends the run. Else the model is told the
                exception's name and text, and goes on.
            budget: The most that the run may spend, beside the client's own budget. It is compared
                before each turn with what the turns have used, so it is passed by one turn at most.
            timeout: Limits of each turn's request.
            retries: When to send a turn's request again.
            extra_body: Fields of the requests that acechat does not know.
            extra_headers: Additional headers.
            **options: See `ChatOptions`. *tools* are functions (`acechat.tool` overrides what
                their signature says) or a `Tool`; functions that are not asynchronous run in
                threads. A *tool_choice* that demands a call holds for the first turn.

        Raises:
            ConfigurationError: A tool or an argument cannot be used; nothing was sent.
            MaxTurnsError: The model still called tools; *run* holds what had happened.
            BudgetExceededError: *budget*, or the client's, is used up; *run* as above.
            ToolError: A tool failed, and *raise_tool_errors* is true.
            AceChatError: What `chat` raises; *run* holds what had happened.

        Example:
            >>> async def weather(city: str) -> str: ...
            >>> (await client.run("Umbrella in Paris?", tools=[weather])).text
        """
        limits = Limits(max_turns, max_parallel, tool_timeout, raise_tool_errors, budget)
        terms = Terms(system, model, timeout, retries, extra_body, extra_headers, options)
        return self._run(content, messages, terms, limits)

    def run_stream(
        self,
        *content: Content,
        messages: Iterable[MessageLike] = (),
        system: str | None = None,
        model: str | None = None,
        max_turns: int = 8,
        max_parallel: int = 8,
        tool_timeout: float | None = None,
        raise_tool_errors: bool = False,
        budget: Budget | None = None,
        timeout: Timeout | float | None = None,
        retries: RetryPolicy | int | None = None,
        extra_body: Mapping[str, Any] | None = None,
        extra_headers: Mapping[str, str] | None = None,
        **options: Unpack[ChatOptions],
    ) -> AsyncRunStream:
        """Do what `run` does, and return what happens while it does: text, tools, turns.

        Takes what `run` does, and raises it when the stream is read.

        Example:
            >>> async for text in client.run_stream("Umbrella?", tools=[weather]).text():
            ...     print(text, end="")
        """
        limits = Limits(max_turns, max_parallel, tool_timeout, raise_tool_errors, budget)
        terms = Terms(system, model, timeout, retries, extra_body, extra_headers, options)
        return self._run_stream(content, messages, terms, limits)

    def prepare(
        self,
        *content: Content,
        messages: Iterable[MessageLike] = (),
        system: str | None = None,
        model: str | None = None,
        output_type: OutputType[Any] | None = None,
        timeout: Timeout | float | None = None,
        retries: RetryPolicy | int | None = None,
        extra_body: Mapping[str, Any] | None = None,
        extra_headers: Mapping[str, str] | None = None,
        **options: Unpack[ChatOptions],
    ) -> AsyncPreparedRequest:
        """Return what `chat` would send, as data; nothing is sent.

        It asks for a stream where `chat` would; a client with ``transport="plain"`` never does.
        Takes what `chat` does. *timeout* and *retries* are those of
        `AsyncPreparedRequest.count_tokens`.

        Raises:
            ConfigurationError: Something cannot be sent.
            TypeError: An option is unknown.

        Example:
            >>> print(client.prepare("Hello", max_tokens=100).curl())
        """
        terms = Terms(system, model, timeout, retries, extra_body, extra_headers, options)
        return self._prepare(content, messages, terms, output_type)

    def conversation(
        self,
        *,
        messages: Iterable[MessageLike] = (),
        system: str | None = None,
        model: str | None = None,
        **options: Unpack[ChatOptions],
    ) -> AsyncConversation:
        """Begin a conversation of several turns, or go on with *messages*."""
        from acechat._conversation import AsyncConversation

        return AsyncConversation(self, messages, system, model, options)

    async def models(self) -> list[Model]:
        """Return the models that the service offers now."""
        return await self._models()

    async def catalog(self) -> list[CatalogModel]:
        """Return the public catalogue of chat models: what they can do, and their prices.

        It is read from ``platform.acedata.cloud``, or from the host of *base_url* where that is not
        AceData's. Neither the token nor *headers* are sent, and no middleware is asked.
        """
        return await self._catalog()

    async def count_tokens(
        self,
        *content: Content,
        messages: Iterable[MessageLike] = (),
        system: str | None = None,
        model: str | None = None,
        tools: Sequence[Mapping[str, Any] | Callable[..., Any]] | None = None,
    ) -> int:
        """Return how many tokens a request would have; asking is free (contract, 4.1)."""
        terms = Terms(system, model)
        return await self._count_tokens(content, messages, terms, tools)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AsyncClient) and self._config == other._config

    def __hash__(self) -> int:
        return super().__hash__()
