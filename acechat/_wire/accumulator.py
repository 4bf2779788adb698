"""Accumulate chunks into one completion, in linear time: texts are lists, joined on demand."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, cast

import msgspec

from acechat._wire.choice_builder import ChoiceBuilder, has_content, reasoning_of
from acechat._wire.chunks import (
    add_missing,
    decode_head,
    is_odd,
    merge_usage,
    merge_usage_fields,
)
from acechat._wire.decode import MAX_CALLS, MAX_CHOICES, decode_json, to_fields
from acechat._wire.odd_json import unwrap
from acechat.errors import ProtocolError
from acechat.types import (
    ChatCompletion,
    ChatCompletionChunk,
    Choice,
    ChunkChoice,
    Delta,
    Usage,
)

__all__ = ["ChatCompletionAccumulator"]

_FEW = 2
"""Indices that may as well belong to two choices, one of which has not ended."""


class ChatCompletionAccumulator:
    """Accumulates the chunks of one stream into a completion.

    Args:
        one_choice: Whether one choice was requested. Some services count the tokens with its index:
            then the fragments of all indices are one choice, until a fragment proves several.
    """

    __slots__ = ("_calls", "_choices", "_first", "_first_seen", "_joined", "_kept", "_last_index",
                 "_one_choice", "_texts", "usage")  # fmt: skip

    def __init__(self, *, one_choice: bool = False) -> None:
        self.usage: Usage | None = None
        self._one_choice = one_choice
        self._first = ChoiceBuilder()
        self._first_seen = False  # the fast path may be taken
        self._choices: dict[int, ChoiceBuilder] = {}
        self._joined: ChoiceBuilder | None = None  # all of them, if the index counts tokens
        self._last_index: int | None = None
        self._texts = self._first.content
        self._calls = 0  # tool calls of all choices
        self._kept: list[bytes] = []  # the first event, and those with a finish reason or usage

    @property
    def finished(self) -> bool:
        """True if there is a choice and each one received has a finish reason."""
        choices = self._choices.values()
        if self._joined is not None and len(choices) > _FEW:
            return self._joined.finish_reason is not None
        return bool(choices) and all(choice.finish_reason is not None for choice in choices)

    @property
    def finish_reason(self) -> str | None:
        """The finish reason of the first choice; None before it ends."""
        return self._main.finish_reason

    @property
    def _main(self) -> ChoiceBuilder:
        """The joined choice, the only one, or that with index 0."""
        if self._one_choice and self._choices:
            return self._joined or next(iter(self._choices.values()))
        return self._first

    @property
    def empty(self) -> bool:
        """True if no choice has content, or a reason for having none."""
        return all(choice.empty for choice in self._choices.values())

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
        if not checked and (self.too_many(choices) or is_odd(chunk, event)):
            return True
        ends = chunk.usage is not None or any(choice.finish_reason for choice in choices)
        if ends or not self._kept:
            self._kept.append(event)
        if chunk.usage is not None and chunk.usage != self.usage:
            self.usage = merge_usage(self.usage, chunk.usage)
        if len(choices) > 1 and any(choice.index != choices[0].index for choice in choices):
            self._separate()
        for choice in choices:
            self._add_choice(choice, deltas)
        return False

    def too_many(self, choices: list[ChunkChoice]) -> bool:
        """Return True if *choices* may exceed the limits; counts all as new."""
        calls = sum([len(choice.delta.tool_calls or ()) for choice in choices])
        most = len(choices) + len(self._choices)
        return calls + self._calls > MAX_CALLS or most > MAX_CHOICES

    def check(self, chunk: ChatCompletionChunk | None) -> ChatCompletionChunk | None:
        """Return *chunk*, which is not added yet; raise ProtocolError if it exceeds the limits."""
        if chunk is None or not self.too_many(chunk.choices):
            return chunk
        if len({choice.index for choice in chunk.choices} | self._choices.keys()) > MAX_CHOICES:
            raise ProtocolError(f"the response has more than {MAX_CHOICES:,} choices")
        calls = sum(len(choice.delta.tool_calls or ()) for choice in chunk.choices)
        if calls + self._calls > MAX_CALLS:
            raise ProtocolError(f"the response has more than {MAX_CALLS:,} tool calls")
        return chunk

    def _add_choice(self, update: ChunkChoice, deltas: list[Delta]) -> None:
        index = update.index
        if self._one_choice and index != self._last_index:
            self._check_index(update)
        choice = self._choices.get(index)
        if choice is None:
            choice = self._first if index == 0 else ChoiceBuilder()
            self._first_seen = self._first_seen or (index == 0 and self._joined is None)
            self._choices[index] = choice
        before = len(choice.calls)
        choice.add(update)
        self._calls += len(choice.calls) - before
        if self._joined is not None:
            self._joined.add(update)
        delta = update.delta
        if has_content(delta):
            reasoning = reasoning_of(delta)
            shown = 0 if self._one_choice else index
            if shown or delta.reasoning_content != reasoning:
                delta = msgspec.structs.replace(delta, index=shown, reasoning_content=reasoning)
            deltas.append(delta)

    def _check_index(self, update: ChunkChoice) -> None:
        """Decide if a new index belongs to the only choice: it may count tokens, but never returns.

        A fragment without content, such as the last one, proves nothing.
        """
        index, last = update.index, self._last_index
        if last is None:
            self._last_index = index
            return
        counts = index > last and index not in self._choices
        if has_content(update.delta):
            if not counts or self._choices[last].finish_reason is not None:
                self._separate()
                return
            self._last_index = index
        if self._joined is None:
            self._joined = deepcopy(self._choices[last])
            self._first_seen = False

    def _separate(self) -> None:
        """Keep the choices apart from now on: there are several, requested or not."""
        self._one_choice, self._joined = False, None
        self._first_seen = 0 in self._choices

    def completion(self) -> ChatCompletion:
        """Return the completion as received so far."""
        head = decode_head(self._kept[0]) if self._kept else ChatCompletionChunk(choices=[])
        return ChatCompletion(
            id=head.id,
            created=head.created,
            model=head.model,
            system_fingerprint=head.system_fingerprint,
            service_tier=head.service_tier,
            choices=self._build_choices(),
            usage=self.usage,
        )

    def _build_choices(self) -> list[Choice]:
        if self._one_choice and self._choices:
            return [self._main.build(0)]
        return [self._choices[index].build(index) for index in sorted(self._choices)]

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
