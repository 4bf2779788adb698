"""A complete response of the model, with the data of its HTTP response."""

from __future__ import annotations

from collections.abc import Callable, KeysView
from typing import TYPE_CHECKING, Any, Generic, Literal, NoReturn, TypeAlias, cast

import msgspec
from msgspec import Struct

from acechat._hints import COMPLETION_ATTRIBUTES, attribute_error
from acechat.types.attempt import Attempt
from acechat.types.evidence import ModelEvidence, evidence_of
from acechat.types.messages import AssistantMessage, ToolCall
from acechat.types.usage import Cost, Usage

if TYPE_CHECKING:  # defaults of TypeVar need Python 3.13; type checkers know them everywhere
    from typing_extensions import TypeVar

    OutputT_co = TypeVar("OutputT_co", covariant=True, default=Any)
    UsageIfReported: TypeAlias = Usage | Any  # `reply.usage.total_tokens` needs no check for None
else:
    from typing import TypeVar

    OutputT_co = TypeVar("OutputT_co", covariant=True)
    UsageIfReported = Usage | None

__all__ = [
    "ChatCompletion",
    "Choice",
    "FinishReason",
    "Model",
    "OutputT_co",
    "ResponseInfo",
    "note_origin",
    "note_output",
    "shortened",
    "usage_facts",
]

FinishReason: TypeAlias = (
    Literal["stop", "length", "tool_calls", "content_filter", "function_call"] | str
)
"""Reason for the end of a choice. Other values are passed on as they are
(docs/api.md#completions)."""

_NO_MESSAGE = AssistantMessage()


class ResponseInfo(Struct, frozen=True, kw_only=True):
    """Data of the HTTP response of a completion."""

    status: int | None = None
    """HTTP status; None for a completion that was not received over the network."""

    headers: dict[str, str] = {}
    """Response headers, by name in lower case."""

    trace_id: str | None = None
    """The service's id of the request, for its support; None if not reported."""

    elapsed: float = 0.0
    """Seconds from the call to the end of the response, waits between attempts included."""

    requested_model: str | None = None
    """The model of the request, a fallback model included; None if not known."""

    cached: bool = False
    """Whether it is a stored response (`ResponseCache`): nothing was sent."""

    attempts: tuple[Attempt, ...] = ()
    """The attempts that failed before this response; empty if the first one succeeded."""


class Choice(Struct, frozen=True):
    """One of the *n* alternatives of a completion."""

    index: int = 0
    message: AssistantMessage = _NO_MESSAGE

    finish_reason: FinishReason | None = None
    """None if not reported, and in the partial completion of a truncated stream."""

    logprobs: Any = None


class ChatCompletion(Struct, Generic[OutputT_co], frozen=True, dict=True):
    """A complete response of the model.

    Two are equal if their fields are; `response` and `output` are not compared.
    ``ChatCompletion[Plan]`` has an `output` of the type ``Plan``.
    """

    choices: list[Choice]
    id: str = ""
    object: str = "chat.completion"

    created: int | None = None
    """Start of the completion, in seconds since 1970-01-01 UTC."""

    model: str = ""
    """The model that the service used; may be more specific than the requested name."""

    usage: UsageIfReported = None
    """Tokens and cost; None if not reported."""

    system_fingerprint: str | None = None
    service_tier: str | None = None

    # Data that is not in the JSON is kept in __dict__ (see `note_origin`): it is ignored by ==, and
    # cannot collide with a field of the service.

    @property
    def output(self) -> OutputT_co:
        """The text parsed as *output_type*; None if the call had none."""
        return cast("OutputT_co", self.__dict__.get("_output"))

    @property
    def response(self) -> ResponseInfo:
        """Status, headers, duration and failed attempts of the HTTP response."""
        return cast("ResponseInfo", self.__dict__.get("_response") or ResponseInfo())

    @property
    def trace_id(self) -> str | None:
        """The service's id of the request, for its support; None if not reported."""
        return self.response.trace_id

    @property
    def cached(self) -> bool:
        """Whether it was read from a `ResponseCache`; *usage* is then that of the first request."""
        return self.response.cached

    @property
    def evidence(self) -> ModelEvidence:
        """The model that was requested, the one that is named, and the form of the id."""
        return evidence_of(self.response.requested_model, self.model, self.id)

    @property
    def message(self) -> AssistantMessage:
        """Message of the first choice; an empty one if there is no choice."""
        return self.choices[0].message if self.choices else _NO_MESSAGE

    @property
    def text(self) -> str:
        """Text of the first choice; empty if the model only calls tools."""
        return self.message.content or ""

    @property
    def reasoning(self) -> str | None:
        """Reasoning of the first choice; None if not reported."""
        return self.message.reasoning_content

    @property
    def tool_calls(self) -> list[ToolCall]:
        """Tool calls of the first choice; empty if there are none."""
        return self.message.tool_calls or []

    @property
    def finish_reason(self) -> FinishReason | None:
        """Reason for the end of the first choice; None if not reported."""
        return self.choices[0].finish_reason if self.choices else None

    @property
    def cost(self) -> Cost | None:
        """The charge for the completion; None if not reported, which does not mean 0."""
        return self.usage.cost if self.usage else None

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        usage: Usage | None = self.usage
        facts = {
            "reasoning": shortened(self.reasoning),
            "tool_calls": [call.function.name for call in self.tool_calls] or None,
            "finish_reason": self.finish_reason,
            "model": self.model or None,
            "tokens": usage.total_tokens if usage else None,
            "trace_id": self.trace_id,
        }
        shown = "".join(f", {name}={fact!r}" for name, fact in facts.items() if fact is not None)
        return f"ChatCompletion({shortened(self.text)!r}{shown})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [(name, getattr(self, name)) for name in ("text", "finish_reason", "model", "usage")]

    def to_dict(self) -> dict[str, Any]:
        """Return all fields that the service sent, unknown ones included, as JSON values.

        Raises:
            ProtocolError: The JSON is nested deeper than Python's recursion limit allows (about
                1,000 levels on Python 3.11).
        """
        source: Callable[[], dict[str, Any]] | None = self.__dict__.get("_source")
        if source is not None:
            return source()
        return cast("dict[str, Any]", msgspec.to_builtins(self))  # not made by a client

    def to_json(self, *, indent: int | None = None) -> str:
        """Return `to_dict` as JSON.

        Args:
            indent: Spaces by which each level is indented; default None, one line.

        Raises:
            ProtocolError: As `to_dict`.
        """
        encoded = msgspec.json.encode(self.to_dict())
        return (encoded if indent is None else msgspec.json.format(encoded, indent=indent)).decode()

    def keys(self) -> KeysView[str]:
        """Return the names of `to_dict`, so that ``dict(completion)`` is that dict."""
        return self.to_dict().keys()

    def __getitem__(self, name: str) -> Any:
        return self.to_dict()[name]

    __iter__ = None  # dict() and jsonable_encoder() use keys(); a loop is a mistake

    def __reduce__(self) -> tuple[Any, ...]:
        fields = tuple(getattr(self, name) for name in self.__struct_fields__)
        return _rebuild, (fields, self.response, self.to_dict(), self.output)

    def __copy__(self) -> ChatCompletion[OutputT_co]:
        return _rebuild(*self.__reduce__()[1])

    if not TYPE_CHECKING:  # type checkers report the attribute themselves

        def __getattr__(self, name: str) -> NoReturn:
            raise attribute_error(self, name, COMPLETION_ATTRIBUTES, _ATTRIBUTES)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """Describe a completion for pydantic, which FastAPI uses for return types."""
        writer = {"type": "function-plain", "function": ChatCompletion.to_dict}
        return {"type": "is-instance", "cls": ChatCompletion, "serialization": writer}

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, Any]:
        """Describe a completion for the OpenAPI page of FastAPI."""
        return {"title": "ChatCompletion", "type": "object"}

    def _repr_html_(self) -> str:
        """Return HTML for notebooks."""
        from acechat._display.html import completion_html

        messages = [msgspec.to_builtins(choice.message) for choice in self.choices]
        facts = [("", self.model or None), *usage_facts(self.usage)]
        ended = self.finish_reason or "incomplete"
        return completion_html(messages, [*facts, ("", None if ended == "stop" else ended)])


_ATTRIBUTES = tuple(name for name in dir(ChatCompletion) if name[0] != "_")


def usage_facts(usage: Usage | None) -> list[tuple[str, object]]:
    """Return the tokens and the cost in *usage* for the last line of a display in a notebook."""
    if usage is None:
        return []
    facts: list[tuple[str, object]] = [("tokens", usage.total_tokens)]
    if (cost := usage.cost) is not None and cost.amount is not None:
        facts.append(("cost", f"{cost.amount} {cost.currency or 'credits'}"))
    return facts


_SHOWN = 60
"""Characters of a text in a repr."""


def shortened(text: str | None) -> str | None:
    """Return *text* with at most 60 characters."""
    return text if text is None or len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def note_origin(
    completion: ChatCompletion, response: ResponseInfo, source: Callable[[], dict[str, Any]]
) -> ChatCompletion:
    """Attach the HTTP response and the source of `to_dict` to *completion*, and return it.

    Args:
        completion: Any completion.
        response: Its HTTP response.
        source: Returns the value of `to_dict`, or raises `ProtocolError`. It must not refer to
            *completion*: the reference cycle would keep the body until the next garbage collection.
    """
    notes = cast("dict[str, Any]", completion.__dict__)
    notes["_response"] = response
    notes["_source"] = source
    return completion


def note_output(completion: ChatCompletion, output: object) -> ChatCompletion[Any]:
    """Attach the parsed *output* to *completion*, and return it."""
    cast("dict[str, Any]", completion.__dict__)["_output"] = output
    return completion


def _rebuild(
    fields: tuple[Any, ...], response: ResponseInfo, sent: dict[str, Any], output: object
) -> ChatCompletion[Any]:
    return note_output(note_origin(ChatCompletion(*fields), response, sent.copy), output)


class Model(Struct, frozen=True, kw_only=True):
    """One entry of ``GET /v1/models``."""

    id: str
    """Value for *model*."""

    object: str = "model"

    created: int | None = None
    """Seconds since 1970-01-01 UTC."""

    owned_by: str | None = None
