"""`StreamReader`: one streamed response, from the request to the end of the stream.

Bytes take one of two paths to the reader of a stream. Async streams use the first; blocking streams
use the second, because waking a task for each network read would double their cost.

    pull   receive_batch ─▶ _read ─▶ _next_batch ─▶ Response.read_nowait ─▶ protocol.receive_data
                              ▲ ╰─ no batch: await Response.readable() ─╮
                              ╰───── socket has data, task is woken ◀───╯

    push   socket has data ─▶ Response.data_ready ─▶ _on_data ─▶ _next_batch ─▶ … ─▶ on_batch(batch)
           A task waits in _read meanwhile. _on_data returns False to wake it: after an error, at
           the end, or when data arrives and on_batch has no room.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeAlias

from acechat._core.body import receive_body
from acechat._core.call import Call, running_loop
from acechat._core.stream_state import StreamState
from acechat._credentials import strip_traceback
from acechat._wire.deltas import END, DeltaBatch
from acechat._wire.stream import ChatStreamProtocol
from acechat.errors import (
    AceChatError,
    ModelMismatchError,
    OutputError,
    StreamInterruptedError,
    StreamTruncatedError,
    TransportError,
)
from acechat.types import ChatCompletion, FinishReason, Usage

if TYPE_CHECKING:
    from acechat._core.response import Response

__all__ = ["StreamReader"]

_SSE = ("text/event-stream", "text/plain", "")
"""Content types of streams; some servers send none, or plain text (docs/reliability.md)."""

_NEW, _OPENING, _OPENED, _READING, _COMPLETE, _FAILED = StreamState

_ONE_AT_A_TIME = "another task is reading this stream; only one task may read it at a time"

OnBatch: TypeAlias = Callable[[DeltaBatch], bool]
"""Takes a batch without waiting; returns whether it has room for another one."""


class StreamReader:
    """One streamed response, read event by event; the part that all kinds of streams share.

    It sends the request at the first read. `StreamState` has its states.
    """

    def __init__(self, call: Call) -> None:
        self._call = call
        self._state = _NEW
        self._on_end: Callable[[ChatCompletion, bool], None] | None = None
        self._response: Response | None = None
        self._protocol: ChatStreamProtocol | None = None
        self._opener: asyncio.Task[Any] | None = None  # the task that is opening the stream
        self._failure: AceChatError | None = None
        self._completion: ChatCompletion[Any] | None = None
        self._held: DeltaBatch | None = None  # the batch that arrived while opening
        self._due: float | None = None  # deadline of the pending wait of the push path
        self._room = True  # whether on_batch has room
        self.max_bytes: int | None = None
        """The maximum size of the response, in bytes; None for no limit."""

        self.on_batch: OnBatch | None = None
        """Receives batches that arrive while a read waits: the push path, see above. The read
        returns when data arrives and there is no room, or at the end."""

    def receive_batch(self) -> Coroutine[Any, Any, DeltaBatch]:
        """Wait for the next network read; return its events and their deltas.

        A batch may have events without deltas; `END` is the end of the stream.
        """
        if self._state is _READING:
            return self._read("idle", self._call.idle_at())
        return self._open_and_take()

    async def _open_and_take(self) -> DeltaBatch:
        await self._open()
        if self._held is not None:
            batch, self._held = self._held, None
            if self._state is _OPENED:
                self._state = _READING
            return batch
        if self._failure is not None:
            raise self._failure
        if self._state is not _COMPLETE:  # another task is opening it
            raise RuntimeError(_ONE_AT_A_TIME)
        return END

    async def _open(self) -> None:
        """Send the request and wait for the first content, once."""
        if self._state is not _NEW:
            return
        self._state = _OPENING
        self._opener = opener = asyncio.current_task(running_loop())
        cancelled = opener.cancelling() if opener is not None else 0
        closed = False  # cancelled by aclose() in another task, and by nothing else
        try:
            try:
                self._held = await self._call.run(self._attempt)
            finally:
                if opener is not None and self._opener is not opener:
                    closed = opener.uncancel() <= cancelled
                self._opener = None
        except AceChatError as error:
            self._fail(error)
            raise
        except BaseException as error:
            self._abandon()
            if closed and self._failure is not None and isinstance(error, asyncio.CancelledError):
                raise self._failure from None
            raise
        if self._state is _OPENING:
            self._state = _OPENED
        self._report_first_token()

    def _report_first_token(self) -> None:
        if self._protocol is not None and self._protocol.content:
            self._call.first_token(self.trace_id)

    async def _attempt(self) -> DeltaBatch:
        """Make one attempt to open the stream; return the first batch with content."""
        response = await self._call.open()
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        protocol = self._call.stream_protocol(response, self.max_bytes, observed=True)
        self._response, self._protocol = response, protocol
        if kind not in _SSE:
            return await self._read_other_body(response, protocol, kind)
        return await self._read("first_token", response.first_token_at)

    async def _read_other_body(
        self, response: Response, protocol: ChatStreamProtocol, kind: str
    ) -> DeltaBatch:
        """Read a response whose content type is not that of a stream: its body decides."""
        body = await self._call.read_body(response)
        self._call.content = False
        try:
            batch = await receive_body(protocol, body, kind, response.status)
        except AceChatError as error:
            failure = error
        else:
            self._finish(response)
            return batch
        self._call.content = protocol.content
        raise strip_traceback(self._explain(failure, protocol))

    async def _read(self, phase: str, at: float | None) -> DeltaBatch:
        """Read until a batch has deltas, or until the end; heartbeats do not extend the limit."""
        response, protocol = self._response, self._protocol
        assert response is not None and protocol is not None  # noqa: S101, PT018 - by _attempt
        if response.waiting:
            raise RuntimeError(_ONE_AT_A_TIME)
        batch = on_data = None
        if self.on_batch is not None and self._state is _READING:
            self._due, on_data = at, self._on_data
        try:
            while batch is None:
                if not response.may_have_data and protocol.failure is None:
                    await response.readable(phase, at, on_data)
                batch = self._next_batch(response, protocol)
        except AceChatError as error:
            failure = error
        except BaseException:
            self._abandon()
            raise
        else:
            return batch
        response.abort()
        failure = strip_traceback(self._explain(failure, protocol))
        if self._call.content:
            self._call.record_failure(failure)
            self._fail(failure)
        raise failure

    def _next_batch(self, response: Response, protocol: ChatStreamProtocol) -> DeltaBatch | None:
        """Return the next batch with deltas that has arrived; None if the caller must wait for it.

        Raises:
            AceChatError: The stream broke. Each later call raises it again.
        """
        while self._state is not _COMPLETE:
            if protocol.failure is not None:
                raise protocol.failure
            data = response.read_nowait()
            if data is None:
                return None
            batch = protocol.receive_data(data) if data else protocol.receive_eof()
            if protocol.content:
                self._call.content = True
            if protocol.done or not data:
                self._finish(response)
                return batch
            if batch.deltas:
                return batch
        return END

    def _on_data(self) -> bool:
        """Give batches that have arrived to *on_batch*; return False to wake the waiting task."""
        response, protocol = self._response, self._protocol
        assert response is not None and protocol is not None  # noqa: S101, PT018 - as above
        if self.on_batch is None or not self._room:
            self._room = True
            return False
        try:
            while (batch := self._next_batch(response, protocol)) is not None:
                if batch is END:
                    return False
                self._room = self.on_batch(batch)
                self._due = self._call.idle_at()
        except AceChatError:
            return False  # the waiting task gets the same error from _next_batch
        response.limit("idle", self._due)
        return True

    def _explain(self, error: AceChatError, protocol: ChatStreamProtocol) -> AceChatError:
        """Add to *error* the state of the stream that it ended."""
        if type(error) is TransportError:
            interrupted = StreamInterruptedError(
                error.reason, chunks=protocol.chunks, received=protocol.received
            )
            interrupted.ending = error.ending
            error = interrupted
        if isinstance(error, StreamTruncatedError):
            error.elapsed = self._call.elapsed()
        error.trace_id = error.trace_id or protocol.trace_id
        error.partial = self.partial if protocol.chunks else error.partial or self.partial
        return error

    def _finish(self, response: Response) -> None:
        """Release the connection and record the complete response."""
        self._state = _COMPLETE
        if response.open:
            response.finish()
        self._report_first_token()
        size = self._protocol.received if self._protocol else 0
        try:
            self._completion = self._call.finish_stream(self.partial, size)
        except (OutputError, ModelMismatchError) as mismatch:  # raised after the last batch
            self._failure = strip_traceback(mismatch)
        self._run_callback(whole=self._failure is None)

    def _fail(self, failure: AceChatError) -> None:
        if self._state is not _COMPLETE and self._failure is None:
            self._state = _FAILED
            self._failure = failure
            self._call.failed(failure, self.usage)
        self._run_callback(whole=False)

    def _abandon(self) -> None:
        """Close the connection of a stream that will not be read to its end."""
        response, protocol = self._response, self._protocol
        if response is not None and response.open:
            response.abort()
        if self._state is _COMPLETE or self._failure is not None:
            return
        self._call.failed(None, partial=self.partial)  # first: observers see a closed call
        closed = StreamInterruptedError(
            "the stream was closed",
            chunks=protocol.chunks if protocol else 0,
            received=protocol.received if protocol else 0,
        )
        closed.partial = self.partial
        self._fail(closed)

    async def aclose(self) -> None:
        """Close the connection.

        If the complete response was received before, further reads return the rest of it and end.
        Otherwise unread data is discarded, and further reads and a pending one raise
        `StreamInterruptedError`.
        """
        opener = self._opener
        self._abandon()
        if opener is not None and opener is not asyncio.current_task():
            self._opener = None
            opener.cancel()

    def add_done_callback(self, callback: Callable[[ChatCompletion, bool], None]) -> None:
        """Call *callback* once, at the end: with the received completion, and True if complete."""
        self._on_end = callback

    def _run_callback(self, *, whole: bool) -> None:
        callback, self._on_end = self._on_end, None
        if callback is not None:
            callback(self._completion or self.partial, whole)

    @property
    def partial(self) -> ChatCompletion:
        """The completion as far as it has arrived."""
        response, protocol = self._response, self._protocol
        if response is None or protocol is None:
            return ChatCompletion(choices=[])
        return self._call.with_origin(
            response, protocol.completion(), protocol.to_dict, protocol.trace_id
        )

    @property
    def usage(self) -> Usage | None:
        """Token counts; None until the service reports them, which it does last."""
        return self._protocol.usage if self._protocol else None

    @property
    def finish_reason(self) -> FinishReason | None:
        """The finish reason of the first choice; None until it is received."""
        return self._protocol.finish_reason if self._protocol else None

    @property
    def trace_id(self) -> str | None:
        """The id that AceData's support asks for; None before the response began."""
        return self._protocol.trace_id if self._protocol else None
