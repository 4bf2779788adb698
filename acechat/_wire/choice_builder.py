"""`ChoiceBuilder`: one choice of a stream, from its fragments."""

from __future__ import annotations

from typing import Any

from acechat._wire.chunks import merge_logprobs
from acechat._wire.decode import SILENT_ENDS
from acechat.types import (
    AssistantMessage,
    Choice,
    ChunkChoice,
    Delta,
    FunctionCall,
    ToolCall,
    ToolCallDelta,
)

__all__ = ["ChoiceBuilder", "has_content", "reasoning_of"]


def reasoning_of(delta: Delta) -> str | None:
    """Return the reasoning: some channels send it under both names, which are never joined."""
    return delta.reasoning_content or delta.reasoning


def has_content(delta: Delta) -> bool:
    """Return True if *delta* adds anything to a completion."""
    return bool(delta.content or reasoning_of(delta) or delta.tool_calls or delta.refusal)


class _Call:
    """A tool call under construction."""

    __slots__ = ("_names", "arguments", "id", "index", "type")

    def __init__(self, call_id: str, index: int | None) -> None:
        self.id = call_id
        self.index = index
        self.type = ""
        self._names: list[str] = []
        self.arguments: list[str] = []

    def add_name(self, name: str) -> None:
        """Add a *name* that is complete, a fragment, or as received so far, in linear time."""
        if self.arguments and self._names:
            return  # once the arguments have begun, a name is a repetition
        if len(name) >= sum(map(len, self._names)) and name.startswith("".join(self._names)):
            self._names = [name]
        else:
            self._names.append(name)

    def build(self) -> ToolCall:
        arguments = "".join(self.arguments)
        return ToolCall(
            id=self.id,
            type=self.type or "function",
            # No argument text at all means an object without keys (docs/api.md#streams).
            function=FunctionCall("".join(self._names), arguments if arguments.strip() else "{}"),
        )


class ChoiceBuilder:
    """A choice under construction."""

    __slots__ = ("_by_id", "_by_index", "_by_pair", "calls", "content", "finish_reason",
                 "logprobs", "reasoning", "refusal")  # fmt: skip

    def __init__(self) -> None:
        self.content: list[str] = []
        # Empty tuples instead of lists and dicts: most streams have nothing but content.
        self.reasoning: list[str] | tuple[()] = ()
        self.refusal: list[str] | tuple[()] = ()
        self.logprobs: list[Any] | tuple[()] = ()
        self.calls: list[_Call] | tuple[()] = ()
        # The last call of each; from the first call on:
        self._by_id: dict[str, _Call]
        self._by_index: dict[int | None, _Call]
        self._by_pair: dict[tuple[str, int | None], _Call]
        self.finish_reason: str | None = None

    def add_call(self, delta: ToolCallDelta) -> None:
        """Add *delta* to the call that it belongs to.

        Services repeat ids and indices: the pair of both identifies a call. A new pair with a name
        opens a call; without a name it continues the call of its index, else that of its id.
        Without an id the index decides if it can: two calls may share one, and indices need not
        start at 0 (docs/api.md#streams). Otherwise the last call is meant.
        """
        if not self.calls:
            self.calls, self._by_id, self._by_index, self._by_pair = [], {}, {}, {}
        calls = self.calls
        name = delta.function.name if delta.function is not None else None
        call = None
        if delta.id:
            call = self._by_pair.get((delta.id, delta.index))
            if call is None and not name:
                call = self._by_index.get(delta.index)
            if call is None and (not name or delta.index is None):
                call = self._by_id.get(delta.id)
        elif calls:
            call = self._by_index.get(delta.index)
            if call is None and (delta.index is None or not name):
                call = calls[-1]
        if call is None:
            call = _Call(delta.id or "", delta.index)
            calls.append(call)
            self._by_id[call.id] = self._by_index[call.index] = call
            self._by_pair[call.id, call.index] = call
        call.type = call.type or delta.type or ""
        if name:
            call.add_name(name)
        if delta.function is not None and delta.function.arguments:
            call.arguments.append(delta.function.arguments)

    def add(self, update: ChunkChoice) -> None:
        """Add the next fragment."""
        delta = update.delta
        if delta.content is not None:
            self.content.append(delta.content)
        if reasoning := reasoning_of(delta):
            self.reasoning = self.reasoning or []
            self.reasoning.append(reasoning)
        if delta.refusal:
            self.refusal = self.refusal or []
            self.refusal.append(delta.refusal)
        for call in delta.tool_calls or ():
            self.add_call(call)
        if update.logprobs is not None:
            self.logprobs = self.logprobs or []
            self.logprobs.append(update.logprobs)
        self.finish_reason = update.finish_reason or self.finish_reason

    @property
    def empty(self) -> bool:
        """True if there is no content, and no reason for having none."""
        return not (
            self.content
            or self.reasoning
            or self.refusal
            or self.calls
            or self.finish_reason not in SILENT_ENDS
        )

    def _text(self) -> str | None:
        # The chunk with the role has content "", but a completion with only tool calls has no text.
        if not self.content or (self.calls and not any(self.content)):
            return None
        return "".join(self.content)

    def build(self, index: int) -> Choice:
        """Return the choice as received so far."""
        return Choice(
            index=index,
            message=AssistantMessage(
                content=self._text(),
                reasoning_content="".join(self.reasoning) if self.reasoning else None,
                refusal="".join(self.refusal) if self.refusal else None,
                tool_calls=[call.build() for call in self.calls] or None,
            ),
            finish_reason=self.finish_reason,
            logprobs=merge_logprobs(self.logprobs),
        )
