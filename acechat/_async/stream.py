"""`AsyncChatStream`: a streamed response."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self

from acechat._core.call import Call
from acechat._core.stream_reader import StreamReader
from acechat._core.stream_state import StreamState
from acechat._hints import STREAM_ATTRIBUTES, hint_attributes, not_awaitable
from acechat._wire.deltas import END, chunks_of, events_of, finished, texts_of
from acechat.errors import ConfigurationError
from acechat.types import ChatCompletion, ChatCompletionChunk, Delta, StreamEvent
from acechat.types.completion import OutputT_co

if TYPE_CHECKING:
    from acechat._async.sse_relay import AsyncSSERelay
    from acechat._tools.find_output import PartialOutput

__all__ = ["AsyncChatStream"]


@hint_attributes(STREAM_ATTRIBUTES)
class AsyncChatStream(StreamReader, Generic[OutputT_co]):
    """A streamed response, delta by delta; `AsyncClient.stream` creates one.

    Nothing is sent before the first read or ``async with``. Until the first content arrives,
    failures are retried as in `AsyncClient.chat`; after that, never.

    ``async with`` closes the connection however the block ends. Without it, a loop that breaks
    leaves that to the garbage collector, which emits a ResourceWarning.

    Example:
        >>> async with client.stream("Hello") as stream:
        ...     async for delta in stream:
        ...         print(delta, end="")
        >>> stream.completion.usage.total_tokens
    """

    def __init__(self, call: Call) -> None:
        super().__init__(call)
        self.partial_output: Callable[[], PartialOutput] = call.partial_output
        """Returns a new parser for `partials`, async and sync."""

        self._relayed = False
        self._ready: Iterator[Delta] = iter(())  # the rest of the last batch

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    if not TYPE_CHECKING:
        __await__ = not_awaitable(
            "iterate over it, `async for delta in client.stream(...)`, or await its collect()"
        )

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Delta:
        delta = next(self._ready, None)
        while delta is None:
            batch = await self.receive_batch()
            deltas = batch.deltas
            if len(deltas) == 1:  # nearly all batches of a live stream
                return deltas[0]
            if batch is END:
                raise StopAsyncIteration
            self._ready = iter(deltas)
            delta = next(self._ready, None)
        return delta

    async def receive(self) -> list[Delta]:
        """Wait for the next deltas and return all that are ready. An empty list marks the end.

        The *partial* of each exception is the part of the completion that had arrived.

        Raises:
            APIError: The service reported an error, in its response or within the stream.
            TransportError: The connection failed; `RequestTimeoutError` if a limit of `Timeout`
                passed.
            ProtocolError: The response is malformed; `StreamTruncatedError` if the stream ended
                early.
            StreamInterruptedError: The stream was closed before its end.
        """
        if ready := list(self._ready):
            return ready
        while True:
            batch = await self.receive_batch()
            if batch.deltas or batch is END:
                return batch.deltas

    def __del__(self) -> None:
        if not hasattr(self, "_response"):
            return  # the constructor was interrupted
        response = self._response
        self._run_callback(whole=False)
        if response is not None and response.open:
            response.drop()
            self._call.failed(None, self.usage, self.partial)
            if self._relayed:
                return  # web servers drop relays without closing them; the caller made no mistake
            warnings.warn(
                "a stream was dropped before its end; use `async with client.stream(...)`",
                ResourceWarning,
                stacklevel=1,
                source=self,
            )

    async def collect(self) -> ChatCompletion[OutputT_co]:
        """Read to the end and return the completion. Raises the exceptions of `receive`."""
        while await self.receive_batch() is not END:
            pass
        return self.completion

    async def text(self) -> AsyncIterator[str]:
        """Iterate over the text of the first choice."""
        while (batch := await self.receive_batch()) is not END:
            for text in texts_of(batch):
                yield text

    async def partials(self) -> AsyncIterator[Any]:
        """Iterate over the JSON value of the completion while it grows.

        A dict or list is included as soon as it begins, a string when it is complete, and a number,
        true, false or null when the next character has arrived. A value outside of dicts and lists
        is yielded once, when it is complete. Iterations yield the same growing object, until a
        later value in the text replaces it. It is not validated: copy it to keep a state. The
        validated value of *output_type* is ``stream.completion.output``.

        Raises:
            OutputError: At the end; the completion does not match *output_type*.
        """
        output = self.partial_output()
        while (batch := await self.receive_batch()) is not END:
            if output.receive(batch):
                yield output.value

    async def chunks(self) -> AsyncIterator[ChatCompletionChunk]:
        """Iterate over the events as the service sent them, including those without content."""
        while (batch := await self.receive_batch()) is not END:
            for chunk in chunks_of(batch):
                yield chunk

    async def events(self) -> AsyncIterator[StreamEvent]:
        """Iterate over the deltas as structs for ``match``; the last one is `Finished`."""
        while (batch := await self.receive_batch()) is not END:
            for event in events_of(batch):
                yield event
        yield finished(self.completion)

    def sse(self, *, keep_alive: float | None = 15.0) -> AsyncSSERelay:
        """Return the stream as server-sent events, to be relayed to a web page.

        Each event has the unchanged data of the service.

        Args:
            keep_alive: Seconds of silence, above 0, after which a comment is sent, so that gateways
                do not close the connection to the page during reasoning; also the maximum time for
                which ``await`` waits for the first content. Default 15; None for no comments and no
                maximum.

        Raises:
            ConfigurationError: *keep_alive* is 0 or less.
            RuntimeError: The stream has been read, or `sse` was called before.
        """
        if keep_alive is not None and keep_alive <= 0:
            raise ConfigurationError(f"keep_alive must be above 0 s, or None, not {keep_alive}")
        if self._relayed or (self._state is not StreamState.NEW and self._held is None):
            raise RuntimeError("call sse() once, before the first read of the stream")
        self._relayed = True
        from acechat._async.sse_relay import AsyncSSERelay

        return AsyncSSERelay(self, self._abandon, self._call.config.token, keep_alive)

    @property
    def completion(self) -> ChatCompletion[OutputT_co]:
        """The complete response, usage included.

        Raises:
            AceChatError: The stream failed; its *partial* is the part that had arrived.
            RuntimeError: The stream has not been read to its end.
        """
        if self._failure is not None:
            raise self._failure
        if self._completion is None:
            raise RuntimeError("the stream has not been read to its end; call collect() first")
        return self._completion
