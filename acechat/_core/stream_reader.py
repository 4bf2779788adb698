"""`StreamReader`: the events of one answer, from the request to the end, whichever that is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeAlias

from acechat._core.call import Call, running_loop
from acechat._credentials import strip_traceback
from acechat._wire.decode import decode_completion
from acechat._wire.deltas import END, DeltaBatch
from acechat._wire.stream import ChatStreamProtocol
from acechat.errors import (
    AceChatError,
    OutputError,
    ProtocolError,
    StreamInterruptedError,
    StreamTruncatedError,
    TransportError,
)
from acechat.types import ChatCompletion, FinishReason, Usage

if TYPE_CHECKING:
    from acechat._core.response import Response

__all__ = ["StreamReader"]

_JSON = ("application/json", "application/problem+json")
_SSE = ("text/event-stream", "text/plain", "")
"""Content types of streams; some servers send none, or plain text (reliability: ai-mock)."""

_ONE_AT_A_TIME = "another task is reading this stream, and only one at a time can"


OnBatch: TypeAlias = Callable[[DeltaBatch], bool]
"""Takes a batch at once; returns whether it has room for another."""


class StreamReader:
    """One answer, read event by event: what a stream is to those who do not look at it.

    It sends the request at the first read, knows how the answer ended, and tells who asked.
    """

    def __init__(self, call: Call) -> None:
        self._call = call
        self._on_end: Callable[[ChatCompletion, bool], None] | None = None
        self._response: Response | None = None
        self._protocol: ChatStreamProtocol | None = None
        self._opened = False
        self._opener: asyncio.Task[Any] | None = None  # the task that is opening it
        self._flowing = False  # opened, and what that brought is taken
        self._ended = False
        self._failure: AceChatError | None = None
        self._completion: ChatCompletion[Any] | None = None
        self._held: DeltaBatch | None = None  # what the opening read brought
        self._due: float | None = None  # when the wait under way has lasted too long
        self._room = True  # where batches are passed on to
        self.most: int | None = None
        """The most bytes that the answer may have; None for no limit."""

        self.on_batch: OnBatch | None = None
        """Gets what arrives while a read waits, so that no task is woken for it. That read returns
        once there is no room and more has come, or at the end."""

    def receive_batch(self) -> Coroutine[Any, Any, DeltaBatch]:
        """Wait for the next network read; return its events and what they say.

        A batch without events says nothing; `END` is the end.
        """
        if self._flowing:
            return self._read("idle", self._call.idle_at())
        return self._begin_or_end()

    async def _begin_or_end(self) -> DeltaBatch:
        await self._open()
        if self._held is not None:
            batch, self._held = self._held, None
            self._flowing = not self._ended and self._failure is None
            return batch
        if self._failure is not None:
            raise self._failure
        if not self._ended:  # it is being opened
            raise RuntimeError(_ONE_AT_A_TIME)
        return END

    async def _open(self) -> None:
        if self._opened:
            return
        self._opened = True
        self._opener = opener = asyncio.current_task(running_loop())
        cancelled = opener.cancelling() if opener is not None else 0
        closed = False  # by aclose() in another task, and cancelled by nobody else
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
        self._note_first_token()

    def _note_first_token(self) -> None:
        if self._protocol is not None and self._protocol.content:
            self._call.first_token(self.trace_id)

    async def _attempt(self) -> DeltaBatch:
        """Open the stream and read until something is said."""
        response = await self._call.open()
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        limit = self._call.config.max_event_bytes
        protocol = ChatStreamProtocol(response.headers, limit, self.most)
        self._response, self._protocol = response, protocol
        if kind not in _SSE:
            return await self._read_no_stream(response, protocol, kind)
        return await self._read("first_token", response.first_token_at)

    async def _read_no_stream(
        self, response: Response, protocol: ChatStreamProtocol, kind: str
    ) -> DeltaBatch:
        """Read what came instead of a stream: a whole answer, a refusal, or a gateway's page."""
        body = await self._call.read_whole(response)
        self._call.content = False
        if kind not in _JSON:
            raise ProtocolError(f"a stream was asked for, {kind} came", body=body)
        completion, _ = decode_completion(body, response.headers, status=response.status)
        batch = protocol.receive_completion(completion)
        self._finish(response)
        return batch

    async def _read(self, phase: str, at: float | None) -> DeltaBatch:
        """Read until something is said, or until the end; heartbeats do not move the limit."""
        response, protocol = self._response, self._protocol
        assert response is not None  # noqa: S101 - _attempt made both
        assert protocol is not None  # noqa: S101
        if response.waiter is not None:
            raise RuntimeError(_ONE_AT_A_TIME)
        tap = None
        if self.on_batch is not None and self._flowing:
            self._due, tap = at, self._on_data
        try:
            while (batch := self._take(response, protocol)) is None:
                await response.readable(phase, at, tap)
        except AceChatError as error:
            failure = error
        except BaseException:
            self._abandon()
            raise
        else:
            return batch
        response.abort()
        failure = strip_traceback(self._explained(failure, protocol))
        if self._call.content:
            self._call.note_failure(failure)
            self._fail(failure)
        raise failure

    def _take(self, response: Response, protocol: ChatStreamProtocol) -> DeltaBatch | None:
        """Return what has arrived and says something; None if one must wait for that.

        Raises:
            AceChatError: The stream broke, and whoever takes again meets that, too.
        """
        while not self._ended:
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
        """Pass on what has arrived while a task waits; return whether it can go on waiting."""
        response, protocol = self._response, self._protocol
        assert response is not None  # noqa: S101 - _attempt made both
        assert protocol is not None  # noqa: S101
        if self.on_batch is None or not self._room:
            self._room = True
            return False
        try:
            while (batch := self._take(response, protocol)) is not None:
                if batch is END:
                    return False
                self._room = self.on_batch(batch)
                self._due = self._call.idle_at()
        except AceChatError:
            return False  # the task meets it, too
        response.limit("idle", self._due)
        return True

    def _explained(self, error: AceChatError, protocol: ChatStreamProtocol) -> AceChatError:
        """Put into *error* what is known about the stream that it ended."""
        if type(error) is TransportError:
            interrupted = StreamInterruptedError(
                error.reason, chunks=protocol.chunks, received=protocol.received
            )
            interrupted.ending = error.ending
            error = interrupted
        if isinstance(error, StreamTruncatedError):
            error.elapsed = self._call.elapsed()
        error.trace_id = error.trace_id or protocol.trace_id
        error.partial = self.partial
        return error

    def _finish(self, response: Response) -> None:
        self._ended = True
        self._flowing = False
        if response.open:
            response.finish()
        completion = self.partial
        self._note_first_token()
        self._call.succeeded(completion, self._protocol.received if self._protocol else 0)
        try:
            self._completion = self._call.accept(completion)
        except OutputError as misfit:  # raised after the last of it was read
            self._failure = strip_traceback(misfit)
        self._tell_end(whole=self._failure is None)

    def _fail(self, failure: AceChatError) -> None:
        self._flowing = False
        if self._failure is None and not self._ended:
            self._failure = failure
            self._call.failed(failure, self.usage)
        self._tell_end(whole=False)

    def _abandon(self) -> None:
        """Close the connection of a stream that nobody will read to its end."""
        response, protocol = self._response, self._protocol
        if response is not None and response.open:
            response.abort()
        if self._ended or self._failure is not None:
            return
        self._call.failed(None)  # told first, it is what ended the call
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
        Otherwise what was not read is lost, and they, and a task that is waiting, get
        `StreamInterruptedError`.
        """
        self._opened = True
        opener = self._opener
        self._abandon()
        if opener is not None and opener is not asyncio.current_task():
            self._opener = None
            opener.cancel()

    def add_done_callback(self, callback: Callable[[ChatCompletion, bool], None]) -> None:
        """Call *tell* at the end, with what arrived and whether it is the whole answer."""
        self._on_end = callback

    def _tell_end(self, *, whole: bool) -> None:
        """Tell, once, who asked with `add_done_callback`."""
        tell, self._on_end = self._on_end, None
        if tell is not None:
            tell(self._completion or self.partial, whole)

    @property
    def partial(self) -> ChatCompletion:
        """What has arrived so far."""
        response, protocol = self._response, self._protocol
        if response is None or protocol is None:
            return ChatCompletion(choices=[])
        return self._call.received(
            response, protocol.completion(), protocol.to_dict, protocol.trace_id
        )

    @property
    def usage(self) -> Usage | None:
        """What the answer used; None until the service tells, which it does last."""
        return self._protocol.usage if self._protocol else None

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why the first choice ended; None before that."""
        return self._protocol.finish_reason if self._protocol else None

    @property
    def trace_id(self) -> str | None:
        """What the service's support asks for; None before the response began."""
        return self._protocol.trace_id if self._protocol else None
