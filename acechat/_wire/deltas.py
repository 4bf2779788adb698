"""The deltas of one network read, and views of them: text, chunks, events."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from acechat._wire.decode import decode_chunk
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
    """What one read of the network brought."""

    deltas: list[Delta]
    """What was said; may be empty."""

    events: list[bytes]
    """The data of the events that said it, and of those that said nothing. (Measured: to keep the
    decoded chunks until the caller has read on costs as much as half of decoding them.)"""


END = DeltaBatch([], [])
"""What a read returns after the last one."""


def texts_of(batch: DeltaBatch) -> Iterator[str]:
    """Yield the text of the first choice."""
    for delta in batch.deltas:
        if delta.content and not delta.index:
            yield delta.content


def chunks_of(batch: DeltaBatch) -> Iterator[ChatCompletionChunk]:
    """Yield the events as the service sent them."""
    for event in batch.events:
        if (chunk := decode_chunk(event, {})) is not None:
            yield chunk


def events_of(batch: DeltaBatch) -> Iterator[StreamEvent]:
    """Yield what happened, as structs."""
    for delta in batch.deltas:
        if delta.reasoning_content:
            yield ReasoningDelta(delta.reasoning_content, delta.index)
        if delta.content:
            yield TextDelta(delta.content, delta.index)
        yield from delta.tool_calls or ()


def finished(completion: ChatCompletion) -> Finished:
    """Return the last event of a whole answer."""
    return Finished(completion.finish_reason, completion.usage)
