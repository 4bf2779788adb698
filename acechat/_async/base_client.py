"""`BaseClient`: the calls of a client, for its async and its sync class."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

import msgspec

from acechat._async.stream import AsyncChatStream
from acechat._core.call import Call
from acechat._core.client_settings import ClientSettings
from acechat._policy.values import RetryPolicy, RunLimits, Timeout
from acechat._wire.endpoints import decode_models
from acechat._wire.messages import Content, gather_messages
from acechat._wire.request import HTTPRequest, RequestTemplate, build_template
from acechat.types import (
    CatalogModel,
    ChatCompletion,
    ChatOptions,
    Estimate,
    KnownModel,
    MessageLike,
    Model,
)

if TYPE_CHECKING:  # imported when they are used
    from acechat._async.prepared import AsyncPreparedRequest
    from acechat._async.run import AsyncRun
    from acechat._async.run_stream import AsyncRunStream
    from acechat._tools.approval import Approve
    from acechat._tools.executor import ToolExecutor
    from acechat._tools.output import OutputT, OutputType
    from acechat._tools.run_state import BeforeTurn

__all__ = ["AsyncBaseClient", "BaseClient"]


class BaseClient(ClientSettings):
    """The calls of a client.

    `AsyncClient` awaits the results of these methods, `Client` runs them in its loop thread.
    """

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
        before_turn: BeforeTurn | None,
    ) -> AsyncRun:
        from acechat._async.run import AsyncRun
        from acechat._tools.run_state import RunState

        state = RunState(content, messages, system, template, executor, limits, before_turn)
        return AsyncRun(self._ask, state)

    def _run_stream(
        self,
        content: Sequence[Content],
        messages: Iterable[MessageLike],
        system: str | None,
        template: RequestTemplate,
        executor: ToolExecutor,
        limits: RunLimits,
        before_turn: BeforeTurn | None,
    ) -> AsyncRunStream:
        from acechat._async.run_stream import AsyncRunStream
        from acechat._tools.run_state import RunState

        state = RunState(content, messages, system, template, executor, limits, before_turn)
        return AsyncRunStream(self._open, state)

    def _executor(
        self, options: ChatOptions, limits: RunLimits, approve: Approve | None
    ) -> ToolExecutor:
        """Return the tools of a run, and replace those in *options* by their JSON."""
        from acechat._tools.executor import ToolExecutor

        fields: dict[str, Any] = cast("dict[str, Any]", options)
        observers = self._state.observers
        observe = observers.tool_started if observers.instruments else None
        tools = fields.get("tools") or ()
        executor = ToolExecutor(tools, limits, self._config.token, observe, approve)
        fields["tools"] = executor.definitions
        return executor

    async def _estimate(self, request: HTTPRequest) -> Estimate:
        """Count the prompt tokens of a chat request, and compute the range of its cost."""
        from acechat._policy.estimate import estimate_of
        from acechat._wire.endpoints import build_count, decode_count

        body = request.json()
        count = build_count(body["messages"], model=body["model"], tools=body.get("tools"))
        call = self._free_call(count)
        tokens = await call.run(partial(call.attempt_body, decode_count))
        return estimate_of(body, tokens, await self._catalog())

    def _template(
        self,
        model: KnownModel | str | None,
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
        return await call.run(partial(call.attempt_body, decode_models))

    async def _catalog(self) -> list[CatalogModel]:
        from acechat._wire.endpoints import PATH, decode_catalog, platform_root

        transport = self._transport.anonymous(platform_root(self._config.api_root))
        state = msgspec.structs.replace(self._state, middleware=())
        request = HTTPRequest(method="GET", path=PATH)
        config = self._config
        call = Call(transport, request, config, config.timeout, config.retries, state)
        try:
            return await call.run(partial(call.attempt_body, decode_catalog))
        finally:
            await transport.close()

    async def _count_tokens(
        self,
        content: Sequence[Content],
        messages: Iterable[MessageLike],
        system: str | None,
        model: KnownModel | str | None,
        tools: Sequence[Mapping[str, Any] | Callable[..., Any]] | None,
    ) -> int:
        from acechat._tools.tool import write_functions
        from acechat._wire.endpoints import build_count, decode_count

        gathered = gather_messages(content, messages=messages, system=system)
        request = build_count(
            gathered, model=model or self._config.model, tools=write_functions(tools or ())
        )
        call = self._free_call(request)
        return await call.run(partial(call.attempt_body, decode_count))

    def _free_call(self, request: HTTPRequest) -> Call:
        """Return a call that the service does not charge for."""
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
        """Return the call of a chat request; nothing is sent.

        Raises:
            ConfigurationError: The request cannot be sent.
        """
        timeout, retries, model = template.timeout, template.retries, template.model
        transport, config, state = self._transport, self._config, self._state
        collect = _collect if template.stream else None
        if output_type is None:
            request = template.request(messages)
            return Call(transport, request, config, timeout, retries, state, model, collect)
        from acechat._core.structured_call import StructuredCall
        from acechat._tools.output import OutputSpec

        spec = OutputSpec(output_type)
        request = template.request(messages, spec.apply)
        return StructuredCall(
            transport, request, config, timeout, retries, state, model, collect, spec
        )


class AsyncBaseClient(BaseClient):
    """The lifetime of `AsyncClient` and its calls that are free of charge."""

    def _prepare(
        self,
        template: RequestTemplate,
        messages: Sequence[MessageLike],
        output_type: OutputType[Any] | None,
    ) -> AsyncPreparedRequest:
        from acechat._async.prepared import AsyncPreparedRequest

        config = self._config
        request = self._call_for(template, messages, output_type).request
        return AsyncPreparedRequest(request, config.api_root, config.token, self._estimate)

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
        """Close the connections. Calls in progress raise `ClientClosedError`."""
        await self._transport.close()

    async def close(self) -> None:
        """Close the connections; same as `aclose`."""
        await self.aclose()

    async def models(self) -> list[Model]:
        """Return the models that the service offers now."""
        return await self._models()

    async def catalog(self) -> list[CatalogModel]:
        """Return the public catalogue of chat models: capabilities and prices.

        It is read from ``platform.acedata.cloud``, or from the host of *base_url* if that is not
        AceData's. Neither the token nor *headers* are sent, and middleware is not called.
        """
        return await self._catalog()

    async def count_tokens(
        self,
        *content: Content,
        messages: Iterable[MessageLike] = (),
        system: str | None = None,
        model: KnownModel | str | None = None,
        tools: Sequence[Mapping[str, Any] | Callable[..., Any]] | None = None,
    ) -> int:
        """Return the number of prompt tokens of a request. The service does not charge for it.

        Args:
            *content: As in `AsyncClient.chat`.
            messages: As in `AsyncClient.chat`.
            system: As in `AsyncClient.chat`.
            model: As in `AsyncClient.chat`.
            tools: Functions or the API's JSON, counted with the messages; default none.

        Example:
            >>> await client.count_tokens("Hello", system="Be brief.")
        """
        return await self._count_tokens(content, messages, system, model, tools)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AsyncBaseClient) and self._config == other._config

    def __hash__(self) -> int:
        return super().__hash__()


async def _collect(call: Call) -> ChatCompletion[Any]:
    """Make *call* as a stream, with the size limit of a response that is not streamed."""
    stream = AsyncChatStream[Any](call)
    stream.max_bytes = call.config.max_response_bytes
    return await stream.collect()
