"""One streamed completion without I/O: SSE bytes -> deltas, and the rules of its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from acechat._wire.accumulator import ChatCompletionAccumulator, as_chunk
from acechat._wire.decode import UNREADABLE, decode_chunk, decode_plain_chunk
from acechat._wire.deltas import DeltaBatch
from acechat._wire.error_response import find_trace_id
from acechat._wire.sse import SSEDecoder
from acechat.errors import AceChatError, ProtocolError, StreamTruncatedError
from acechat.types import ChatCompletion, ChatCompletionChunk, Delta, Usage

__all__ = ["ChatStreamProtocol"]

_DONE = b"[DONE]"


_encoder = msgspec.json.Encoder(decimal_format="number")


class ChatStreamProtocol:
    """Feed bytes, get deltas, learn how it ended.

    An error inside the stream does not hide what came before it: `receive_data` returns that, and
    leaves the error in *failure*.

    Args:
        headers: Of the response, names in lower case.
        max_event_bytes: The most bytes that one event may have, or several that say nothing.
        max_response_bytes: The most bytes that all of it may have; None for no limit.
    """

    __slots__ = ("_accumulator", "_events", "_headers", "_max_event_bytes", "_max_response_bytes",
                 "_silent_size", "_strays", "chunks", "content", "done", "failure", "received",
                 "silent", "trace_id")  # fmt: skip

    def __init__(
        self,
        headers: Mapping[str, str],
        max_event_bytes: int,
        max_response_bytes: int | None = None,
    ) -> None:
        self.done = False
        """Whether ``[DONE]`` was seen; nothing that follows counts."""

        self.failure: AceChatError | None = None
        """What made the stream useless."""

        self.content = False
        """Whether anything was said."""

        self.received = 0
        """Bytes."""

        self.chunks = 0
        """Events that had data."""

        self.trace_id: str | None = find_trace_id({}, headers)
        """What the service's support asks for."""

        self.silent: list[bytes] = []
        """Events that say nothing, since the last that did."""

        self._strays = 0  # lines outside of events that were looked at
        self._silent_size = 0  # bytes
        self._max_event_bytes = max_event_bytes
        self._max_response_bytes = max_response_bytes
        self._headers = headers
        self._events = SSEDecoder(max_event_bytes)
        self._accumulator = ChatCompletionAccumulator()

    def receive_data(self, data: bytes) -> DeltaBatch:
        """Take the next *data* of the body; return what it says.

        Events that say nothing come with the next that does, or with the end.
        """
        self.received += len(data)
        if self.done or self.failure is not None:
            return DeltaBatch([], [])
        most = self._max_response_bytes
        if most is not None and self.received > most:
            self.failure = _too_long("the answer", most, "max_response_bytes")
            return DeltaBatch([], [])
        deltas: list[Delta] = []
        too_long: ProtocolError | None = None
        try:
            events = self._events.feed(data)
        except ProtocolError as error:
            events, too_long = self._events.whole, error
        if self._events.stray:
            events = self._add_around_strays(events, deltas)
        else:
            events = self._add(events, deltas)
        if too_long is not None and not self.done:
            self.failure = self.failure or too_long
        self.chunks += len(events)
        if deltas:
            self.content = True
        elif not self.done:
            self._keep_silent(events)
            return DeltaBatch([], [])
        return DeltaBatch(deltas, self._take_silent() + events if self.silent else events)

    def _keep_silent(self, events: list[bytes]) -> None:
        self.silent += events
        self._silent_size += sum(map(len, events))
        if self._silent_size > self._max_event_bytes:
            limit = self._max_event_bytes
            self.failure = self.failure or _too_long("what says nothing", limit, "max_event_bytes")

    def _take_silent(self) -> list[bytes]:
        silent, self.silent, self._silent_size = self.silent, [], 0
        return silent

    def _add(self, events: list[bytes], deltas: list[Delta]) -> list[bytes]:
        """Add *events* to what was told, and what they say to *deltas*; return those that count."""
        add = self._accumulator.add
        for event in events:
            chunk: ChatCompletionChunk | None
            try:
                chunk = decode_plain_chunk(event)
            except UNREADABLE:
                chunk = None
            if chunk is None or chunk.error is not None or not chunk.choices:
                if event.strip() == _DONE:
                    self.done = True
                else:
                    chunk = self._decode_odd(event)
                if self.done or self.failure is not None:
                    return events[: next(n for n, each in enumerate(events) if each is event)]
                if chunk is None:
                    continue
            add(chunk, event, deltas)
        return events

    def _add_around_strays(self, events: list[bytes], deltas: list[Delta]) -> list[bytes]:
        """Add *events* as `_add` does, and read each new stray line where it stood among them.

        So it makes no difference whether the network cut them apart.
        """
        counted: list[bytes] = []
        start = 0
        for number in range(self._strays, len(self._events.stray)):
            place = self._events.stray_after[number]
            counted += self._add(events[start:place], deltas)
            start = place
            if not self.done and self.failure is None:
                self._read_strays(number + 1)
            if self.done or self.failure is not None:
                return counted
        return counted + self._add(events[start:], deltas)

    def _read_strays(self, count: int) -> None:
        """Note what a bare JSON object says, if the first *count* lines make it whole (2.4)."""
        self._strays = count
        lines = self._events.stray[:count]
        if not lines[-1].rstrip().endswith(b"}"):
            return
        try:
            decode_chunk(b"\n".join(lines), self._headers)
        except ProtocolError:
            return  # not whole yet
        except AceChatError as error:
            self.failure = error

    def _decode_odd(self, event: bytes) -> ChatCompletionChunk | None:
        try:
            return decode_chunk(event, self._headers)
        except AceChatError as error:
            self.failure = error
            return None

    def receive_completion(self, completion: ChatCompletion) -> DeltaBatch:
        """Take a whole answer, which some gateways send although a stream was asked for."""
        deltas: list[Delta] = []
        chunk = as_chunk(completion)
        event = _encoder.encode(chunk)
        self._accumulator.add(chunk, event, deltas)
        self.chunks = 1
        self.done = True
        self.content = True
        return DeltaBatch(deltas, [event])

    def receive_eof(self) -> DeltaBatch:
        """Note that the body has ended, cleanly; return the last events, which say nothing.

        Raises:
            AceChatError: What made the stream useless, if that is known only now.
            StreamTruncatedError: It ended before the answer did.
        """
        if self.failure is None and not self.done:
            self.failure = self._find_cut()
        if self.failure is not None:
            raise self.failure
        return DeltaBatch([], self._take_silent())

    def _find_cut(self) -> AceChatError | None:
        """Look whether the answer is whole, now that nothing more comes; return what is wrong."""
        unfinished = self._events.unfinished()
        for number in range(self._strays, len(self._events.stray)):
            self._read_strays(number + 1)
            if self.failure is not None:
                return self.failure
        if unfinished is not None and unfinished.strip() == _DONE:
            # The source document prints the end without its blank line; nothing else gets mercy.
            self.done = True
        elif self._events.stray:
            stray = b"\n".join(self._events.stray)
            return ProtocolError("the stream ended in something that is no event", body=stray)
        elif not self._accumulator.finished:
            return StreamTruncatedError(
                "the stream ended", chunks=self.chunks, received=self.received
            )
        return None

    @property
    def usage(self) -> Usage | None:
        """What the service told so far; it comes last."""
        return self._accumulator.usage

    @property
    def finish_reason(self) -> str | None:
        """Why the first choice ended; None before that."""
        return self._accumulator.finish_reason

    def completion(self) -> ChatCompletion:
        """Return what was told so far."""
        return self._accumulator.completion()

    def to_dict(self) -> dict[str, Any]:
        """Return what was told so far, fields included that acechat does not know."""
        return self._accumulator.to_dict()


def _too_long(what: str, most: int, limit: str) -> ProtocolError:
    """Make the error of what would fill the memory."""
    return ProtocolError(f"{what} is longer than {most} bytes ({limit})")
