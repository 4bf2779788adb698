"""Structured output: how a type is asked for, and how an answer becomes a value of it."""

from __future__ import annotations

import builtins
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

from acechat._tools.partial_json import KEY, PartialOutput, find_json
from acechat._tools.schema import SchemaMismatchError, adapted, read, schema_of
from acechat._wire.encode import encode
from acechat._wire.request import HTTPRequest, uses_reasoning
from acechat.errors import APIError, ConfigurationError, OutputError
from acechat.types import AssistantMessage, ChatCompletion, Usage, UserMessage
from acechat.types.completion import OutputT_co, note_origin, note_output

if TYPE_CHECKING:  # as in acechat.types.completion
    from typing_extensions import TypeForm, TypeVar

    OutputT = TypeVar("OutputT", default=object)
else:
    from typing import TypeVar

    OutputT = TypeVar("OutputT")
    TypeForm = type

__all__ = ["Output", "OutputSpec", "OutputT", "OutputType", "Strategy"]

Strategy: TypeAlias = Literal["auto", "json_schema", "prompt"]
"""How to ask for a form.

* auto: a tool that takes it, and must be called; for a model that thinks, *prompt*
* json_schema: ``response_format``, which the service's Claude models do not read (contract, 1.2)
* prompt: the schema, in words, at the end of the system's
"""

_NAME = "answer"

_OWN = ("tools", "tool_choice", "response_format")
_HOPELESS = {
    "length": "it was cut at max_tokens",
    "content_filter": "the model refused",
}
"""Reasons for an end after which asking again, with the same limits, ends the same way."""


class _Form(Protocol[OutputT_co]):
    """What type checkers take a ``Literal`` or a union for; both are objects of no own type.

    Their *OutputT_co* is object: `Output` tells the type. A `TypeForm` beside the None that stands
    for no type would make pyright take None for the type.
    """

    def __getitem__(self, parameters: Any, /) -> OutputT_co: ...
    def __or__(self, other: Any, /) -> object: ...
    def __ror__(self, other: Any, /) -> object: ...


class Output(Struct, Generic[OutputT_co], frozen=True):
    """A type to answer with, and how to get it.

    Example:
        >>> await client.chat("Plan a picnic", output_type=Output(Plan, retries=0))
    """

    type: TypeForm[OutputT_co]
    """A msgspec struct, dataclass, `TypedDict`, pydantic model, or what holds them: ``list[int]``,
    ``Literal``, a union, ``Annotated``."""

    strategy: Strategy = "auto"

    retries: int = 1
    """How often to ask again, with the error's words, when an answer does not fit. Each time is
    one more exchange, and paid for; 0 for never. A stream is never asked again."""

    if TYPE_CHECKING:  # TypeForm tells all of them, to type checkers that know it

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
        def __init__(self, type: Any, strategy: Strategy = "auto", retries: int = 1) -> None: ...  # noqa: A002 - the word for it

    def __post_init__(self) -> None:
        if self.strategy not in get_args(Strategy):
            raise ConfigurationError(
                f"strategy must be one of {get_args(Strategy)}, not {self.strategy!r}"
            )
        if not isinstance(self.retries, int) or self.retries < 0:
            raise ConfigurationError(
                f"retries must be a whole number of 0 or more, not {self.retries!r}"
            )


OutputType: TypeAlias = type[OutputT] | Output[OutputT] | _Form[OutputT]


class OutputSpec:
    """A call that asks for a form: its request, and what becomes of its answers.

    Args:
        output_type: The form.

    Raises:
        ConfigurationError: JSON cannot hold it.
    """

    def __init__(self, output_type: OutputType[Any]) -> None:
        given: Any = output_type
        output = cast("Output[Any]", given if isinstance(given, Output) else Output(given))
        self._kind: Any = adapted(output.type)
        self._schema = schema_of(self._kind)
        self._bare = not self._schema.keys() & {"type", "enum"}  # a union may be of objects
        self._wrapper: Any = None
        if self._schema.get("type") != "object":
            self._wrapper = msgspec.defstruct("Answer", [(KEY, self._kind)])
            self._schema = schema_of(self._wrapper)
        self._strategy = output.strategy
        self._retries_left = output.retries
        self.used: list[Usage | None] = []
        """Of each answer; None where the service did not tell."""

    def apply(self, request: HTTPRequest) -> HTTPRequest:
        """Return *request* with what asks for the form.

        Raises:
            ConfigurationError: It asks for something else already.
        """
        body = _body(request)
        for field in _OWN:
            if body.get(field):
                raise ConfigurationError(f"output_type= sets {field} itself: leave one of them out")
        if self._strategy == "auto" and not uses_reasoning(str(body.get("model")), body):
            parameters: dict[str, Any] = {"properties": {}, **self._schema}
            tool = {"name": _NAME, "description": "Takes the answer.", "parameters": parameters}
            body["tools"] = [{"type": "function", "function": tool}]
            body["tool_choice"] = {"type": "function", "function": {"name": _NAME}}
        elif self._strategy == "json_schema":
            form = {"name": _NAME, "schema": self._schema}
            body["response_format"] = {"type": "json_schema", "json_schema": form}
        else:
            self._prompt(body)
        return _with_body(request, body)

    def fall_back_to_prompt(self, request: HTTPRequest, refusal: APIError) -> HTTPRequest | None:
        """Return what to send after *refusal*; None if that was not about the tool.

        A model that thinks cannot be made to call a tool: «Thinking may not be enabled when
        tool_choice forces tool use» (Anthropic's documentation, extended thinking, limitations).
        Which models think without being told to, no list says for long.
        """
        body = _body(request)
        if "tool_choice" not in body or "tool_choice" not in refusal.message:
            return None
        del body["tools"], body["tool_choice"]
        self._prompt(body)
        return _with_body(request, body)

    def retry_with_error(self, request: HTTPRequest, error: OutputError) -> HTTPRequest | None:
        """Return what to send after *error*; None to give up."""
        answer = error.completion
        if self._retries_left < 1 or answer is None or answer.finish_reason in _HOPELESS:
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

    def _prompt(self, body: dict[str, Any]) -> None:
        """Put the instruction at the end of the system's words."""
        messages = cast("list[dict[str, Any]]", body["messages"])
        first = messages[0]
        if first.get("role") == "system" and isinstance(first.get("content"), str):
            messages[0] = {**first, "content": f"{first['content']}\n\n{self._instruction()}"}
        else:
            messages.insert(0, {"role": "system", "content": self._instruction()})

    def parse(self, completion: ChatCompletion) -> ChatCompletion[Any]:
        """Return *completion* with its output, and with the usage of all that was asked.

        What was told to the tool becomes the text: it was a way to ask, and no tool.

        Raises:
            OutputError: It has not the form.
        """
        self.used.append(completion.usage)
        answer = _without_tool(completion, _total(self.used))
        try:
            return note_output(answer, self._find(answer.text))
        except SchemaMismatchError as error:
            message = _HOPELESS.get(answer.finish_reason or "", str(error))
        misfit = OutputError(message, text=answer.text, completion=answer)
        misfit.trace_id = answer.trace_id
        raise misfit

    def _find(self, text: str) -> Any:
        """Return the first value in *text* that fits; else say what is wrong with the longest."""
        try:
            return self._read(text)
        except SchemaMismatchError as error:
            misfit = error
        longest = ""
        for candidate in find_json(text, self._openers):
            try:
                return self._read(candidate)
            except SchemaMismatchError as error:
                if len(candidate) > len(longest):
                    longest, misfit = candidate, error
        raise misfit

    def _read(self, text: str) -> Any:
        """Read *text* as a value, in the wrapper that was asked for or without one."""
        if self._wrapper is None:
            return read(self._kind, text)
        try:
            return read(self._wrapper, text).value
        except SchemaMismatchError as error:
            misfit = error
        with suppress(SchemaMismatchError):
            return read(self._kind, text)
        raise misfit

    @property
    def _openers(self) -> str:
        return "{[" if self._wrapper else "{"

    def partial_output(self) -> PartialOutput:
        """Return what reads the answer while it is being written."""
        return PartialOutput(self._openers, wrapped=bool(self._wrapper), bare=self._bare)


def _body(request: HTTPRequest) -> dict[str, Any]:
    return cast("dict[str, Any]", msgspec.json.decode(request.body or b"{}"))


def _with_body(request: HTTPRequest, body: dict[str, Any]) -> HTTPRequest:
    return msgspec.structs.replace(request, body=encode(body))


def _without_tool(completion: ChatCompletion, usage: Usage | None) -> ChatCompletion:
    """Return *completion* as if what was told to the tool had been said."""
    choices = completion.choices
    told = [call for call in completion.tool_calls if call.function.name == _NAME]
    if told:
        first = choices[0]
        arguments = told[0].function.arguments
        if arguments == "{}" and first.finish_reason in _HOPELESS:
            arguments = ""  # the codec's word for none: it was cut before its first character
        said = msgspec.structs.replace(first.message, content=arguments, tool_calls=None)
        reason = "stop" if first.finish_reason == "tool_calls" else first.finish_reason
        first = msgspec.structs.replace(first, message=said, finish_reason=reason)
        choices = [first, *choices[1:]]
    answer = msgspec.structs.replace(completion, choices=choices, usage=usage)
    return note_origin(answer, completion.response, completion.to_dict)


def _total(used: list[Usage | None]) -> Usage | None:
    """Add up; what is not known of one exchange is not known of all."""
    total = used[0]
    for usage in used[1:]:
        total = total + usage if total and usage else None
    return total
