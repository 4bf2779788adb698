"""What one read of a stream brought, seen in other ways; both colours share them."""

from __future__ import annotations

from collections.abc import Iterator

from acechat._codec import decode_chunk
from acechat._protocol import Batch
from acechat.types import (
    ChatCompletion,
    ChatCompletionChunk,
    Finished,
    ReasoningDelta,
    StreamEvent,
    TextDelta,
)

__all__ = ["chunks_of", "events_of", "finished", "texts_of"]


def texts_of(batch: Batch) -> Iterator[str]:
    """Yield the text of the first choice."""
    for delta in batch.deltas:
        if delta.content and not delta.index:
            yield delta.content


def chunks_of(batch: Batch) -> Iterator[ChatCompletionChunk]:
    """Yield the events as the service sent them."""
    for event in batch.events:
        if (chunk := decode_chunk(event, {})) is not None:
            yield chunk


def events_of(batch: Batch) -> Iterator[StreamEvent]:
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
