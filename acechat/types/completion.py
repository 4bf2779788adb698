"""A whole answer, and how it came."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias, cast

import msgspec
from msgspec import Struct

from acechat.types.attempt import Attempt
from acechat.types.messages import AssistantMessage, ToolCall
from acechat.types.usage import Cost, Usage

if TYPE_CHECKING:  # it has defaults only from Python 3.13 on; type checkers know it everywhere
    from typing_extensions import TypeVar

    OutputT_co = TypeVar("OutputT_co", covariant=True, default=object)
else:
    from typing import TypeVar

    OutputT_co = TypeVar("OutputT_co", covariant=True)

__all__ = [
    "ChatCompletion",
    "Choice",
    "FinishReason",
    "Model",
    "OutputT_co",
    "ResponseInfo",
    "note_origin",
    "note_output",
]

FinishReason: TypeAlias = (
    Literal["stop", "length", "tool_calls", "content_filter", "function_call"] | str
)
"""Why a choice ended. A word that is not listed is passed on, not refused (contract, 2.1)."""

_NO_MESSAGE = AssistantMessage()


class ResponseInfo(Struct, frozen=True, kw_only=True):
    """How an answer came: the part of it that is not the model's."""

    status: int | None = None
    """HTTP status. None for an answer that did not come over a network."""

    headers: dict[str, str] = {}
    """Names in lower case."""

    trace_id: str | None = None
    """What the service's support asks for."""

    elapsed: float = 0.0
    """Seconds from the call to the end of the answer, waiting between attempts included."""

    attempts: tuple[Attempt, ...] = ()
    """The attempts that failed before this answer; empty when the first one succeeded."""


class Choice(Struct, frozen=True):
    """One answer of the *n* that were asked for."""

    index: int = 0
    message: AssistantMessage = _NO_MESSAGE

    finish_reason: FinishReason | None = None
    """None where the service did not say, and in the partial answer of a cut stream."""

    logprobs: Any = None


class ChatCompletion(Struct, Generic[OutputT_co], frozen=True, dict=True):
    """A whole answer. Equal to another when the service said the same.

    ``ChatCompletion[Plan]`` is one whose `output` is a ``Plan``.
    """

    choices: list[Choice]
    id: str = ""
    object: str = "chat.completion"

    created: int | None = None
    """When the answer began, in seconds since 1970."""

    model: str = ""
    """The model that answered, which may be a finer name than the one asked for."""

    usage: Usage | None = None
    system_fingerprint: str | None = None
    service_tier: str | None = None

    # What is not on the wire lives in __dict__ (see `note_origin`): it takes no part in ==, and no
    # field of the service's can collide with it.

    @property
    def output(self) -> OutputT_co:
        """The answer as a value of the *output_type* that was asked for; None if none was."""
        return cast("OutputT_co", self.__dict__.get("_output"))

    @property
    def response(self) -> ResponseInfo:
        """Status, headers, seconds and attempts."""
        return cast("ResponseInfo", self.__dict__.get("_response") or ResponseInfo())

    @property
    def trace_id(self) -> str | None:
        """What the service's support asks for."""
        return self.response.trace_id

    @property
    def message(self) -> AssistantMessage:
        """The first choice's message; an empty one if there is no choice."""
        return self.choices[0].message if self.choices else _NO_MESSAGE

    @property
    def text(self) -> str:
        """The first choice's text; empty where the model only calls tools."""
        return self.message.content or ""

    @property
    def reasoning(self) -> str | None:
        """The first choice's thoughts; None where the model shows none."""
        return self.message.reasoning_content

    @property
    def tool_calls(self) -> list[ToolCall]:
        """The tools that the first choice wants called."""
        return self.message.tool_calls or []

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why the first choice ended."""
        return self.choices[0].finish_reason if self.choices else None

    @property
    def cost(self) -> Cost | None:
        """What the answer was charged; None where the service does not tell, which is not 0."""
        return self.usage.cost if self.usage else None

    def to_dict(self) -> dict[str, Any]:
        """Return every field that the service sent, known to acechat or not.

        Raises:
            ProtocolError: They are nested deeper than Python goes: a thousand levels on 3.11.
        """
        source: Callable[[], dict[str, Any]] | None = self.__dict__.get("_source")
        if source is not None:
            return source()
        return cast("dict[str, Any]", msgspec.to_builtins(self))  # made by hand

    def __reduce__(self) -> tuple[Any, ...]:
        fields = tuple(getattr(self, name) for name in self.__struct_fields__)
        return _rebuild, (fields, self.response, self.to_dict(), self.output)

    def __copy__(self) -> ChatCompletion[OutputT_co]:
        return _rebuild(*self.__reduce__()[1])

    def _repr_markdown_(self) -> str:
        """Show the answer in a notebook."""
        return self.text


def note_origin(
    completion: ChatCompletion, response: ResponseInfo, source: Callable[[], dict[str, Any]]
) -> ChatCompletion:
    """Note on *completion* how it came.

    *source* makes what its `to_dict` returns, or raises `ProtocolError`. It must not hold the
    completion: what holds itself stays until the garbage collector comes, and the body with it.
    """
    notes = cast("dict[str, Any]", completion.__dict__)
    notes["_response"] = response
    notes["_source"] = source
    return completion


def note_output(completion: ChatCompletion, output: object) -> ChatCompletion[Any]:
    """Note on *completion* what it says as a value."""
    cast("dict[str, Any]", completion.__dict__)["_output"] = output
    return completion


def _rebuild(
    fields: tuple[Any, ...], response: ResponseInfo, sent: dict[str, Any], output: object
) -> ChatCompletion[Any]:
    return note_output(note_origin(ChatCompletion(*fields), response, sent.copy), output)


class Model(Struct, frozen=True, kw_only=True):
    """One entry of ``GET /v1/models``."""

    id: str
    object: str = "model"
    created: int | None = None
    owned_by: str | None = None
