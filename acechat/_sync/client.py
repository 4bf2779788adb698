"""`Client`: the blocking client. Its calls run in the thread of an event loop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from acechat._hints import CHAT, NotHere
from acechat._policy.values import Budget, RetryPolicy, RunLimits, Timeout
from acechat._sync.bulk import BulkClient
from acechat._sync.stream import ChatStream
from acechat._wire.messages import Content, gather_messages
from acechat.types import (
    CatalogModel,
    ChatCompletion,
    ChatOptions,
    KnownModel,
    MessageLike,
    Model,
    RunResult,
)

if TYPE_CHECKING:  # modules that most programs never use are imported on first use
    from acechat._sync.conversation import Conversation
    from acechat._sync.prepared import PreparedRequest
    from acechat._sync.run_stream import RunStream
    from acechat._tools.approval import Approve
    from acechat._tools.output import OutputT, OutputType
    from acechat._tools.run_state import BeforeTurn

__all__ = ["Client"]


class Client(BulkClient):
    """Client of the chat completion service, for scripts and threads: the blocking `AsyncClient`.

    It runs the asyncio client on an event loop in a background thread, so it works in any thread,
    in several at once, in a notebook, and after a fork. Ctrl-C cancels the call in progress.

    Parameters are those of `AsyncClient`, without *session*.

    Example:
        >>> with Client() as client:
        ...     print(client.chat("Hello").text)
    """

    def chat(
        self,
        *content: Content,
        messages: Iterable[MessageLike] = (),
        system: str | None = None,
        model: KnownModel | str | None = None,
        output_type: OutputType[OutputT] | None = None,
        timeout: Timeout | float | None = None,
        retries: RetryPolicy | int | None = None,
        extra_body: Mapping[str, Any] | None = None,
        extra_headers: Mapping[str, str] | None = None,
        **options: Unpack[ChatOptions],
    ) -> ChatCompletion[OutputT]:
        """Send one request and return the complete response.

        Args:
            *content: The user message: strings, and images from `image`. May be empty if *messages*
                is given.
            messages: Earlier messages, oldest first, as structs or as the API's JSON; default none.
            system: The system prompt, sent before *messages*; default none.
            model: A model name; default None, the client's model.
            output_type: The type of the completion's *output*: a struct, dataclass, `TypedDict` or
                pydantic model, a type made of these, or an `Output`; default None, no output. A
                completion that does not match is requested again, once, at the cost of another
                call.
            timeout: Limits of this call: a `Timeout`, or a positive number for its *total* in
                seconds; default None, the client's.
            retries: A `RetryPolicy`, or the maximum number of attempts, 1 or more, the first
                included; default None, the client's.
            extra_body: Additional fields of the request; they replace fields of the same name.
                Default none.
            extra_headers: Additional HTTP headers of this call; default none.
            **options: All other fields of the request, see `ChatOptions`: max_tokens,
                max_completion_tokens, temperature, top_p, n, stop, response_format, tools,
                tool_choice, parallel_tool_calls, stream_options, reasoning_effort,
                frequency_penalty, presence_penalty, seed, logprobs, top_logprobs, logit_bias, user,
                metadata, store, service_tier, modalities, audio, prediction, web_search_options.

        Raises:
            ConfigurationError: An argument cannot be sent; nothing was sent.
            TypeError: An option is unknown.
            APIError: The service reported an error.
            TransportError: No complete response arrived; `RequestTimeoutError` if a limit of
                *timeout* passed.
            ProtocolError: The response is malformed; `StreamTruncatedError` if a stream ended
                early.
            BudgetExceededError: The client's budget is used up; nothing was sent.
            OutputError: The completion does not match *output_type*.

        Example:
            >>> client.chat("Hello", max_tokens=100).text
        """
        gathered = gather_messages(content, messages=messages, system=system)
        template = self._template(model, timeout, retries, extra_body, extra_headers, options)
        return self._loop.run(self._ask, template, gathered, output_type)

    def stream(
        self,
        *content: Content,
        messages: Iterable[MessageLike] = (),
        system: str | None = None,
        model: KnownModel | str | None = None,
        output_type: OutputType[OutputT] | None = None,
        timeout: Timeout | float | None = None,
        retries: RetryPolicy | int | None = None,
        extra_body: Mapping[str, Any] | None = None,
        extra_headers: Mapping[str, str] | None = None,
        **options: Unpack[ChatOptions],
    ) -> ChatStream[OutputT]:
        """Return the response as a stream of deltas, a `ChatStream`.

        Nothing is sent before the stream is read or entered; errors of the request are raised then.
        A completion that does not match *output_type* is not requested again.

        Parameters and exceptions are those of `chat`.

        Example:
            >>> for delta in client.stream("Hello"):
            ...     print(delta, end="")
        """
        gathered = gather_messages(content, messages=messages, system=system)
        template = self._template(
            model, timeout, retries, extra_body, extra_headers, options, stream=True
        )
        return ChatStream(self._loop, self._open(template, gathered, output_type))

    def run(
        self,
        *content: Content,
        messages: Iterable[MessageLike] = (),
        system: str | None = None,
        model: KnownModel | str | None = None,
        max_turns: int = 8,
        max_parallel: int = 8,
        tool_timeout: float | None = None,
        raise_tool_errors: bool = False,
        approve: Approve | None = None,
        before_turn: BeforeTurn | None = None,
        budget: Budget | None = None,
        timeout: Timeout | float | None = None,
        retries: RetryPolicy | int | None = None,
        extra_body: Mapping[str, Any] | None = None,
        extra_headers: Mapping[str, str] | None = None,
        **options: Unpack[ChatOptions],
    ) -> RunResult:
        """Send a request, run the tools that the model calls, and repeat until it stops.

        Returns after the last turn; `run_stream` yields events meanwhile. Async functions run on
        the client's event loop. Parameters and exceptions are those of `AsyncClient.run`.

        Example:
            >>> client.run("Umbrella in Paris?", tools=[weather]).text
        """
        limits = RunLimits(max_turns, max_parallel, tool_timeout, raise_tool_errors, budget)
        executor = self._executor(options, limits, approve)
        template = self._template(model, timeout, retries, extra_body, extra_headers, options)

        async def collect() -> RunResult:
            # The run is created in the loop: if Ctrl-C comes before, there is none that could warn
            # that it was never awaited.
            run = self._run(content, messages, system, template, executor, limits, before_turn)
            return await run.collect()

        return self._loop.run(collect)

    def run_stream(
        self,
        *content: Content,
        messages: Iterable[MessageLike] = (),
        system: str | None = None,
        model: KnownModel | str | None = None,
        max_turns: int = 8,
        max_parallel: int = 8,
        tool_timeout: float | None = None,
        raise_tool_errors: bool = False,
        approve: Approve | None = None,
        before_turn: BeforeTurn | None = None,
        budget: Budget | None = None,
        timeout: Timeout | float | None = None,
        retries: RetryPolicy | int | None = None,
        extra_body: Mapping[str, Any] | None = None,
        extra_headers: Mapping[str, str] | None = None,
        **options: Unpack[ChatOptions],
    ) -> RunStream:
        """Run tools like `run`, and return a `RunStream` of text, tool calls and turns.

        Parameters and exceptions are those of `run`. Errors are raised when the stream is read.

        Example:
            >>> for text in client.run_stream("Umbrella?", tools=[weather]).text():
            ...     print(text, end="")
        """
        from acechat._sync.run_stream import RunStream

        limits = RunLimits(max_turns, max_parallel, tool_timeout, raise_tool_errors, budget)
        executor = self._executor(options, limits, approve)
        template = self._template(
            model, timeout, retries, extra_body, extra_headers, options, stream=True
        )
        run = self._run_stream(content, messages, system, template, executor, limits, before_turn)
        return RunStream(self._loop, run)

    def prepare(
        self,
        *content: Content,
        messages: Iterable[MessageLike] = (),
        system: str | None = None,
        model: KnownModel | str | None = None,
        output_type: OutputType[Any] | None = None,
        timeout: Timeout | float | None = None,
        retries: RetryPolicy | int | None = None,
        extra_body: Mapping[str, Any] | None = None,
        extra_headers: Mapping[str, str] | None = None,
        **options: Unpack[ChatOptions],
    ) -> PreparedRequest:
        """Return the request of `chat` as a `PreparedRequest`, without sending it.

        It requests a stream where `chat` would; a client with ``streaming="never"`` never does.
        Parameters are those of `chat`.

        Raises:
            ConfigurationError: An argument cannot be sent; nothing was sent.
            TypeError: An option is unknown.

        Example:
            >>> print(client.prepare("Hello", max_tokens=100).curl())
        """
        gathered = gather_messages(content, messages=messages, system=system)
        template = self._template(model, timeout, retries, extra_body, extra_headers, options)
        return self._prepare(template, gathered, output_type)

    def conversation(
        self,
        *,
        messages: Iterable[MessageLike] = (),
        system: str | None = None,
        model: KnownModel | str | None = None,
        **options: Unpack[ChatOptions],
    ) -> Conversation:
        """Begin a conversation, which sends its history with each message.

        Args:
            messages: The history so far, oldest first, as structs or as the API's JSON; default
                none.
            system: The system prompt; default none.
            model: A model name; default None, the client's model.
            **options: Fields of each of its requests, see `ChatOptions`.

        Example:
            >>> conversation = client.conversation(system="Be brief.")
            >>> conversation.send("Hello").text
        """
        from acechat._sync.conversation import Conversation

        return Conversation(self._with_meter, messages, system, model, options)

    def models(self) -> list[Model]:
        """Return the models that the service offers now."""
        return self._loop.run(self._models)

    def catalog(self) -> list[CatalogModel]:
        """Return the public catalogue of chat models: capabilities and prices.

        The source is ``platform.acedata.cloud``, or the host of *base_url* if that is not
        AceData's. Neither the token nor *headers* are sent, and middleware is not called.
        """
        return self._loop.run(self._catalog)

    def count_tokens(
        self,
        *content: Content,
        messages: Iterable[MessageLike] = (),
        system: str | None = None,
        model: KnownModel | str | None = None,
        tools: Sequence[Mapping[str, Any] | Callable[..., Any]] | None = None,
    ) -> int:
        """Return the number of prompt tokens of a request. The service does not charge for it."""
        return self._loop.run(self._count_tokens, content, messages, system, model, tools)


Client.chat.__dict__["completions"] = NotHere("client.chat.completions", CHAT)
