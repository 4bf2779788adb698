"""Structured output: request a type, and convert the response to a value of it."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from contextlib import suppress
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    Literal,
    Protocol,
    TypeAlias,
    cast,
    get_args,
    overload,
)

import msgspec
from msgspec import Struct

from acechat._tools.find_output import PartialOutput, candidates
from acechat._tools.output_form import form_of
from acechat._tools.partial_json import find_json
from acechat._tools.schema import SchemaMismatchError, read
from acechat._tools.tool_output import FINAL, NAME, total, without_tool
from acechat._wire.encode import encode
from acechat._wire.request import HTTPRequest, uses_reasoning
from acechat.errors import APIError, ConfigurationError, OutputError
from acechat.types import AssistantMessage, ChatCompletion, Usage, UserMessage
from acechat.types.completion import OutputT_co, note_output

if TYPE_CHECKING:  # as in acechat.types.completion
    from typing_extensions import TypeForm, TypeVar

    OutputT = TypeVar("OutputT", default=Any)
else:
    from typing import TypeVar

    OutputT = TypeVar("OutputT")
    TypeForm = type

__all__ = ["Output", "OutputSpec", "OutputT", "OutputType", "Strategy"]

Strategy: TypeAlias = Literal["auto", "json_schema", "prompt"]
"""How a type is requested from the model.

* auto: a required call of a tool that takes the value; *prompt* for a model that reasons
* json_schema: ``response_format``, which the service's Claude models ignore
  (docs/api.md#request-fields)
* prompt: an instruction with the schema at the end of the system prompt
"""

_RESERVED = ("tools", "tool_choice", "response_format")


class _Form(Protocol[OutputT_co]):
    """The type of a ``Literal`` or a union for type checkers, which have no own class for both.

    Its *OutputT_co* is object; `Output` carries the precise type. A `TypeForm` in a union with the
    default None would make pyright infer None as the type.
    """

    def __getitem__(self, parameters: Any, /) -> OutputT_co: ...
    def __or__(self, other: Any, /) -> object: ...
    def __ror__(self, other: Any, /) -> object: ...


class Output(Struct, Generic[OutputT_co], frozen=True):
    """The type of a structured output, and the method to get it.

    Raises:
        ConfigurationError: *strategy* or *retries* is invalid.

    Example:
        >>> await client.chat("Plan a picnic", output_type=Output(Plan, retries=0))
    """

    type: TypeForm[OutputT_co]
    """A msgspec struct, dataclass, `TypedDict`, pydantic model, or a container of them:
    ``list[int]``, ``Literal``, a union, ``Annotated``."""

    strategy: Strategy = "auto"
    """``"auto"``: a required tool call, or a prompt for models that reason. ``"json_schema"``: the
    request field ``response_format``. ``"prompt"``: an instruction in the system prompt."""

    retries: int = 1
    """Maximum number of further requests, with the error message, if a response does not match;
    0 or more. Each is billed. Streams are not retried."""

    if TYPE_CHECKING:  # TypeForm covers all of them in type checkers that support it

        @overload
        def __init__(
            self, type: builtins.type[OutputT_co], strategy: Strategy = "auto", retries: int = 1
        ) -> None: ...
        @overload
        def __init__(
            self, type: TypeForm[OutputT_co], strategy: Strategy = "auto", retries: int = 1
        ) -> None: ...
        @overload
        def __init__(
            self, type: _Form[object], strategy: Strategy = "auto", retries: int = 1
        ) -> None: ...
        def __init__(self, type: Any, strategy: Strategy = "auto", retries: int = 1) -> None: ...  # noqa: A002 - the name of the field

    def __post_init__(self) -> None:
        if self.strategy not in get_args(Strategy):
            raise ConfigurationError(
                f"strategy must be one of {get_args(Strategy)}, not {self.strategy!r}"
            )
        if not isinstance(self.retries, int) or self.retries < 0:
            raise ConfigurationError(
                f"retries must be an integer of 0 or more, not {self.retries!r}"
            )

    @classmethod
    def from_schema(
        cls, schema: Mapping[str, Any], *, strategy: Strategy = "auto", retries: int = 1
    ) -> Output[Any]:
        """Return the output whose values, decoded JSON, are those that a JSON Schema permits.

        ``format``, ``$anchor`` and ``unevaluated...`` are ignored.

        Raises:
            ConfigurationError: *schema* is no JSON Schema; or as for `Output`.
        """
        from acechat._tools.schemas.output_type import type_of_schema

        return Output(type_of_schema(schema), strategy, retries)


OutputType: TypeAlias = type[OutputT] | Output[OutputT] | _Form[OutputT]


class OutputSpec:
    """Structured output of one call: adapts its requests and parses its responses.

    Args:
        output_type: The requested type, or an `Output`.

    Raises:
        ConfigurationError: JSON cannot represent the type.
    """

    def __init__(self, output_type: OutputType[Any]) -> None:
        given: Any = output_type
        output = cast("Output[Any]", given if isinstance(given, Output) else Output(given))
        form = form_of(output.type)
        self._type: Any = form.type
        self._schema = form.schema
        self._tools = form.tools
        self._wrapper: Any = form.wrapper
        self._bare = form.bare
        self._keys = form.keys
        self._strategy = output.strategy
        self._retries_left = output.retries
        self.used: list[Usage | None] = []
        """Usage of each response; None if not reported."""

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema that the model gets."""
        return self._schema

    def apply(self, body: dict[str, Any]) -> None:
        """Add the fields that request the type to the *body* of a request.

        Raises:
            ConfigurationError: *body* has tools or a response format of its own.
        """
        for field in _RESERVED:
            if body.get(field):
                raise ConfigurationError(
                    f"output_type= and {field}= cannot be combined: output_type= sets {field}"
                )
        if self._strategy == "auto" and not uses_reasoning(str(body.get("model")), body):
            body["tools"] = self._tools
            body["tool_choice"] = {"type": "function", "function": {"name": NAME}}
        elif self._strategy == "json_schema":
            schema = {"name": NAME, "schema": self._schema}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        else:
            self._add_instruction(body)

    def fall_back_to_prompt(self, request: HTTPRequest, refusal: APIError) -> HTTPRequest | None:
        """Return the request with a prompt instead of a tool; None for another *refusal*.

        A model that reasons cannot be required to call a tool: "Thinking may not be enabled when
        tool_choice forces tool use" (Anthropic's documentation of extended thinking). acechat
        cannot know all models that reason by default.
        """
        body = _body(request)
        if "tool_choice" not in body or "tool_choice" not in refusal.message:
            return None
        del body["tools"], body["tool_choice"]
        self._add_instruction(body)
        return _with_body(request, body)

    def retry_with_error(self, request: HTTPRequest, error: OutputError) -> HTTPRequest | None:
        """Return the request with the failed response and *error*, or None if no retry is left."""
        completion = error.completion
        if self._retries_left < 1 or completion is None or completion.finish_reason in FINAL:
            return None
        self._retries_left -= 1
        body = _body(request)
        if error.text.strip():
            body["messages"].append(AssistantMessage(content=error.text))
        body["messages"].append(UserMessage(content=self._objection(body, error.message)))
        return _with_body(request, body)

    def _objection(self, body: dict[str, Any], message: str) -> str:
        again = "Call the tool again." if "tools" in body else self._instruction()
        return f"That answer does not fit: {message}. {again}"

    def _instruction(self) -> str:
        schema = msgspec.json.encode(self._schema).decode()
        return f"Answer with JSON that fits this schema, and nothing else: {schema}"

    def _add_instruction(self, body: dict[str, Any]) -> None:
        """Append the instruction to the system prompt."""
        messages: list[Any] = list(body["messages"])
        first = messages[0]
        if isinstance(first, Struct):
            first = cast("dict[str, Any]", msgspec.to_builtins(first))
        if first.get("role") == "system" and isinstance(first.get("content"), str):
            messages[0] = {**first, "content": f"{first['content']}\n\n{self._instruction()}"}
        else:
            messages.insert(0, {"role": "system", "content": self._instruction()})
        body["messages"] = messages

    def parse(self, completion: ChatCompletion) -> ChatCompletion[Any]:
        """Return *completion* with its output, and with the total usage of all requests.

        The arguments of the tool call become the text, because the tool is an internal method.

        Raises:
            OutputError: The response does not match the type.
        """
        self.used.append(completion.usage)
        completion = without_tool(completion, total(self.used))
        try:
            return note_output(completion, self._find(completion.text))
        except SchemaMismatchError as error:
            message = FINAL.get(completion.finish_reason or "", str(error))
        mismatch = OutputError(message, text=completion.text, completion=completion)
        mismatch.trace_id = completion.trace_id
        raise mismatch

    def _find(self, text: str) -> Any:
        """Return the value in *text*; raise the error of its longest JSON if none matches."""
        try:
            return self._read(text)
        except SchemaMismatchError as error:
            mismatch = error
        for candidate in candidates(text, self._openers):
            with suppress(SchemaMismatchError):
                value = self._read(candidate)
                if self._is_plausible(candidate):
                    return value
        longest = max(find_json(text, self._openers), key=len, default="")
        if longest:
            try:
                self._read(longest)
            except SchemaMismatchError as error:
                mismatch = error
        raise mismatch

    def _is_plausible(self, candidate: str) -> bool:
        """Return False for an object without any known key, which fits if all are optional."""
        value: Any = msgspec.json.decode(candidate)
        if self._keys is None or not value or not isinstance(value, dict):
            return True
        return not cast("dict[str, Any]", value).keys().isdisjoint(self._keys)

    def _read(self, text: str) -> Any:
        """Decode *text* as a value, with the requested wrapper or without it."""
        if self._wrapper is None:
            return read(self._type, text)
        try:
            return read(self._wrapper, text).value
        except SchemaMismatchError as error:
            mismatch = error
        with suppress(SchemaMismatchError):
            return read(self._type, text)
        raise mismatch

    @property
    def _openers(self) -> str:
        return "{[" if self._wrapper else "{"

    def partial_output(self) -> PartialOutput:
        """Return a parser for the output of a streamed response."""
        return PartialOutput(
            self._openers, wrapped=bool(self._wrapper), bare=self._bare, keys=self._keys
        )


def _body(request: HTTPRequest) -> dict[str, Any]:
    return cast("dict[str, Any]", msgspec.json.decode(request.body or b"{}"))


def _with_body(request: HTTPRequest, body: dict[str, Any]) -> HTTPRequest:
    return msgspec.structs.replace(request, body=encode(body))
