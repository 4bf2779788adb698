"""`BaseClient`: what a client is in either colour, before anybody waits."""

from __future__ import annotations

import os
import ssl as _ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Self, cast

import msgspec

from acechat._async.stream import AsyncChatStream
from acechat._config import DEFAULT_MODEL, Config, Streaming, as_models, read_api_root
from acechat._core.call import Call, SharedState
from acechat._core.meter import Meter
from acechat._core.middleware import Middleware, check_middleware
from acechat._core.observers import Observer, Observers
from acechat._credentials import read_token
from acechat._policy.values import (
    Budget,
    RateLimit,
    RetryPolicy,
    RunLimits,
    Timeout,
    as_retries,
    as_timeout,
)
from acechat._wire.endpoints import decode_models
from acechat._wire.messages import Content, gather_messages
from acechat._wire.request import HTTPRequest, RequestTemplate, build_template
from acechat.types import CatalogModel, ChatCompletion, ChatOptions, MessageLike, Model

if TYPE_CHECKING:  # aiohttp takes 0.15 s, and comes when a client is made; the rest, when used
    import aiohttp

    from acechat._async.run import AsyncRun
    from acechat._async.run_stream import AsyncRunStream
    from acechat._core.rate_gate import RateGate
    from acechat._http.transport import Transport
    from acechat._tools.executor import ToolExecutor
    from acechat._tools.output import OutputT, OutputType
    from acechat._wire.prepared import PreparedRequest

__all__ = ["BaseClient"]


class BaseClient:
    """Settings, connections, and the calls that are made with them.

    `AsyncClient` awaits what the methods return, `Client` runs it in its loop's thread.
    """

    def __init__(
        self,
        api_token: str | None = None,
        *,
        base_url: str | None = None,
        model: str = DEFAULT_MODEL,
        fallback_models: Iterable[str] = (),
        streaming: Streaming = "auto",
        timeout: Timeout | float = Timeout(),
        retries: RetryPolicy | int = RetryPolicy(),
        headers: Mapping[str, str] | None = None,
        proxy: str | None = None,
        ssl: _ssl.SSLContext | None = None,
        session: aiohttp.ClientSession | None = None,
        max_concurrency: int | None = None,
        budget: Budget | None = None,
        rate_limit: RateLimit | None = None,
        observers: Iterable[Observer] = (),
        middleware: Iterable[Middleware] = (),
        max_event_bytes: int = 16 * 2**20,
        max_response_bytes: int = 64 * 2**20,
        max_record_bytes: int = 256 * 2**10,
    ) -> None:
        from acechat._http.proxy import read_proxy

        api_root = read_api_root(base_url)
        config = Config(
            token=read_token(api_token),
            api_root=api_root,
            model=model,
            fallback_models=as_models(fallback_models),
            streaming=streaming,
            timeout=as_timeout(timeout, Timeout()),
            retries=as_retries(retries, RetryPolicy()),
            headers=dict(headers or ()),
            proxy=read_proxy(proxy, api_root),
            max_concurrency=max_concurrency,
            budget=budget,
            rate_limit=rate_limit,
            max_event_bytes=max_event_bytes,
            max_response_bytes=max_response_bytes,
            max_record_bytes=max_record_bytes,
        )
        self._set_up(config, observers, middleware, ssl=ssl, session=session)

    @classmethod
    def _from_config(cls, config: Config) -> Self:
        caller = object.__new__(cls)
        caller._set_up(config)
        return caller

    def _set_up(
        self,
        config: Config,
        observers: Iterable[Observer] = (),
        middleware: Iterable[Middleware] = (),
        *,
        ssl: _ssl.SSLContext | None = None,
        session: aiohttp.ClientSession | None = None,
    ) -> None:
        from acechat._http.transport import Transport

        self._config = config
        self._state = state = SharedState(
            observers=Observers(observers),
            middleware=check_middleware(middleware),
            meter=Meter(),
            gate=_gate(config.rate_limit) if config.rate_limit else None,
        )
        self._transport: Transport = Transport(config, ssl=ssl, session=session)
        live = ssl is not None or session is not None or state.observers or state.middleware
        self._portable = not live

    @property
    def meter(self) -> Meter:
        """What the answers of this client, and of its copies, used and cost."""
        return self._state.meter

    def with_options(
        self,
        *,
        model: str | None = None,
        fallback_models: Iterable[str] | None = None,
        streaming: Streaming | None = None,
        timeout: Timeout | float | None = None,
        retries: RetryPolicy | int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Self:
        """Return a copy with other settings; None leaves one as it is.

        The two share their connections and their end, meter, budget, rate limit, observers and
        middleware. No copy can have a budget of its own, because the meter that it would be
        compared with counts the calls of all copies; a run can: see *budget* of `AsyncClient.run`.
        """
        config = self._config
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__)
        copy._config = msgspec.structs.replace(
            config,
            model=model or config.model,
            fallback_models=(
                config.fallback_models if fallback_models is None else as_models(fallback_models)
            ),
            streaming=streaming or config.streaming,
            timeout=as_timeout(timeout, config.timeout),
            retries=as_retries(retries, config.retries),
            headers=config.headers | dict(headers or ()),
        )
        return copy

    def save_cassette(self, path: str | os.PathLike[str]) -> None:
        """Write to a file what went over the wire in the call that began last.

        ``acechat emulate --replay`` plays it. It holds the prompt, with its pictures, and the
        answer, but never the token.

        Raises:
            RuntimeError: Nothing was recorded.
            OSError: The file cannot be written.
        """
        from acechat._record.cassette import Cassette

        last = self._transport.recorder.last
        if last is None:
            raise RuntimeError(
                "nothing was recorded: nothing was asked yet, or max_record_bytes is 0"
            )
        Cassette(last.exchanges()).save(path)

    def _ask(
        self,
        template: RequestTemplate,
        messages: Sequence[MessageLike],
        output_type: OutputType[OutputT] | None = None,
    ) -> Awaitable[ChatCompletion[OutputT]]:
        return self._call_for(template, messages, output_type).complete()

    def _open(
        self,
        template: RequestTemplate,
        messages: Sequence[MessageLike],
        output_type: OutputType[OutputT] | None = None,
    ) -> AsyncChatStream[OutputT]:
        return AsyncChatStream(self._call_for(template, messages, output_type))

    def _run(
        self,
        content: Sequence[Content],
        messages: Iterable[MessageLike],
        system: str | None,
        template: RequestTemplate,
        executor: ToolExecutor,
        limits: RunLimits,
    ) -> AsyncRun:
        from acechat._async.run import AsyncRun
        from acechat._tools.run_state import RunState

        state = RunState(content, messages, system, template, executor, limits)
        return AsyncRun(self._ask, state)

    def _run_stream(
        self,
        content: Sequence[Content],
        messages: Iterable[MessageLike],
        system: str | None,
        template: RequestTemplate,
        executor: ToolExecutor,
        limits: RunLimits,
    ) -> AsyncRunStream:
        from acechat._async.run_stream import AsyncRunStream
        from acechat._tools.run_state import RunState

        state = RunState(content, messages, system, template, executor, limits)
        return AsyncRunStream(self._open, state)

    def _executor(self, options: ChatOptions, limits: RunLimits) -> ToolExecutor:
        """Return the tools of a run, and replace those in *options* by their JSON."""
        from acechat._tools.executor import ToolExecutor

        fields: dict[str, Any] = cast("dict[str, Any]", options)
        executor = ToolExecutor(fields.get("tools") or (), limits, self._config.token)
        fields["tools"] = executor.definitions
        return executor

    def _prepare(
        self,
        template: RequestTemplate,
        messages: Sequence[MessageLike],
        output_type: OutputType[Any] | None,
    ) -> PreparedRequest:
        from acechat._wire.prepared import PreparedRequest

        config = self._config
        request = self._call_for(template, messages, output_type).request
        return PreparedRequest(request, config.api_root, config.token)

    def _template(
        self,
        model: str | None,
        timeout: Timeout | float | None,
        retries: RetryPolicy | int | None,
        extra_body: Mapping[str, Any] | None,
        extra_headers: Mapping[str, str] | None,
        options: ChatOptions,
        *,
        stream: bool | None = None,
    ) -> RequestTemplate:
        """Build the template of a call; functions among its *tools* become JSON."""
        fields: Mapping[str, Any] = options
        if (tools := fields.get("tools")) and not isinstance(tools, msgspec.Raw):
            from acechat._tools.tool import write_functions  # most calls have none

            fields = {**fields, "tools": write_functions(tools)}
        return build_template(
            self._config,
            fields,
            model=model,
            timeout=timeout,
            retries=retries,
            extra_body=extra_body,
            extra_headers=extra_headers,
            stream=stream,
        )

    async def _models(self) -> list[Model]:
        call = self._free_call(HTTPRequest(method="GET", path="/models"))
        return await call.run(partial(call.body, decode_models))

    async def _catalog(self) -> list[CatalogModel]:
        from acechat._wire.endpoints import PATH, decode_catalog, platform_root

        transport = self._transport.anonymous(platform_root(self._config.api_root))
        state = msgspec.structs.replace(self._state, middleware=())
        request = HTTPRequest(method="GET", path=PATH)
        config = self._config
        call = Call(transport, request, config, config.timeout, config.retries, state)
        try:
            return await call.run(partial(call.body, decode_catalog))
        finally:
            await transport.close()

    async def _count_tokens(
        self,
        content: Sequence[Content],
        messages: Iterable[MessageLike],
        system: str | None,
        model: str | None,
        tools: Sequence[Mapping[str, Any] | Callable[..., Any]] | None,
    ) -> int:
        from acechat._tools.tool import write_functions
        from acechat._wire.endpoints import build_count, decode_count

        gathered = gather_messages(content, messages=messages, system=system)
        request = build_count(
            gathered, model=model or self._config.model, tools=write_functions(tools or ())
        )
        call = self._free_call(request)
        return await call.run(partial(call.body, decode_count))

    def _free_call(self, request: HTTPRequest) -> Call:
        """Return the call of a question that costs nothing."""
        config = self._config
        return Call(
            self._transport,
            request.with_headers(config.headers),
            config,
            config.timeout,
            config.retries,
            self._state,
        )

    def _call_for(
        self,
        template: RequestTemplate,
        messages: Sequence[MessageLike],
        output_type: OutputType[Any] | None,
    ) -> Call:
        """Return the call that asks for an answer; nothing is sent.

        Raises:
            ConfigurationError: Something cannot be sent.
        """
        request = template.request(messages)
        timeout, retries, model = template.timeout, template.retries, template.model
        transport, config, state = self._transport, self._config, self._state
        collect = _collect if template.stream else None
        if output_type is None:
            return Call(transport, request, config, timeout, retries, state, model, collect)
        from acechat._core.structured_call import StructuredCall
        from acechat._tools.output import OutputSpec

        spec = OutputSpec(output_type)
        return StructuredCall(
            transport, request, config, timeout, retries, state, model, collect, spec
        )

    def __reduce__(self) -> tuple[Any, ...]:
        if not self._portable:
            raise TypeError(
                "a client with a session=, ssl=, observers= or middleware= of its own cannot be "
                "pickled"
            )
        return type(self)._from_config, (self._config,)

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._config!r})"


def _gate(limit: RateLimit) -> RateGate:
    from acechat._core.rate_gate import RateGate

    return RateGate(limit)


async def _collect(call: Call) -> ChatCompletion[Any]:
    """Read the answer of *call* as a stream, no longer than a plain one may be."""
    stream = AsyncChatStream[Any](call)
    stream.most = call.config.max_response_bytes
    return await stream.collect()
