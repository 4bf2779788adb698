"""Accumulate chunks into one completion, in linear time: texts are lists, joined on demand."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from acechat._wire.chunks import (
    add_missing,
    decode_head,
    is_odd,
    merge_logprobs,
    merge_usage,
    merge_usage_fields,
)
from acechat._wire.decode import MAX_CALLS, MAX_CHOICES, SILENT_ENDS, decode_json, to_fields
from acechat._wire.odd_json import unwrap
from acechat.errors import ProtocolError
from acechat.types import (
    AssistantMessage,
    ChatCompletion,
    ChatCompletionChunk,
    Choice,
    ChunkChoice,
    Delta,
    FunctionCall,
    ToolCall,
    ToolCallDelta,
    Usage,
)

__all__ = ["ChatCompletionAccumulator"]


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


class _Choice:
    """A choice under construction."""

    __slots__ = ("_by_id", "_by_index", "_by_pair", "calls", "content", "finish_reason",
                 "logprobs", "reasoning", "refusal")  # fmt: skip

    def __init__(self) -> None:
        self.content: list[str] = []
        self.reasoning: list[str] = []
        self.refusal: list[str] = []
        self.calls: list[_Call] = []
        # the last call of each:
        self._by_id: dict[str, _Call] = {}
        self._by_index: dict[int | None, _Call] = {}
        self._by_pair: dict[tuple[str, int | None], _Call] = {}
        self.logprobs: list[Any] = []
        self.finish_reason: str | None = None

    def add_call(self, delta: ToolCallDelta) -> None:
        """Add *delta* to the call that it belongs to.

        Services repeat ids and indices: the pair of both identifies a call. A new pair with a name
        opens a call; without a name it continues the call of its index, else that of its id.
        Without an id the index decides if it can: two calls may share one, and indices need not
        start at 0 (docs/api.md#streams). Otherwise the last call is meant.
        """
        name = delta.function.name if delta.function is not None else None
        call = None
        if delta.id:
            call = self._by_pair.get((delta.id, delta.index))
            if call is None and not name:
                call = self._by_index.get(delta.index)
            if call is None and (not name or delta.index is None):
                call = self._by_id.get(delta.id)
        elif self.calls:
            call = self._by_index.get(delta.index)
            if call is None and (delta.index is None or not name):
                call = self.calls[-1]
        if call is None:
            call = _Call(delta.id or "", delta.index)
            self.calls.append(call)
            self._by_id[call.id] = self._by_index[call.index] = call
            self._by_pair[call.id, call.index] = call
        call.type = call.type or delta.type or ""
        if name:
            call.add_name(name)
        if delta.function is not None and delta.function.arguments:
            call.arguments.append(delta.function.arguments)

    def _text(self) -> str | None:
        # The chunk with the role has content "", but a completion with only tool calls has no text.
        if not self.content or (self.calls and not any(self.content)):
            return None
        return "".join(self.content)

    def build(self, index: int) -> Choice:
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


class ChatCompletionAccumulator:
    """Accumulates the chunks of one stream into a completion.

    Args:
        one_choice: Whether one choice was requested. Its index is then ignored: some services count
            the tokens with it.
    """

    __slots__ = (
        "_calls",
        "_choices",
        "_first",
        "_first_seen",
        "_kept",
        "_one_choice",
        "_texts",
        "usage",
    )

    def __init__(self, *, one_choice: bool = False) -> None:
        self.usage: Usage | None = None
        self._one_choice = one_choice
        self._first = _Choice()
        self._first_seen = False
        self._choices: dict[int, _Choice] = {}
        self._texts = self._first.content
        self._calls = 0  # tool calls of all choices
        self._kept: list[bytes] = []  # the first event, and those with a finish reason or usage

    @property
    def finished(self) -> bool:
        """True if there is a choice and each one received has a finish reason."""
        choices = self._choices.values()
        return bool(choices) and all(choice.finish_reason is not None for choice in choices)

    @property
    def finish_reason(self) -> str | None:
        """The finish reason of the first choice; None before it ends."""
        return self._first.finish_reason

    @property
    def empty(self) -> bool:
        """True if no choice has content, or a reason for having none."""
        return not any(
            choice.content
            or choice.reasoning
            or choice.refusal
            or choice.calls
            or choice.finish_reason not in SILENT_ENDS
            for choice in self._choices.values()
        )

    def add(
        self,
        chunk: ChatCompletionChunk,
        event: bytes,
        deltas: list[Delta],
        *,
        checked: bool = False,
    ) -> bool:
        """Add *chunk*, decoded from *event*, and append its deltas with content to *deltas*.

        Returns:
            True if *chunk* was not added, because `is_odd`: decode *event* with `decode_chunk`, and
            add the result as *checked*. The question is asked here to keep it off the fast path.
        """
        choices = chunk.choices
        if self._first_seen and len(choices) == 1:
            # Fast path for nearly all chunks: text of the only choice, and nothing else.
            choice = choices[0]
            delta = choice.delta
            content = delta.content
            if (
                content
                and choice.finish_reason is None
                and chunk.usage is None
                and not choice.index
                and delta.reasoning_content is None
                and delta.tool_calls is None
                and delta.reasoning is None
                and delta.refusal is None
                and choice.logprobs is None
            ):
                self._texts.append(content)
                deltas.append(delta)
                return False
        if not checked and (self._too_many(choices) or is_odd(chunk, event)):
            return True
        ends = chunk.usage is not None or any(choice.finish_reason for choice in choices)
        if ends or not self._kept:
            self._kept.append(event)
        if chunk.usage is not None and chunk.usage != self.usage:
            self.usage = merge_usage(self.usage, chunk.usage)
        if len(choices) > 1 and any(choice.index != choices[0].index for choice in choices):
            self._one_choice = False  # there are several, requested or not
        for choice in choices:
            self._add_choice(choice, 0 if self._one_choice else choice.index, deltas)
        return False

    def _too_many(self, choices: list[ChunkChoice]) -> bool:
        """Return True if *choices* may exceed the limits; counts all as new."""
        calls = sum([len(choice.delta.tool_calls or ()) for choice in choices])
        most = len(choices) + len(self._choices)
        return calls + self._calls > MAX_CALLS or most > MAX_CHOICES

    def check(self, chunk: ChatCompletionChunk | None) -> ChatCompletionChunk | None:
        """Return *chunk*, which is not added yet; raise ProtocolError if it exceeds the limits."""
        if chunk is None or not self._too_many(chunk.choices):
            return chunk
        if len({choice.index for choice in chunk.choices} | self._choices.keys()) > MAX_CHOICES:
            raise ProtocolError(f"the response has more than {MAX_CHOICES:,} choices")
        calls = sum(len(choice.delta.tool_calls or ()) for choice in chunk.choices)
        if calls + self._calls > MAX_CALLS:
            raise ProtocolError(f"the response has more than {MAX_CALLS:,} tool calls")
        return chunk

    def _add_choice(self, update: ChunkChoice, index: int, deltas: list[Delta]) -> None:
        choice = self._choices.get(index)
        if choice is None:
            choice = self._first if index == 0 else _Choice()
            self._first_seen = self._first_seen or index == 0
            self._choices[index] = choice
        delta = update.delta
        # Some channels send the same reasoning under both names: use one, never join them.
        reasoning = delta.reasoning_content or delta.reasoning
        if delta.content is not None:
            choice.content.append(delta.content)
        if reasoning:
            choice.reasoning.append(reasoning)
        if delta.refusal:
            choice.refusal.append(delta.refusal)
        if delta.tool_calls:
            before = len(choice.calls)
            for call in delta.tool_calls:
                choice.add_call(call)
            self._calls += len(choice.calls) - before
        if update.logprobs is not None:
            choice.logprobs.append(update.logprobs)
        choice.finish_reason = update.finish_reason or choice.finish_reason
        if delta.content or reasoning or delta.tool_calls or delta.refusal:
            if index or delta.reasoning_content != reasoning:
                delta = msgspec.structs.replace(delta, index=index, reasoning_content=reasoning)
            deltas.append(delta)

    def completion(self) -> ChatCompletion:
        """Return the completion as received so far."""
        head = decode_head(self._kept[0]) if self._kept else ChatCompletionChunk(choices=[])
        return ChatCompletion(
            id=head.id,
            created=head.created,
            model=head.model,
            system_fingerprint=head.system_fingerprint,
            service_tier=head.service_tier,
            choices=[self._choices[index].build(index) for index in sorted(self._choices)],
            usage=self.usage,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON that the service would have sent without streaming, as received so far.

        Fields that acechat does not know are taken from the first chunk and from those that contain
        a finish reason or the usage.
        """
        completion = to_fields(self.completion())
        by_index = {known["index"]: known for known in completion["choices"]}
        received: dict[str, Any] = {}
        for event in self._kept:
            try:
                fields = cast("dict[str, Any]", unwrap(decode_json(event)))
            except ProtocolError:  # too deep in a field that the typed decoder skips
                continue
            for choice in fields.pop("choices", None) or ():
                index = 0 if self._one_choice else choice.get("index", 0)
                known = by_index.get(index) if isinstance(index, int | float) else None
                if known is not None:
                    add_missing(known, choice, skip="delta")
            if isinstance(usage := fields.pop("usage", None), dict):
                received = merge_usage_fields(received, cast("dict[str, Any]", usage))
            add_missing(completion, fields)
        if received:
            completion["usage"] = received
        return completion
