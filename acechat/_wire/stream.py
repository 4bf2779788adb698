"""Decode one streamed completion without I/O: SSE bytes -> deltas, and the end-of-stream rules.

The format, its variants and the rules: docs/api.md#streams.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from acechat._wire.accumulator import ChatCompletionAccumulator, as_chunk
from acechat._wire.decode import DECODE_ERRORS, decode_chunk, decode_plain_chunk
from acechat._wire.deltas import DeltaBatch
from acechat._wire.error_response import find_trace_id
from acechat._wire.sse import SSEDecoder
from acechat.errors import AceChatError, ProtocolError, StreamTruncatedError
from acechat.types import ChatCompletion, ChatCompletionChunk, Delta, Usage

__all__ = ["ChatStreamProtocol"]

_DONE = b"[DONE]"

_encoder = msgspec.json.Encoder(decimal_format="number")


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

    A body that ends in OPEN after each choice has a finish reason is complete as well.

    Args:
        headers: Of the response, names in lower case.
        max_event_bytes: Maximum size in bytes of one event, and of consecutive events without
            content.
        max_response_bytes: Maximum size of the body in bytes; None for no limit.
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
        """True once ``[DONE]`` was received."""

        self.failure: AceChatError | None = None
        """The error that ended the stream; None if there was none."""

        self.content: bool = False
        """True once a delta with content arrived (text, reasoning, refusal or a tool call)."""

        self.received = 0
        """Size in bytes of the data received."""

        self.chunks = 0
        """Number of events with data."""

        self.trace_id: str | None = find_trace_id({}, headers)
        """Identifies the request to the service's support; None if not reported."""

        self.silent: list[bytes] = []
        """Events without content since the last one with content."""

        self._strays = 0  # number of stray lines already checked for an error
        self._silent_size = 0  # bytes of *silent*
        self._max_event_bytes = max_event_bytes
        self._max_response_bytes = max_response_bytes
        self._headers = headers
        self._events = SSEDecoder(max_event_bytes)
        self._accumulator = ChatCompletionAccumulator()

    def receive_data(self, data: bytes) -> DeltaBatch:
        """Decode the next *data* of the body; return its deltas.

        Events without content are returned with the next event that has some, or at the end.
        """
        self.received += len(data)
        if self.done or self.failure is not None:
            return DeltaBatch([], [])
        limit = self._max_response_bytes
        if limit is not None and self.received > limit:
            self.failure = _too_long("response is", limit, "max_response_bytes")
            return DeltaBatch([], [])
        deltas: list[Delta] = []
        too_long: ProtocolError | None = None
        try:
            events = self._events.feed(data)
        except ProtocolError as error:
            events, too_long = self._events.completed, error
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
            self.failure = self.failure or _too_long(
                "consecutive events without content are", limit, "max_event_bytes"
            )

    def _take_silent(self) -> list[bytes]:
        silent, self.silent, self._silent_size = self.silent, [], 0
        return silent

    def _add(self, events: list[bytes], deltas: list[Delta]) -> list[bytes]:
        """Accumulate *events* and append their deltas to *deltas*.

        Returns:
            The events before the end or failure of the stream.
        """
        add = self._accumulator.add
        for event in events:
            chunk: ChatCompletionChunk | None
            try:
                chunk = decode_plain_chunk(event)
            except DECODE_ERRORS:
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
        lines = self._events.stray[:count]
        if not lines[-1].rstrip().endswith(b"}"):
            return
        try:
            decode_chunk(b"\n".join(lines), self._headers)
        except ProtocolError:
            return  # not complete yet
        except AceChatError as error:
            self.failure = error

    def _decode_odd(self, event: bytes) -> ChatCompletionChunk | None:
        try:
            return decode_chunk(event, self._headers)
        except AceChatError as error:
            self.failure = error
            return None

    def receive_completion(self, completion: ChatCompletion) -> DeltaBatch:
        """Accept a completion that was not streamed: some gateways ignore ``"stream": true``."""
        deltas: list[Delta] = []
        chunk = as_chunk(completion)
        event = _encoder.encode(chunk)
        self._accumulator.add(chunk, event, deltas)
        self.chunks = 1
        self.done = True
        self.content = True
        return DeltaBatch(deltas, [event])

    def receive_eof(self) -> DeltaBatch:
        """Check the stream at the end of its body; return the remaining events without content.

        Raises:
            AceChatError: The stream failed, see *failure*.
            StreamTruncatedError: The body ended before the completion did.
        """
        if self.failure is None and not self.done:
            self.failure = self._check_end()
        if self.failure is not None:
            raise self.failure
        return DeltaBatch([], self._take_silent())

    def _check_end(self) -> AceChatError | None:
        """Return the error of a stream that ended in OPEN; None if the completion is complete."""
        unfinished = self._events.unfinished()
        for number in range(self._strays, len(self._events.stray)):
            self._check_strays(number + 1)
            if self.failure is not None:
                return self.failure
        if unfinished is not None and unfinished.strip() == _DONE:
            # The vendor's guide shows [DONE] without its empty line; other events must be complete.
            self.done = True
        elif self._events.stray:
            stray = b"\n".join(self._events.stray)
            return ProtocolError("the stream ended with lines that belong to no event", body=stray)
        elif not self._accumulator.finished:
            return StreamTruncatedError(
                "the stream ended", chunks=self.chunks, received=self.received
            )
        return None

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


def _too_long(subject: str, limit: int, setting: str) -> ProtocolError:
    return ProtocolError(f"{subject} longer than {limit} bytes ({setting})")
