"""Decode one streamed completion without I/O: SSE bytes -> deltas, and the end-of-stream rules.

The format, its variants and the rules: docs/api.md#streams.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from acechat._wire.accumulator import ChatCompletionAccumulator
from acechat._wire.chunks import (
    as_chunk,
    chunks_of_halves,
    decode_beside_error,
    decode_chunk,
    decode_plain_chunk,
)
from acechat._wire.decode import DECODE_ERRORS, decode_completion
from acechat._wire.deltas import DeltaBatch
from acechat._wire.errors.response import find_trace_id
from acechat._wire.odd_json import BEFORE_JSON, Halves, has_too_many_values
from acechat._wire.sse import SSEDecoder, too_long
from acechat.errors import AceChatError, ProtocolError, StreamTruncatedError
from acechat.types import ChatCompletion, ChatCompletionChunk, Delta, Usage

__all__ = ["ChatStreamProtocol"]

_DONE = b"[DONE]"
_MAX_VALUES, _MAX_SILENT = 300_000, 100_000  # events take more memory than their bytes


class ChatStreamProtocol:
    """Protocol of one stream: takes bytes of the body, returns deltas, and checks how it ends.

    `receive_data` returns the deltas that precede an error and stores the error in *failure*, so
    that content received in the same read is not lost.

    The state is given by *done* and *failure*, of which at most one is set::

        OPEN    neither   -> DONE    ``[DONE]``, also without its empty line at the end of the
                                     body, or a completion that was not streamed
                          -> FAILED  an error event or a bare error; data that cannot be decoded
                                     or exceeds a limit; an end of the body before each choice
                                     has a finish reason
        DONE    *done*    final: later data is counted in *received* and otherwise ignored
        FAILED  *failure* final: as above; `receive_eof` raises the error

    A body that ends in OPEN after each choice has a finish reason is complete as well, and so is
    one that is a JSON completion instead of events. A complete stream without any content fails.

    Args:
        headers: Of the response, names in lower case.
        max_event_bytes: Maximum size in bytes of one event, and of consecutive events without
            content.
        max_response_bytes: Maximum size of the body in bytes; None for no limit.
        one_choice: Whether one choice was requested, whose index counts for nothing.
    """

    __slots__ = ("_accumulator", "_events", "_extra", "_halves", "_headers", "_max_event_bytes",
                 "_max_response_bytes", "_silent_size", "_strays", "chunks", "content", "done",
                 "failure", "received", "silent", "trace_id")  # fmt: skip

    def __init__(
        self,
        headers: Mapping[str, str],
        max_event_bytes: int,
        max_response_bytes: int | None = None,
        *,
        one_choice: bool = False,
    ) -> None:
        self.done: bool = False
        """True once ``[DONE]`` was received."""

        self.failure: AceChatError | None = None
        """The error that ended the stream; None if there was none."""

        self.content: bool = False
        """True once a delta with content arrived (text, reasoning, refusal or a tool call)."""

        self.received: int = 0
        """Size in bytes of the data received."""

        self.chunks: int = 0
        """Number of events with data."""

        self.trace_id: str | None = find_trace_id({}, headers)
        """Identifies the request to the service's support; None if not reported."""

        self.silent: list[bytes] | tuple[()] = ()
        """Events without content since the last one with content."""

        self._strays = 0  # number of stray lines already checked for an error
        self._silent_size = 0  # bytes of *silent*
        self._max_event_bytes = max_event_bytes
        self._max_response_bytes = max_response_bytes
        self._headers = headers
        self._extra: list[bytes] | tuple[()] = ()  # the event of a completion that had none
        self._halves = Halves(one_choice=one_choice)
        self._events = SSEDecoder(max_event_bytes)
        self._accumulator = ChatCompletionAccumulator(one_choice=one_choice)

    def receive_data(self, data: bytes) -> DeltaBatch:
        """Decode the next *data* of the body; return its deltas.

        Events without content are returned with the next event that has some, or at the end.
        """
        self.received += len(data)
        if self.done or self.failure is not None:
            return DeltaBatch([], [])
        limit = self._max_response_bytes
        if limit is not None and self.received > limit:
            self.failure = too_long("response is", limit, "max_response_bytes")
            return DeltaBatch([], [])
        deltas: list[Delta] = []
        oversize: ProtocolError | None = None
        try:
            events = self._events.feed(data)
        except ProtocolError as error:
            events, oversize = [*self._events.completed], error
        events = (self._add_around_strays if self._events.stray else self._add)(events, deltas)
        if oversize is not None and not self.done:
            self.failure = self.failure or oversize
        self.chunks += len(events)
        if self._extra:
            events, self._extra = events + self._extra, ()
        if deltas:
            self.content = True
        elif not self.done:
            self._keep_silent(events)
            return DeltaBatch([], [])
        return DeltaBatch(deltas, self._take_silent() + events if self.silent else events)

    def _keep_silent(self, events: list[bytes]) -> None:
        self.silent = self.silent or []
        self.silent += events
        self._silent_size += sum(map(len, events))
        if self._silent_size > self._max_event_bytes:
            text = "consecutive events without content are"
            self.failure = self.failure or too_long(text, self._max_event_bytes, "max_event_bytes")
        elif len(self.silent) > _MAX_SILENT:
            reason = f"more than {_MAX_SILENT:,} consecutive events without content"
            self.failure = self.failure or ProtocolError(reason)

    def _take_silent(self) -> list[bytes]:
        silent, self.silent, self._silent_size = [*self.silent], (), 0
        return silent

    def _add(self, events: list[bytes], deltas: list[Delta]) -> list[bytes]:
        """Accumulate *events* and append their deltas to *deltas*.

        Returns:
            The events before the end or failure of the stream.
        """
        if events and len(events[0]) > _MAX_VALUES and has_too_many_values(events[0], _MAX_VALUES):
            self.failure = ProtocolError("stream event has too many values")
            return []
        add = self._accumulator.add
        halves = self._halves
        for event in events:
            chunk: ChatCompletionChunk | None
            try:
                chunk = decode_plain_chunk(event)
            except DECODE_ERRORS:
                chunk = None
            if chunk is None or chunk.error is not None or not chunk.choices or halves:
                if event.strip() == _DONE:
                    self._end(deltas)
                    chunk = None
                else:
                    chunk = self._decode_odd(event, deltas)
            elif add(chunk, event, deltas):
                chunk = self._decode_odd(event, deltas, chunk)
            else:
                continue
            if self.done or self.failure is not None:
                return events[: next(n for n, each in enumerate(events) if each is event)]
            if chunk is not None:
                add(chunk, event, deltas, checked=True)
        return events

    def _end(self, deltas: list[Delta]) -> None:
        """End a stream that is complete; fail if there is no completion in it."""
        for chunk in chunks_of_halves(self._halves):
            self._accumulator.add(chunk, b"{}", deltas, checked=True)
        self._halves.clear()
        self.done = not self._accumulator.empty
        if not self.done:
            self.failure = ProtocolError("the response contains no completion")
            self._receive_stray_json(deltas)

    def _add_around_strays(self, events: list[bytes], deltas: list[Delta]) -> list[bytes]:
        """Do as `_add`, and check each new stray line at its position among *events*.

        The result is thereby independent of where the network split the bytes.
        """
        counted: list[bytes] = []
        start = 0
        for number in range(self._strays, len(self._events.stray)):
            position = self._events.stray_after[number]
            counted += self._add(events[start:position], deltas)
            start = position
            if not self.done and self.failure is None:
                self._check_strays(number + 1)
            if self.done or self.failure is not None:
                return counted
        return counted + self._add(events[start:], deltas)

    def _check_strays(self, count: int) -> None:
        """Fail if the first *count* stray lines are a complete JSON error (docs/api.md#streams)."""
        self._strays = count
        if not self._events.stray_ends[count - 1]:
            return
        try:
            decode_chunk(b"\n".join(self._events.stray[:count]), self._headers)
        except ProtocolError:
            return  # not complete yet
        except AceChatError as error:
            self.failure = error

    def _decode_odd(
        self, event: bytes, deltas: list[Delta], chunk: ChatCompletionChunk | None = None
    ) -> ChatCompletionChunk | None:
        try:
            self._accumulator.check(chunk)
            chunk = decode_chunk(event, self._headers, self._halves)
            return self._accumulator.check(chunk)
        except AceChatError as error:
            self.failure = error
            decoded = None if isinstance(error, ProtocolError) else decode_beside_error(event)
            if decoded and not self._accumulator.too_many(decoded[0].choices):
                self._accumulator.add(*decoded, deltas, checked=True)
        return None

    def receive_completion(self, completion: ChatCompletion) -> DeltaBatch:
        """Accept a completion that was not streamed: some gateways ignore ``"stream": true``."""
        deltas: list[Delta] = []
        chunk, event = as_chunk(completion)
        self._accumulator.add(chunk, event, deltas, checked=True)
        self.chunks += 1
        self.done = self.content = True
        return DeltaBatch(deltas, [event])

    def receive_body(self, body: bytes, kind: str, status: int) -> DeltaBatch:
        """Accept a complete body that has no events; raise if it is no completion."""
        if "json" not in kind and body.lstrip(BEFORE_JSON)[:1] not in {b"{", b"["}:
            raise ProtocolError(f"expected text/event-stream, got {kind}", body=body)
        completion, _ = decode_completion(body, self._headers, status=status)
        return self.receive_completion(completion)

    def receive_eof(self) -> DeltaBatch:
        """Check the stream at the end of its body; return the remaining events without content.

        Raises:
            AceChatError: The stream failed, see *failure*.
            StreamTruncatedError: The body ended before the completion did.
        """
        deltas: list[Delta] = []
        if self.failure is None and not self.done:
            self._check_end(deltas)
            self.content = self.content or bool(deltas)
        if self.failure is not None:
            if self.failure.partial is None and (self.chunks or self.content):
                self.failure.partial = self.completion()
            raise self.failure
        return DeltaBatch(deltas, [*self._take_silent(), *self._extra])

    def _check_end(self, deltas: list[Delta]) -> None:
        """Decide how a body that ended in OPEN has ended the stream."""
        unfinished = self._events.unfinished()
        for number in range(self._strays, len(self._events.stray)):
            self._check_strays(number + 1)
            if self.failure is not None:
                return
        if unfinished is not None and unfinished.strip() == _DONE:
            # The vendor's guide shows [DONE] without its empty line; other events must be complete.
            self._end(deltas)
        elif self._events.stray:
            reason = "the stream ended with lines that belong to no event"
            self.failure = ProtocolError(reason, body=b"\n".join(self._events.stray))
            if self._accumulator.empty:
                self._receive_stray_json(deltas)
        elif self._accumulator.finished:
            self._end(deltas)
        else:
            self.failure = StreamTruncatedError(
                "the stream ended", chunks=self.chunks, received=self.received
            )

    def _receive_stray_json(self, deltas: list[Delta]) -> None:
        """Accept a completion, or an error, without the form of an event: it replaces *failure*."""
        try:
            lines = self._events.stray[: self._strays]  # the last read may have more
            completion, _ = decode_completion(b"\n".join(lines), self._headers)
        except AceChatError as error:
            if not isinstance(error, ProtocolError) or error.partial is not None:
                self.failure = error  # an error response, or a completion without content
        else:
            self.failure = None
            batch = self.receive_completion(completion)
            deltas += batch.deltas
            self._extra = batch.events

    @property
    def usage(self) -> Usage | None:
        """The usage; None if not reported (so far: the service sends it last)."""
        return self._accumulator.usage

    @property
    def finish_reason(self) -> str | None:
        """The finish reason of the first choice; None before it ends."""
        return self._accumulator.finish_reason

    def completion(self) -> ChatCompletion:
        """Return the completion as received so far."""
        return self._accumulator.completion()

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON of the completion so far, with fields that acechat does not know."""
        return self._accumulator.to_dict()
