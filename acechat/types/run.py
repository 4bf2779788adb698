"""Results of a run, in which the model calls tools, and the events of a streamed run."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from typing import TypeAlias

import msgspec
from msgspec import Struct

from acechat.types.chunk import ToolCallDelta
from acechat.types.completion import ChatCompletion, UsageIfReported, shortened, usage_facts
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
    """Result of one tool call."""

    call: ToolCall
    content: str
    """Text sent to the model: the return value as text or JSON, or a description of the error."""

    images: tuple[ImagePart, ...] = ()
    """Images that the tool returned; they are sent to the model in a user message."""

    failed: bool = False
    """Whether the tool failed or was refused, and *content* describes the error."""

    refused: bool = False
    """Whether *approve* refused the call, which was not executed."""

    elapsed: float = 0.0
    """Duration of the call in seconds, the wait for a free slot included."""

    @property
    def message(self) -> ToolMessage:
        """The message that sends the result to the model."""
        return ToolMessage(content=self.content, tool_call_id=self.call.id)


class Turn(Struct, frozen=True):
    """One completion of a run, and the results of its tool calls."""

    completion: ChatCompletion

    results: tuple[ToolResult, ...] = ()
    """In the order of `ChatCompletion.tool_calls`; empty in the last turn."""

    @property
    def text(self) -> str:
        """Text of the completion; may be empty if it calls tools."""
        return self.completion.text


class RunResult(Struct, frozen=True):
    """All turns of a run, from the prompt to the final response."""

    turns: tuple[Turn, ...]
    """In order; empty if the first turn of the run failed."""

    messages: tuple[MessageLike, ...]
    """The complete history without the system prompt; pass it as ``messages=`` to continue."""

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"RunResult({shortened(self.text)!r}, turns={len(self.turns)})"

    def _repr_html_(self) -> str:
        """Return HTML for notebooks."""
        from acechat._display.html import run_html

        turns = [
            (
                msgspec.to_builtins(turn.completion.message),
                [
                    (
                        result.call.function.name,
                        result.content,
                        [image.image_url.url for image in result.images],
                    )
                    for result in turn.results
                ],
            )
            for turn in self.turns
        ]
        return run_html(turns, [("turns", len(turns)), *usage_facts(self.usage)])

    def __iter__(self) -> Iterator[Turn]:
        return iter(self.turns)

    @property
    def completion(self) -> ChatCompletion:
        """The last completion; an empty one if there is no turn."""
        return self.turns[-1].completion if self.turns else ChatCompletion(choices=[])

    @property
    def text(self) -> str:
        """Text of the last completion."""
        return self.completion.text

    @property
    def usage(self) -> UsageIfReported:
        """Sum over all turns; a field is None unless it was reported for each turn."""
        usages = [turn.completion.usage for turn in self.turns]
        known = [usage for usage in usages if usage is not None]
        return reduce(Usage.__add__, known) if known and len(known) == len(usages) else None

    @property
    def cost(self) -> Cost | None:
        """The charge for all turns; None unless it was reported for each turn."""
        usage: Usage | None = self.usage
        return usage.cost if usage else None


class ToolStarted(Struct, frozen=True):
    """A tool call starts."""

    call: ToolCall


class ToolFinished(Struct, frozen=True):
    """A tool call ended, successfully or not."""

    result: ToolResult


class TurnFinished(Struct, frozen=True):
    """A completion is complete, and its tool calls have ended."""

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
"""Any event of a streamed run."""
