"""One streamed answer, without I/O: bytes in, deltas out, and the rules of its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from acechat._accumulator import ChatCompletionAccumulator, as_chunk
from acechat._codec import UNREADABLE, decode_chunk, decode_plain_chunk
from acechat._refusals import find_trace_id
from acechat._sse import SSEDecoder
from acechat.errors import AceChatError, ProtocolError, StreamTruncatedError
from acechat.types import ChatCompletion, ChatCompletionChunk, Delta, Usage

__all__ = ["END", "Batch", "ChatStreamProtocol"]

_DONE = b"[DONE]"


class Batch(NamedTuple):
    """What one read of the network brought."""

    deltas: list[Delta]
    """What was said; may be empty."""

    chunks: list[ChatCompletionChunk]
    """The events that said it, and those that said nothing."""


END = Batch([], [])
"""What a read returns after the last one."""


class ChatStreamProtocol:
    """Feed bytes, get deltas, learn how it ended.

    An error inside the stream does not hide what came before it: `receive_data` returns that, and
    leaves the error in *failure*.

    Args:
        headers: Of the response, names in lower case.
        max_event_bytes: The most bytes that one event may have.
    """

    def __init__(self, headers: Mapping[str, str], max_event_bytes: int) -> None:
        self.done = False
        """Whether ``[DONE]`` was seen; nothing that follows counts."""

        self.failure: AceChatError | None = None
        """What made the stream useless."""

        self.content = False
        """Whether anything was said."""

        self.received = 0
        """Bytes."""

        self._strays = 0  # lines outside of events that were looked at
        self._headers = headers
        self._events = SSEDecoder(max_event_bytes)
        self._accumulator = ChatCompletionAccumulator()

    def receive_data(self, data: bytes) -> Batch:
        """Take the next *data* of the body."""
        self.received += len(data)
        if self.done or self.failure is not None:
            return Batch([], [])
        deltas: list[Delta] = []
        chunks: list[ChatCompletionChunk] = []
        add, keep = self._accumulator.add, chunks.append
        try:
            for event in self._events.feed(data):
                chunk: ChatCompletionChunk | None
                try:
                    chunk = decode_plain_chunk(event)
                except UNREADABLE:
                    chunk = None
                if chunk is None or chunk.error is not None or not chunk.choices:
                    if event.strip() == _DONE:
                        self.done = True
                        break
                    chunk = decode_chunk(event, self._headers)
                    if chunk is None:
                        continue
                keep(chunk)
                add(chunk, event, deltas)
            if len(self._events.stray) != self._strays and not self.done:
                self._read_stray()
        except AceChatError as error:
            self.failure = error
        if deltas:
            self.content = True
        return Batch(deltas, chunks)

    def receive_completion(self, completion: ChatCompletion) -> Batch:
        """Take a whole answer, which some gateways send although a stream was asked for."""
        deltas: list[Delta] = []
        chunk = as_chunk(completion)
        self._accumulator.add(chunk, msgspec.json.encode(chunk), deltas)
        self.done = True
        self.content = True
        return Batch(deltas, [chunk])

    def receive_eof(self) -> None:
        """Note that the body has ended, cleanly.

        Raises:
            AceChatError: What made the stream useless, if that is known only now.
            StreamTruncatedError: It ended before the answer did.
        """
        if self.failure is not None:
            raise self.failure
        if self.done:
            return
        unfinished = self._events.unfinished()
        if unfinished is not None and unfinished.strip() == _DONE:
            # The source document prints the end without its blank line; nothing else gets mercy.
            self.done = True
        elif self._events.stray:
            self._read_stray()
            stray = b"\n".join(self._events.stray)
            raise ProtocolError("the stream ended in something that is no event", body=stray)
        elif not self._accumulator.finished:
            raise StreamTruncatedError(
                "the stream ended", chunks=self._accumulator.chunks, received=self.received
            )

    def _read_stray(self) -> None:
        """Raise what a bare JSON object says, if it is whole (contract, 2.4)."""
        self._strays = len(self._events.stray)
        text = b"\n".join(self._events.stray)
        try:
            decode_chunk(text, self._headers)
        except ProtocolError:
            return

    @property
    def chunks(self) -> int:
        """Events that had data."""
        return self._accumulator.chunks

    @property
    def usage(self) -> Usage | None:
        """What the service told so far; it comes last."""
        return self._accumulator.usage

    @property
    def finish_reason(self) -> str | None:
        """Why the first choice ended; None before that."""
        return self._accumulator.finish_reason

    @property
    def trace_id(self) -> str | None:
        """What the service's support asks for."""
        return find_trace_id({}, self._headers)

    def completion(self) -> ChatCompletion:
        """Return what was told so far."""
        return self._accumulator.completion()

    def to_dict(self) -> dict[str, Any]:
        """Return what was told so far, fields included that acechat does not know."""
        return self._accumulator.to_dict()
