"""The deltas of one network read, and views of them: text, chunks, events."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from acechat._wire.chunks import decode_chunk
from acechat.types import (
    ChatCompletion,
    ChatCompletionChunk,
    Delta,
    Finished,
    ReasoningDelta,
    StreamEvent,
    TextDelta,
)

__all__ = ["END", "DeltaBatch", "chunks_of", "events_of", "finished", "texts_of"]


class DeltaBatch(Struct, frozen=True, gc=False):
    """The events of one network read, and their deltas."""

    deltas: list[Delta]
    """Deltas with content; may be empty."""

    events: list[bytes]
    """The data of the events that contain them, and of events without content. Kept as bytes:
    keeping decoded chunks until the consumer continues costs half of their decoding (measured)."""


END = DeltaBatch([], [])
"""Returned by a read after the end of the stream."""


def texts_of(batch: DeltaBatch) -> Iterator[str]:
    """Yield the text deltas of the first choice."""
    for delta in batch.deltas:
        if delta.content and not delta.index:
            yield delta.content


def chunks_of(batch: DeltaBatch) -> Iterator[ChatCompletionChunk]:
    """Yield the chunks as the service sent them."""
    for event in batch.events:
        if (chunk := decode_chunk(event, {})) is not None:
            yield chunk


def events_of(batch: DeltaBatch) -> Iterator[StreamEvent]:
    """Yield the deltas as `StreamEvent` structs."""
    for delta in batch.deltas:
        if delta.reasoning_content:
            yield ReasoningDelta(delta.reasoning_content, delta.index)
        if delta.content:
            yield TextDelta(delta.content, delta.index)
        yield from delta.tool_calls or ()


def finished(completion: ChatCompletion) -> Finished:
    """Return the event that ends a complete stream."""
    return Finished(completion.finish_reason, completion.usage)
