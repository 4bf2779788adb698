"""`AsyncClient`: the public calls, for asyncio."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Unpack

from acechat._async.bulk import AsyncBulkClient
from acechat._async.stream import AsyncChatStream
from acechat._hints import CHAT, NotHere
from acechat._policy.values import Budget, RetryPolicy, RunLimits, Timeout
from acechat._wire.messages import Content, gather_messages
from acechat.types import ChatCompletion, ChatOptions, KnownModel, MessageLike

if TYPE_CHECKING:  # imported when they are used
    from acechat._async.conversation import AsyncConversation
    from acechat._async.prepared import AsyncPreparedRequest
    from acechat._async.run import AsyncRun
    from acechat._async.run_stream import AsyncRunStream
    from acechat._tools.approval import Approve
    from acechat._tools.output import OutputT, OutputType
    from acechat._tools.run_state import BeforeTurn

__all__ = ["AsyncClient"]


class AsyncClient(AsyncBulkClient):
    """Client of the chat completion service, for asyncio.

    A client keeps its connections open: create one and reuse it, in one event loop after another
    and after a fork. It pickles without its token.

    Args:
        api_token: The token of an application, or a function, async or not, that returns one. It is
            called in the event loop before each request, and once more after a 401. Default None:
            the first that is set of ``ACEDATACLOUD_API_TOKEN``, ``ACEDATACLOUD_API_KEY`` and
            ``ACEDATA_API_KEY``.
        base_url: An origin, to which ``/v1`` is added, or an API root, which is used unchanged;
            default None, ``ACEDATACLOUD_API_BASE_URL`` or ``https://api.acedata.cloud``.
        model: The model of calls without one; default ``"claude-sonnet-4-20250514"``.
        fallback_models: Models that are tried in this order when a model stays overloaded, each
            with retries of its own; default none. `ChatCompletion.model` names the model of the
            completion.
        streaming: Whether `chat` requests a stream internally: ``"always"``, ``"never"``, or
            ``"auto"`` (default) if the model reasons or *max_tokens* is over 4096, because gateways
            close connections that are silent for long. The completion is the same.
        on_model_mismatch: ``"warn"`` or ``"raise"`` (`ModelMismatchError`) if the response names
            another model than the request, see `ModelEvidence.matches`; default ``"ignore"``.
        timeout: Limits of a call: a `Timeout`, or a positive number for its *total* in seconds;
            default ``Timeout()``.
        retries: A `RetryPolicy`, or the maximum number of attempts, 1 or more, the first included;
            default ``RetryPolicy()``, 3 attempts.
        headers: Additional HTTP headers of all requests; default none.
        proxy: ``http://`` or ``https://`` URL of a proxy; ``""`` for none; default None, the
            environment's (``HTTPS_PROXY``, ``NO_PROXY``, …).
        ssl: An `ssl.SSLContext` that checks the service's certificate; default None, the system's
            certificates.
        session: An `aiohttp.ClientSession` that the client uses and does not close; default None,
            one of its own.
        max_concurrency: The maximum number of requests at a time, 1 or more; default None, no
            limit. Waiting for a slot counts towards `Timeout.total` only.
        budget: The maximum that may be spent, after which calls raise `BudgetExceededError`;
            default None, no limit.
        rate_limit: The maximum of requests and tokens per minute; default None, no limit. Waiting
            for a slot counts towards `Timeout.total` only.
        observers: Functions that are called with the events of each call, see `CallEvent`; default
            none.
        middleware: Async functions that are awaited once per attempt, the first one outermost, see
            `Middleware`; default none.
        cache: A `ResponseCache`, for development: a request that was sent before gets the stored
            response; default none.
        max_event_bytes: The maximum size of one event of a stream, in bytes, 1 or more; default 16
            MiB.
        max_response_bytes: The maximum size of a response that is not streamed, in bytes after
            decompression, 1 or more; default 64 MiB.
        max_record_bytes: The maximum size of the recording of one call for `AceChatError.save` and
            `save_cassette`, in bytes, 1024 or more; 0 records nothing; default 256 KiB.

    Raises:
        ConfigurationError: An argument, or an environment variable, is invalid.
        TypeError: An observer or a middleware cannot be called.

    Example:
        >>> async with AsyncClient() as client:
        ...     reply = await client.chat("Hello")
        >>> reply.text
    """

    async def chat(
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
            >>> (await client.chat("Hello", max_tokens=100)).text
        """
        gathered = gather_messages(content, messages=messages, system=system)
        template = self._template(model, timeout, retries, extra_body, extra_headers, options)
        return await self._call_for(template, gathered, output_type).complete()

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
    ) -> AsyncChatStream[OutputT]:
        """Return the response as a stream of deltas, an `AsyncChatStream`.

        Nothing is sent before the stream is read or entered; errors of the request are raised then.
        A completion that does not match *output_type* is not requested again. Parameters and
        exceptions are those of `chat`.

        Example:
            >>> async for delta in client.stream("Hello"):
            ...     print(delta, end="")
        """
        gathered = gather_messages(content, messages=messages, system=system)
        template = self._template(
            model, timeout, retries, extra_body, extra_headers, options, stream=True
        )
        return self._open(template, gathered, output_type)

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
    ) -> AsyncRun:
        """Send a request, run the tools that the model calls, and repeat until it stops.

        Await the `AsyncRun`, which sends nothing before, or iterate over its turns as they end.
        Each turn is one call like `chat`, at its price. Exceptions of tools go to the model.

        Args:
            max_turns: The maximum number of requests, 1 or more; default 8.
            max_parallel: The maximum number of tools that run at a time, 1 or more; default 8.
            tool_timeout: Limit of one tool call, in seconds, positive; default None, no limit.
            raise_tool_errors: Whether an exception of a tool ends the run; default False.
            approve: An (async) function of the name and arguments of a tool call: True allows it, a
                dict allows it with these arguments, False or a reason (str) refuses it.
            before_turn: An (async) function of a request's messages; returns others, or None.
            budget: The maximum that this run may spend, besides the client's budget; default None,
                no limit. Checked before each turn: the run exceeds it by one turn at most.
            *content: As in `chat`.
            messages: As in `chat`.
            system: As in `chat`.
            model: As in `chat`.
            timeout: As in `chat`, for the request of each turn.
            retries: As in `chat`, for the request of each turn.
            extra_body: As in `chat`.
            extra_headers: As in `chat`.
            **options: As in `chat`. *tools* are functions (see `acechat.tool`) or `Tool` objects;
                functions that are not async run in threads. A *tool_choice* that requires a call
                holds for the first turn only.

        Raises:
            ConfigurationError: A tool or an argument cannot be used; nothing was sent.
            MaxTurnsError: *max_turns* did not suffice; *run* has the completed turns.
            BudgetExceededError: *budget*, or the client's, is used up; *run* as above.
            ToolError: A tool failed, and *raise_tool_errors* is true.
            AceChatError: Any error of `chat`; *run* as above.

        Example:
            >>> (await client.run("Umbrella in Paris?", tools=[weather])).text
        """
        limits = RunLimits(max_turns, max_parallel, tool_timeout, raise_tool_errors, budget)
        executor = self._executor(options, limits, approve)
        template = self._template(model, timeout, retries, extra_body, extra_headers, options)
        return self._run(content, messages, system, template, executor, limits, before_turn)

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
    ) -> AsyncRunStream:
        """Run tools like `run`, and return an `AsyncRunStream` of text, tool calls and turns.

        Parameters and exceptions are those of `run`; it raises when it is read.

        Example:
            >>> async for text in client.run_stream("Umbrella?", tools=[weather]).text(): ...
        """
        limits = RunLimits(max_turns, max_parallel, tool_timeout, raise_tool_errors, budget)
        executor = self._executor(options, limits, approve)
        template = self._template(
            model, timeout, retries, extra_body, extra_headers, options, stream=True
        )
        return self._run_stream(content, messages, system, template, executor, limits, before_turn)

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
    ) -> AsyncPreparedRequest:
        """Return the request of `chat` as an `AsyncPreparedRequest`, without sending it.

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
    ) -> AsyncConversation:
        """Begin a conversation, which sends its history with each message.

        Args:
            messages: The history so far, oldest first, as structs or as the API's JSON; default
                none.
            system: The system prompt; default none.
            model: A model name; default None, the client's model.
            **options: Fields of each of its requests, see `ChatOptions`.

        Example:
            >>> (await client.conversation(system="Be brief.").send("Hello")).text
        """
        from acechat._async.conversation import AsyncConversation

        return AsyncConversation(self._with_meter, messages, system, model, options)


AsyncClient.chat.__dict__["completions"] = NotHere("client.chat.completions", CHAT)
