"""What happens while a model calls tools: turns, results, and the events of a streamed run."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from typing import TypeAlias

from msgspec import Struct

from acechat.types.chunk import ToolCallDelta
from acechat.types.completion import ChatCompletion
from acechat.types.messages import ImagePart, MessageLike, ToolCall, ToolMessage
from acechat.types.stream_event import Finished, ReasoningDelta, TextDelta
from acechat.types.usage import Cost, Usage

__all__ = [
    "RunEvent",
    "RunResult",
    "ToolFinished",
    "ToolResult",
    "ToolStarted",
    "Turn",
    "TurnFinished",
]


class ToolResult(Struct, frozen=True, kw_only=True):
    """What became of one call of a tool."""

    call: ToolCall
    content: str
    """What the model is told: what the tool returned, as text or JSON, or what went wrong."""

    images: tuple[ImagePart, ...] = ()
    """The pictures that the tool returned; a user's message shows them to the model."""

    failed: bool = False
    """Whether *content* says what went wrong."""

    elapsed: float = 0.0
    """Seconds that the call took, waiting for its turn included."""

    @property
    def message(self) -> ToolMessage:
        """The result as it is sent."""
        return ToolMessage(content=self.content, tool_call_id=self.call.id)


class Turn(Struct, frozen=True):
    """One answer of the model, and the results of the tools that it called."""

    completion: ChatCompletion

    results: tuple[ToolResult, ...] = ()
    """In the order of `ChatCompletion.tool_calls`; empty in the last turn."""

    @property
    def text(self) -> str:
        """What the model said beside calling tools."""
        return self.completion.text


class RunResult(Struct, frozen=True):
    """A run: all turns from the question to the answer."""

    turns: tuple[Turn, ...]

    messages: tuple[MessageLike, ...]
    """Everything that was said, but for the system's word; ``messages=`` of a call that goes on."""

    def __iter__(self) -> Iterator[Turn]:
        return iter(self.turns)

    @property
    def completion(self) -> ChatCompletion:
        """The last answer."""
        return self.turns[-1].completion if self.turns else ChatCompletion(choices=[])

    @property
    def text(self) -> str:
        """The text of the last answer."""
        return self.completion.text

    @property
    def usage(self) -> Usage | None:
        """The sum over all turns; a figure is None if the service did not tell it for each."""
        told = [turn.completion.usage for turn in self.turns]
        known = [usage for usage in told if usage is not None]
        return reduce(Usage.__add__, known) if known and len(known) == len(told) else None

    @property
    def cost(self) -> Cost | None:
        """What all turns were charged; None if the service did not tell it for each."""
        usage = self.usage
        return usage.cost if usage else None


class ToolStarted(Struct, frozen=True):
    """A tool is being called."""

    call: ToolCall


class ToolFinished(Struct, frozen=True):
    """A tool's call has ended, well or not."""

    result: ToolResult


class TurnFinished(Struct, frozen=True):
    """An answer is whole, and the tools that it called have ended."""

    turn: Turn


RunEvent: TypeAlias = (
    TextDelta
    | ReasoningDelta
    | ToolCallDelta
    | ToolStarted
    | ToolFinished
    | TurnFinished
    | Finished
)
"""One thing that happens in a streamed run."""
