"""`Client` and its like: the asynchronous ones, for callers that wait.

Each method forwards to its twin on the loop's thread.
"""

from __future__ import annotations

import ssl as _ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

from acechat._blocking._stream import ChatStream
from acechat._caller import Caller
from acechat._config import DEFAULT_MODEL, Config, RetryPolicy, Riding, Timeout
from acechat._limits import Budget, RateLimit
from acechat._middleware import Middleware
from acechat._observers import Observer
from acechat._portal import LoopThread
from acechat._request import Content
from acechat._terms import Limits, Terms
from acechat.types import (
    CatalogModel,
    ChatCompletion,
    ChatOptions,
    MessageLike,
    Model,
    RunResult,
)

if TYPE_CHECKING:  # what most programs never use is imported when it is asked for
    from acechat._blocking._conversation import Conversation
    from acechat._blocking._prepared import PreparedRequest
    from acechat._blocking._run_stream import RunStream
    from acechat._output import OutputT, OutputType

__all__ = ["Client"]


class Client(Caller):
    """The chat completion service, for scripts: the blocking `AsyncClient`.

    It takes what `AsyncClient` takes and does what it does, on an event loop in a thread of its
    own. So it works in any thread, in several at once, in a notebook, and after a fork. Ctrl-C ends
    the call that waits.

    Example:
        >>> with Client() as client:
        ...     print(client.chat("Hello").text)
    """

    def __init__(
        self,
        api_token: str | None = None,
        *,
        base_url: str | None = None,
        model: str = DEFAULT_MODEL,
        fallback_models: Iterable[str] = (),
        transport: Riding = "auto",
        timeout: Timeout | float = Timeout(),
        retries: RetryPolicy | int = RetryPolicy(),
        headers: Mapping[str, str] | None = None,
        proxy: str | None = None,
        ssl: _ssl.SSLContext | None = None,
        max_concurrency: int | None = None,
        budget: Budget | None = None,
        rate_limit: RateLimit | None = None,
        observers: Iterable[Observer] = (),
        middleware: Iterable[Middleware] = (),
        max_event_bytes: int = 16 * 2**20,
        max_response_bytes: int = 64 * 2**20,
        record_bytes: int = 256 * 2**10,
    ) -> None:
        super().__init__(
            api_token,
            base_url=base_url,
            model=model,
            fallback_models=fallback_models,
            transport=transport,
            timeout=timeout,
            retries=retries,
            headers=headers,
            proxy=proxy,
            ssl=ssl,
            max_concurrency=max_concurrency,
            budget=budget,
            rate_limit=rate_limit,
            observers=observers,
            middleware=middleware,
            max_event_bytes=max_event_bytes,
            max_response_bytes=max_response_bytes,
            record_bytes=record_bytes,
        )
        self._loop = LoopThread()

    @classmethod
    def _from_config(cls, config: Config) -> Self:
        client = super()._from_config(config)
        client._loop = LoopThread()
        return client

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections and end the thread; calls under way end with an error."""
        self._loop.stop(self._transport.close)

    def chat(
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
        """Ask, wait, and return the whole answer; see `AsyncClient.chat` for the arguments.

        Example:
            >>> client.chat("Hello", max_tokens=100).text
        """
        terms = Terms(system, model, timeout, retries, extra_body, extra_headers, options)
        return self._loop.run(self._chat, content, messages, terms, output_type)

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
    ) -> ChatStream[OutputT]:
        """Ask, and return the answer while it is being written; see `AsyncClient.stream`.

        Example:
            >>> for delta in client.stream("Hello"):
            ...     print(delta, end="")
        """
        terms = Terms(system, model, timeout, retries, extra_body, extra_headers, options)
        return ChatStream(self._loop, self._stream(content, messages, terms, output_type))

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
    ) -> RunResult:
        """Ask, call the tools that the model wants called, and ask again, until it answers.

        Takes and raises what `AsyncClient.run` does, and returns when all is done; `run_stream`
        tells what happens meanwhile. Functions run in threads, asynchronous ones on the client's
        event loop.

        Example:
            >>> client.run("Umbrella in Paris?", tools=[weather]).text
        """
        limits = Limits(max_turns, max_parallel, tool_timeout, raise_tool_errors, budget)
        terms = Terms(system, model, timeout, retries, extra_body, extra_headers, options)

        async def collect() -> RunResult:
            # Made in the loop: a run that Ctrl-C keeps from its loop must not warn that it was not
            # awaited.
            return await self._run(content, messages, terms, limits).collect()

        return self._loop.run(collect)

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
    ) -> RunStream:
        """Do what `run` does, and return what happens while it does; see `AsyncRunStream`.

        Example:
            >>> for text in client.run_stream("Umbrella?", tools=[weather]).text():
            ...     print(text, end="")
        """
        from acechat._blocking._run_stream import RunStream

        limits = Limits(max_turns, max_parallel, tool_timeout, raise_tool_errors, budget)
        terms = Terms(system, model, timeout, retries, extra_body, extra_headers, options)
        return RunStream(self._loop, self._run_stream(content, messages, terms, limits))

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
    ) -> PreparedRequest:
        """Return what `chat` would send, as data; see `AsyncClient.prepare`.

        Example:
            >>> print(client.prepare("Hello", max_tokens=100).curl())
        """
        from acechat._blocking._prepared import PreparedRequest

        terms = Terms(system, model, timeout, retries, extra_body, extra_headers, options)
        prepared = self._prepare(content, messages, terms, output_type)
        return PreparedRequest(self._loop, prepared, self._config.token)

    def conversation(
        self,
        *,
        messages: Iterable[MessageLike] = (),
        system: str | None = None,
        model: str | None = None,
        **options: Unpack[ChatOptions],
    ) -> Conversation:
        """Begin a conversation of several turns, or go on with *messages*."""
        from acechat._blocking._conversation import Conversation

        return Conversation(self, messages, system, model, options)

    def models(self) -> list[Model]:
        """Return the models that the service offers now."""
        return self._loop.run(self._models)

    def catalog(self) -> list[CatalogModel]:
        """Return the public catalogue of chat models: what they can do, and their prices."""
        return self._loop.run(self._catalog)

    def count_tokens(
        self,
        *content: Content,
        messages: Iterable[MessageLike] = (),
        system: str | None = None,
        model: str | None = None,
        tools: Sequence[Mapping[str, Any] | Callable[..., Any]] | None = None,
    ) -> int:
        """Return how many tokens a request would have; asking is free (contract, 4.1)."""
        terms = Terms(system, model)
        return self._loop.run(self._count_tokens, content, messages, terms, tools)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Client) and self._config == other._config

    def __hash__(self) -> int:
        return super().__hash__()
