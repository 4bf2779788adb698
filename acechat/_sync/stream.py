"""`ChatStream`: a streamed response, blocking."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self

from acechat._async.stream import AsyncChatStream
from acechat._hints import STREAM_ATTRIBUTES, hint_attributes
from acechat._sync.delta_queue import DeltaQueue
from acechat._sync.loop_thread import LoopThread
from acechat._wire.deltas import END, DeltaBatch, chunks_of, events_of, finished, texts_of
from acechat.errors import ClientClosedError
from acechat.types import (
    ChatCompletion,
    ChatCompletionChunk,
    Delta,
    FinishReason,
    StreamEvent,
    Usage,
)
from acechat.types.completion import OutputT_co

if TYPE_CHECKING:
    from acechat._async.sse_relay import AsyncSSERelay
    from acechat._sync.sse_relay import SSERelay

__all__ = ["ChatStream"]


@hint_attributes(STREAM_ATTRIBUTES)
class ChatStream(Generic[OutputT_co]):
    """A streamed response, delta by delta: the blocking `AsyncChatStream`.

    `Client.stream` creates one. Nothing is sent before the first read or ``with``.

    Example:
        >>> with client.stream("Hello") as stream:
        ...     for delta in stream:
        ...         print(delta, end="")
        >>> stream.completion.usage.total_tokens
    """

    def __init__(self, loop: LoopThread, stream: AsyncChatStream[OutputT_co]) -> None:
        self._loop = loop
        self._stream = stream
        self._queue = DeltaQueue(loop, stream)
        self._ended = False
        self._ready: deque[Delta] = deque()  # deltas of batches that were taken from the queue
        self._on_end: Callable[[ChatCompletion, bool], None] | None = None

    def __enter__(self) -> Self:
        self._loop.run(self._stream.__aenter__)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Delta:
        ready = self._ready
        while True:
            try:
                return ready.popleft()
            except IndexError:
                pass
            batch = self.receive_batch()
            ready.extend(batch.deltas)
            if batch is END and not ready:  # another thread may have left some
                raise StopIteration

    def receive(self) -> list[Delta]:
        """Wait for the next deltas and return all that are ready. An empty list marks the end.

        Raises the exceptions of `AsyncChatStream.receive`.
        """
        ready: list[Delta] = []
        with suppress(IndexError):
            while True:
                ready.append(self._ready.popleft())
        while not ready:
            batch = self.receive_batch()
            if batch is END:
                break
            ready = batch.deltas
        return ready

    def receive_batch(self) -> DeltaBatch:
        """Wait for the next network read; return its events and deltas, of which there may be none.

        `END` marks the end. Raises the exceptions of `AsyncChatStream.receive`.
        """
        if self._ended:
            return self._after_the_end()
        try:
            batch = self._queue.read()
        except CancelledError:  # by close() in another thread, or because the loop ended
            self.close()
            if self._loop.closed:
                raise ClientClosedError from None
            return self._after_the_end()
        except Exception:
            raise
        except BaseException:  # Ctrl-C
            self.close()
            raise
        if batch is END:
            self._ended = True
        return batch

    def _after_the_end(self) -> DeltaBatch:
        """Return the rest of a complete response, or raise the exception that ended the stream."""
        try:
            self._stream.completion  # noqa: B018 - raises it
        except RuntimeError:  # close() in another thread has set `_ended`, and not closed it yet
            with suppress(ClientClosedError):
                self._loop.run(self._stream.aclose)
            if self._loop.closed:
                raise ClientClosedError from None
            self._stream.completion  # noqa: B018
        return self._queue.take_rest()

    def close(self) -> None:
        """Close the connection.

        If the complete response was received before, further reads return the rest of it and end.
        Otherwise unread deltas are lost, and further reads, including one in progress in another
        thread, raise `StreamInterruptedError`.
        """
        self._ended = True
        self._queue.stop()
        with suppress(ClientClosedError):  # the client was closed, and so was this
            self._loop.run(self._stream.aclose)

    def __del__(self) -> None:
        queue: DeltaQueue | None = getattr(self, "_queue", None)
        if queue is not None and queue.pumping and not self._ended:
            if self._on_end is not None:
                self._on_end(self._stream.partial, False)  # noqa: FBT003 - not complete
            queue.stop()
            warnings.warn(
                "a stream was dropped before its end; use `with client.stream(...)`",
                ResourceWarning,
                stacklevel=1,
                source=self,
            )

    def collect(self) -> ChatCompletion[OutputT_co]:
        """Read to the end and return the completion. Raises the exceptions of `receive`."""
        while self.receive_batch() is not END:
            pass
        return self.completion

    def text(self) -> Iterator[str]:
        """Iterate over the text of the first choice."""
        while (batch := self.receive_batch()) is not END:
            yield from texts_of(batch)

    def partials(self) -> Iterator[Any]:
        """Iterate over the JSON value while it grows; see `AsyncChatStream.partials`."""
        output = self._stream.partial_output()
        while (batch := self.receive_batch()) is not END:
            if output.receive(batch):
                yield output.value

    def chunks(self) -> Iterator[ChatCompletionChunk]:
        """Iterate over the events as the service sent them, including those without content."""
        while (batch := self.receive_batch()) is not END:
            yield from chunks_of(batch)

    def events(self) -> Iterator[StreamEvent]:
        """Iterate over the deltas as structs for ``match``; the last one is `Finished`."""
        while (batch := self.receive_batch()) is not END:
            yield from events_of(batch)
        yield finished(self.completion)

    def sse(self, *, keep_alive: float | None = 15.0) -> SSERelay:
        """Wait for the first content; return the stream as server-sent events for a web page.

        It waits for *keep_alive* seconds at most. Parameters and exceptions are those of
        `AsyncChatStream.sse`. A failure before the first content is raised here.
        """
        from acechat._sync.sse_relay import SSERelay

        relay = self._stream.sse(keep_alive=keep_alive)
        self._loop.run(_begin, relay)
        return SSERelay(self._loop, relay)

    def add_done_callback(self, callback: Callable[[ChatCompletion, bool], None]) -> None:
        """Call *callback* once, at the end, in any thread.

        Args:
            callback: Takes the completion, or the part of it that arrived, and whether it is
                complete.
        """
        self._on_end = callback
        self._stream.add_done_callback(callback)

    @property
    def completion(self) -> ChatCompletion[OutputT_co]:
        """The complete response, usage included.

        Raises the exceptions of `AsyncChatStream.completion`.
        """
        return self._stream.completion

    @property
    def partial(self) -> ChatCompletion:
        """The part of the completion that has arrived so far."""
        return self._stream.partial

    @property
    def usage(self) -> Usage | None:
        """The tokens that were used. None until the service reports them, at the end."""
        return self._stream.usage

    @property
    def finish_reason(self) -> FinishReason | None:
        """The reason for which the first choice ended; None before that."""
        return self._stream.finish_reason

    @property
    def trace_id(self) -> str | None:
        """The id by which the service's support finds the request; None before the response."""
        return self._stream.trace_id


async def _begin(relay: AsyncSSERelay) -> None:
    _ = await relay  # the value is the relay itself
