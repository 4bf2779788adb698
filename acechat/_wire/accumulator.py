"""Chunks → one completion, in linear time: texts are kept in lists and joined once, on demand."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from acechat._wire.decode import UNREADABLE, decode_chunk, to_fields
from acechat.types import (
    AssistantMessage,
    ChatCompletion,
    ChatCompletionChunk,
    Choice,
    ChunkChoice,
    Delta,
    FunctionCall,
    FunctionCallDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)

__all__ = ["ChatCompletionAccumulator", "as_chunk"]


class _Call:
    """A tool call that is being told."""

    __slots__ = ("arguments", "id", "index", "name", "type")

    def __init__(self, call_id: str, index: int | None) -> None:
        self.id = call_id
        self.index = index
        self.type = ""
        self.name = ""
        self.arguments: list[str] = []

    def whole(self) -> ToolCall:
        arguments = "".join(self.arguments)
        return ToolCall(
            id=self.id,
            type=self.type or "function",
            # A call without arguments ends with none (contract, 2.4); it means no keys.
            function=FunctionCall(self.name, arguments if arguments.strip() else "{}"),
        )


class _Choice:
    """A choice that is being told."""

    __slots__ = ("_by_id", "_by_index", "calls", "content", "finish_reason", "logprobs",
                 "reasoning", "refusal")  # fmt: skip

    def __init__(self) -> None:
        self.content: list[str] = []
        self.reasoning: list[str] = []
        self.refusal: list[str] = []
        self.calls: list[_Call] = []
        self._by_id: dict[str, _Call] = {}
        self._by_index: dict[int | None, _Call] = {}  # the last one of each
        self.logprobs: list[Any] = []
        self.finish_reason: str | None = None

    def add_call(self, piece: ToolCallDelta) -> None:
        """Add *piece* to the call that it belongs to.

        A new id opens a call. Without an id the index tells, as far as it can: it may collide and
        need not start at 0 (contract, 2.4). What tells nothing belongs to the last call.
        """
        call = None
        if piece.id:
            call = self._by_id.get(piece.id)
        elif self.calls:
            named = piece.function is not None and bool(piece.function.name)
            call = self._by_index.get(piece.index)
            if call is None and (piece.index is None or not named):
                call = self.calls[-1]
        if call is None:
            call = _Call(piece.id or "", piece.index)
            self.calls.append(call)
            self._by_id[call.id] = self._by_index[call.index] = call
        call.type = call.type or piece.type or ""
        if piece.function is not None:
            # Some servers repeat the name with every piece: the first one counts.
            call.name = call.name or piece.function.name or ""
            if piece.function.arguments:
                call.arguments.append(piece.function.arguments)

    def _text(self) -> str | None:
        # The role chunk says "", but an answer that only calls tools has no text.
        if not self.content or (self.calls and not any(self.content)):
            return None
        return "".join(self.content)

    def whole(self, index: int) -> Choice:
        return Choice(
            index=index,
            message=AssistantMessage(
                content=self._text(),
                reasoning_content="".join(self.reasoning) if self.reasoning else None,
                refusal="".join(self.refusal) if self.refusal else None,
                tool_calls=[call.whole() for call in self.calls] or None,
            ),
            finish_reason=self.finish_reason,
            logprobs=_merged(self.logprobs),
        )


class ChatCompletionAccumulator:
    """Takes the chunks of one stream; gives the completion that they tell."""

    __slots__ = ("_choices", "_first", "_first_seen", "_kept", "_texts", "usage")

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self._first = _Choice()
        self._first_seen = False
        self._choices: dict[int, _Choice] = {}
        self._texts = self._first.content
        self._kept: list[bytes] = []  # the first event, and those that end the answer

    @property
    def finished(self) -> bool:
        """Whether every choice that was seen has told why it ended, and there was one."""
        choices = self._choices.values()
        return bool(choices) and all(choice.finish_reason is not None for choice in choices)

    @property
    def finish_reason(self) -> str | None:
        """Why the first choice ended; None before that."""
        return self._first.finish_reason

    def add(self, chunk: ChatCompletionChunk, event: bytes, deltas: list[Delta]) -> None:
        """Add *chunk*, decoded from *event*, and append to *deltas* what it says."""
        choices = chunk.choices
        if self._first_seen and len(choices) == 1:
            # Nearly all chunks of a stream: the next characters of the only choice.
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
                return
        ends = chunk.usage is not None or any(choice.finish_reason for choice in choices)
        if ends or not self._kept:
            self._kept.append(event)
        self.usage = chunk.usage or self.usage
        for choice in choices:
            self._add_choice(choice, deltas)

    def _add_choice(self, news: ChunkChoice, deltas: list[Delta]) -> None:
        choice = self._choices.get(news.index)
        if choice is None:
            choice = self._first if news.index == 0 else _Choice()
            self._first_seen = self._first_seen or news.index == 0
            self._choices[news.index] = choice
        delta = news.delta
        # Some channels say their thoughts twice, under both names: never join the two.
        reasoning = delta.reasoning_content or delta.reasoning
        if delta.content is not None:
            choice.content.append(delta.content)
        if reasoning:
            choice.reasoning.append(reasoning)
        if delta.refusal:
            choice.refusal.append(delta.refusal)
        for piece in delta.tool_calls or ():
            choice.add_call(piece)
        if news.logprobs is not None:
            choice.logprobs.append(news.logprobs)
        choice.finish_reason = news.finish_reason or choice.finish_reason
        if delta.content or reasoning or delta.tool_calls or delta.refusal:
            if news.index or delta.reasoning_content != reasoning:
                delta = msgspec.structs.replace(
                    delta, index=news.index, reasoning_content=reasoning
                )
            deltas.append(delta)

    def completion(self) -> ChatCompletion:
        """Return what was told so far."""
        told = decode_chunk(self._kept[0], {}) if self._kept else None
        head = told or ChatCompletionChunk(choices=[])
        return ChatCompletion(
            id=head.id,
            created=head.created,
            model=head.model,
            system_fingerprint=head.system_fingerprint,
            service_tier=head.service_tier,
            choices=[self._choices[index].whole(index) for index in sorted(self._choices)],
            usage=self.usage,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return what was told so far as the service would have sent it at once.

        Fields that acechat does not know are taken from the first chunk and from those that tell a
        finish reason or the usage.
        """
        whole = to_fields(self.completion())
        by_index = {known["index"]: known for known in whole["choices"]}
        for event in self._kept:
            try:
                fields = cast("dict[str, Any]", msgspec.json.decode(event))
            except UNREADABLE:  # in a field that the typed decoder skips
                continue
            for choice in fields.pop("choices", None) or ():
                index = choice.get("index", 0)
                known = by_index.get(index) if isinstance(index, int | float) else None
                if known is not None:
                    _add_missing(known, choice, but="delta")
            if fields.get("usage"):
                whole["usage"] = fields["usage"]
            _add_missing(whole, fields)
        return whole


def _add_missing(known: dict[str, Any], fields: dict[str, Any], but: str = "") -> None:
    """Add those of *fields* that *known* has not; the time depends on *fields* alone.

    ``fields.keys() - known.keys()`` would walk through *known* for each event.
    """
    for key, value in fields.items():
        if key != but and key not in known:
            known[key] = value


def _merged(pieces: list[Any]) -> Any:
    """Join log probabilities, ``{"content": [one per token]}``, of all chunks."""
    if not pieces:
        return None
    merged: dict[str, Any] = {}
    for piece in pieces:
        fields = cast("dict[str, Any]", piece) if isinstance(piece, dict) else {}
        for key, value in fields.items():
            known = merged.get(key)
            if isinstance(value, list):
                if not isinstance(known, list):
                    known = merged[key] = []
                cast("list[Any]", known).extend(cast("list[Any]", value))
            elif known is None:
                merged[key] = value
    return merged or pieces[-1]


def as_chunk(completion: ChatCompletion) -> ChatCompletionChunk:
    """Turn a whole answer into the one chunk of a stream that tells it all."""
    choices: list[ChunkChoice] = []
    for choice in completion.choices:
        message = choice.message
        calls = [
            ToolCallDelta(
                index=number,
                id=call.id,
                type=call.type,
                function=FunctionCallDelta(call.function.name, call.function.arguments),
            )
            for number, call in enumerate(message.tool_calls or ())
        ]
        delta = Delta(
            content=message.content,
            role=message.role,
            reasoning_content=message.reasoning_content,
            refusal=message.refusal,
            tool_calls=calls or None,
        )
        choices.append(ChunkChoice(delta, choice.index, choice.finish_reason, choice.logprobs))
    return ChatCompletionChunk(
        choices=choices,
        id=completion.id,
        created=completion.created,
        model=completion.model,
        system_fingerprint=completion.system_fingerprint,
        service_tier=completion.service_tier,
        usage=completion.usage,
    )
