"""LangChain: `ChatAceData`, a chat model; needs ``acechat[langchain]``."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import LangSmithParams, LanguageModelInput
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import ConfigDict, Field, PrivateAttr, SecretStr

from acechat import DEFAULT_MODEL, AsyncClient, Client, Timeout
from acechat.integrations._langchain_messages import (
    as_request_messages,
    chunk_of,
    last_chunk_of,
    result_of,
)
from acechat.integrations._langchain_structured import (
    Schema,
    parser_of,
    require_call,
    response_format_of,
    tool_choice_of,
    with_raw,
)
from acechat.integrations._tool_calls import ToolCallNumbers, reasons_by_default

__all__ = ["ChatAceData"]

_VARIABLES = ("ACEDATACLOUD_API_TOKEN", "ACEDATACLOUD_API_KEY", "ACEDATA_API_KEY")
_OPTIONS = ("temperature", "top_p", "max_tokens", "stop", "reasoning_effort", "seed")


def _token_of_environment() -> SecretStr | None:
    found = (os.environ.get(name) for name in _VARIABLES)
    return next((SecretStr(token) for token in found if token), None)


class ChatAceData(BaseChatModel):
    """Chat model of AceData Cloud's Claude service, for LangChain.

    A truncated stream raises `StreamTruncatedError`. JSON that was truncated at the token limit,
    of a tool call or a structured output, raises `OutputError`. The reasoning of the model is in
    ``message.content_blocks`` and in ``additional_kwargs["reasoning_content"]``.

    Example:
        >>> model = ChatAceData(model="claude-sonnet-4-20250514")
        >>> model.invoke("Hello").text
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(
        populate_by_name=True, arbitrary_types_allowed=True
    )

    model: str = Field(default=DEFAULT_MODEL, alias="model_name")
    api_token: SecretStr | None = Field(
        default_factory=_token_of_environment, alias="api_key", repr=False
    )
    """Default ``ACEDATACLOUD_API_TOKEN``; left out of pickles."""

    base_url: str | None = Field(
        default_factory=lambda: os.environ.get("ACEDATACLOUD_API_BASE_URL") or None
    )
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: list[str] | None = Field(default=None, alias="stop_sequences")
    reasoning_effort: str | None = None
    seed: int | None = None

    timeout: float | Timeout | None = None
    """Limits of a call: a `Timeout`, or seconds for its *total*; default the client's."""

    max_retries: int | None = None
    """Retries after the first attempt; default the client's."""

    streaming: bool = False
    """Whether `invoke` reads its response as a stream, for callbacks that receive tokens."""

    model_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Other fields of each request."""

    client: Client | None = Field(default=None, exclude=True, repr=False)
    """The client of the blocking methods; default one of its own."""

    async_client: AsyncClient | None = Field(default=None, exclude=True, repr=False)
    """The client of the async methods; default one of its own."""

    _own_client: Client | None = PrivateAttr(default=None)
    _own_async_client: AsyncClient | None = PrivateAttr(default=None)

    @property
    def _llm_type(self) -> str:
        return "acedatacloud-chat"

    @property
    def _identifying_params(self) -> Mapping[str, Any]:
        options = {name: getattr(self, name) for name in _OPTIONS}
        return {"model": self.model, "base_url": self.base_url, **options, **self.model_kwargs}

    @property
    def lc_secrets(self) -> dict[str, str]:
        """The secrets that are left out when the model is serialized, and their variables."""
        return {"api_token": _VARIABLES[0], "api_key": _VARIABLES[0]}

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Return True: `langchain_core.load` serializes the model, without its token."""
        return True

    @classmethod
    def get_lc_namespace(cls) -> list[str]:
        """Return the path of the module, for `langchain_core.load`."""
        return ["acechat", "integrations", "langchain"]

    def __getstate__(self) -> dict[Any, Any]:
        """Return the state to pickle, without the token and the clients."""
        state = super().__getstate__()
        left_out = {"api_token": None, "client": None, "async_client": None}
        state["__dict__"] = state["__dict__"] | left_out
        state["__pydantic_private__"] = {"_own_client": None, "_own_async_client": None}
        return state

    def __setstate__(self, state: dict[Any, Any]) -> None:
        """Restore a pickled state; the token is that of the environment."""
        super().__setstate__(state)
        self.api_token = _token_of_environment()

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop or self.stop, **kwargs)
        params["ls_provider"] = "acedatacloud"
        return params

    def _settings(self) -> dict[str, Any]:
        token = self.api_token.get_secret_value() if self.api_token is not None else None
        settings: dict[str, Any] = {"api_token": token, "base_url": self.base_url}
        if self.timeout is not None:
            settings["timeout"] = self.timeout
        if self.max_retries is not None:
            settings["retries"] = self.max_retries + 1
        return settings

    def _blocking(self) -> Client:
        if self.client is not None:
            return self.client
        if self._own_client is None:
            self._own_client = Client(**self._settings())
        return self._own_client

    def _asynchronous(self) -> AsyncClient:
        if self.async_client is not None:
            return self.async_client
        if self._own_async_client is None:
            self._own_async_client = AsyncClient(**self._settings())
        return self._own_async_client

    def close(self) -> None:
        """Close the blocking client, unless it was passed as *client*; calls create a new one."""
        client, self._own_client = self._own_client, None
        if client is not None:
            client.close()

    async def aclose(self) -> None:
        """Close both clients, unless they were passed; calls create new ones."""
        self.close()
        client, self._own_async_client = self._own_async_client, None
        if client is not None:
            await client.aclose()

    def _arguments(
        self, messages: list[BaseMessage], stop: list[str] | None, kwargs: dict[str, Any]
    ) -> dict[str, Any]:
        own = self.__dict__
        sent = {name: own[name] for name in _OPTIONS if own[name] is not None}
        if more := self.model_kwargs | kwargs:
            sent = {name: value for name, value in (sent | more).items() if value is not None}
        if stop:
            sent["stop"] = stop
        elif not sent.get("stop", True):  # an empty list, which the service refuses
            del sent["stop"]
        sent["model"] = sent.get("model") or self.model
        sent["messages"] = as_request_messages(messages)
        return sent

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002 - LangChain passes it
        **kwargs: Any,
    ) -> ChatResult:
        arguments = self._arguments(messages, stop, kwargs)
        return result_of(self._blocking().chat(**arguments), arguments)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,  # noqa: ARG002 - as above
        **kwargs: Any,
    ) -> ChatResult:
        arguments = self._arguments(messages, stop, kwargs)
        return result_of(await self._asynchronous().chat(**arguments), arguments)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        arguments = self._arguments(messages, stop, kwargs)
        calls = ToolCallNumbers()
        with self._blocking().stream(**arguments) as stream:
            for delta in stream:
                if (chunk := chunk_of(calls, delta)) is not None:
                    if run_manager is not None:
                        run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk
        yield last_chunk_of(stream.completion, arguments)

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        arguments = self._arguments(messages, stop, kwargs)
        calls = ToolCallNumbers()
        async with self._asynchronous().stream(**arguments) as stream:
            async for delta in stream:
                if (chunk := chunk_of(calls, delta)) is not None:
                    if run_manager is not None:
                        await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk
        yield last_chunk_of(stream.completion, arguments)

    def get_num_tokens(self, text: str) -> int:
        """Return the number of tokens of *text* as a prompt; the service counts, free of charge."""
        return self.get_num_tokens_from_messages([HumanMessage(text)])

    def get_num_tokens_from_messages(
        self,
        messages: list[BaseMessage],
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool] | None = None,
    ) -> int:
        """Return the number of prompt tokens of *messages* and *tools*; the service counts."""
        return self._blocking().count_tokens(
            messages=as_request_messages(messages),
            model=self.model,
            tools=[convert_to_openai_tool(tool) for tool in tools or ()],
        )

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | dict[str, Any] | bool | None = None,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Return the model with *tools*.

        Args:
            tools: Functions, LangChain tools, pydantic models, or JSON of OpenAI's or Anthropic's.
            tool_choice: ``"auto"``, ``"none"``, ``"any"`` (or ``"required"``, True), the name of a
                tool, or the API's JSON; default None, ``"auto"``.
            strict: Whether the schema is enforced, as far as the service does; default None.
            **kwargs: Other options of the request.
        """
        formatted = [convert_to_openai_tool(tool, strict=strict) for tool in tools]
        if tool_choice:
            kwargs["tool_choice"] = tool_choice_of(tool_choice)
        return super().bind(tools=formatted, **kwargs)

    def with_structured_output(
        self,
        schema: Schema,
        *,
        include_raw: bool = False,
        method: Literal["function_calling", "json_schema", "json_mode"] = "function_calling",
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """Return a runnable whose output is a value of *schema*.

        Args:
            schema: A pydantic model, a `TypedDict`, or a JSON Schema.
            include_raw: If true, the output is a dict of *raw*, *parsed* and *parsing_error*.
            method: ``"function_calling"`` (default) forces the call of a tool, or offers it to a
                model that reasons; ``"json_schema"`` and ``"json_mode"`` send *response_format*,
                which some of the service's channels ignore.
            strict: As in `bind_tools`.
            **kwargs: Other options of the request.
        """
        form = {"kwargs": {"method": method, "strict": strict}, "schema": schema}
        model: Runnable[LanguageModelInput, AIMessage]
        if method == "function_calling":
            name = convert_to_openai_tool(schema)["function"]["name"]
            reasons = self.reasoning_effort is not None or reasons_by_default(self.model)
            choice = "auto" if reasons else name  # reasoning excludes a forced call
            kwargs["ls_structured_output_format"] = form
            model = self.bind_tools([schema], tool_choice=choice, strict=strict, **kwargs)
            model = model | require_call() if reasons else model
        else:
            wanted = response_format_of(schema, method, strict=strict)
            model = self.bind(response_format=wanted, ls_structured_output_format=form, **kwargs)
        parser = parser_of(schema, method)
        return with_raw(model, parser) if include_raw else model | parser
