"""`AsyncChatStream`: an answer while it is being written."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self

from acechat._core.call import Call
from acechat._core.stream_reader import StreamReader
from acechat._core.stream_state import StreamState
from acechat._wire.deltas import END, chunks_of, events_of, finished, texts_of
from acechat.errors import ConfigurationError
from acechat.types import ChatCompletion, ChatCompletionChunk, Delta, StreamEvent
from acechat.types.completion import OutputT_co

if TYPE_CHECKING:
    from acechat._async.sse_relay import AsyncSSERelay
    from acechat._tools.partial_json import PartialOutput

__all__ = ["AsyncChatStream"]


class AsyncChatStream(StreamReader, Generic[OutputT_co]):
    """An answer while it is being written, piece by piece.

    Nothing is sent before the first read or ``async with``. Until the first content arrives, a
    failure is retried like one of `AsyncClient.chat`; after that, never.

    ``async with`` closes the connection however the block ends. Without it, a loop that breaks
    leaves that to the garbage collector, which warns.

    Example:
        >>> async with client.stream("Hello") as stream:
        ...     async for delta in stream:
        ...         print(delta, end="")
        >>> stream.completion.usage.total_tokens
    """

    def __init__(self, call: Call) -> None:
        super().__init__(call)
        self.partial_output: Callable[[], PartialOutput] = call.partial_output
        """Returns what reads the answer's JSON for `partials`, in either colour."""

        self._relayed = False
        self._ready: Iterator[Delta] = iter(())  # of the last batch

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

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Delta:
        delta = next(self._ready, None)
        while delta is None:
            batch = await self.receive_batch()
            if batch is END:
                raise StopAsyncIteration
            self._ready = iter(batch.deltas)
            delta = next(self._ready, None)
        return delta

    async def receive(self) -> list[Delta]:
        """Wait for the next network read that says something; return all that it says.

        An empty list is the end.

        Raises:
            APIError: The service refused, or gave up in the middle.
            RequestTimeoutError: A limit of `Timeout` passed.
            StreamTruncatedError: The stream ended before the answer did. Like every error of a
                stream it has what had arrived as *partial*.
        """
        if ready := list(self._ready):
            return ready
        while True:
            batch = await self.receive_batch()
            if batch.deltas or batch is END:
                return batch.deltas

    def __del__(self) -> None:
        if not hasattr(self, "_response"):
            return  # Ctrl-C came in the constructor
        response = self._response
        self._run_callback(whole=False)
        if response is not None and response.open:
            response.drop()
            self._call.failed(None, self.usage)
            if self._relayed:
                return  # web servers let go of what they send; it is no mistake of the caller's
            warnings.warn(
                "a stream was dropped before its end; use `async with client.stream(...)`",
                ResourceWarning,
                stacklevel=1,
                source=self,
            )

    async def collect(self) -> ChatCompletion[OutputT_co]:
        """Read to the end and return the whole answer."""
        while await self.receive_batch() is not END:
            pass
        return self.completion

    async def text(self) -> AsyncIterator[str]:
        """Iterate over the text alone; of the first choice, if there are more."""
        while (batch := await self.receive_batch()) is not END:
            for text in texts_of(batch):
                yield text

    async def partials(self) -> AsyncIterator[Any]:
        """Iterate over the answer's JSON while it grows: a dict or a list, as deep as it has come.

        A dict or a list is there as soon as it begins. A text is there when it is whole; a number,
        true, false and null when what follows them has begun. It is one object that grows, and is
        not checked: copy it to keep it. A value that neither a dict nor a list holds comes when it
        is whole. What the *output_type* makes of it all is ``stream.completion.output``.

        Raises:
            OutputError: At the end; the whole is not of *output_type*.
        """
        told = self.partial_output()
        while (batch := await self.receive_batch()) is not END:
            if told.receive(batch):
                yield told.value

    async def chunks(self) -> AsyncIterator[ChatCompletionChunk]:
        """Iterate over the events as the service sent them, those included that say nothing."""
        while (batch := await self.receive_batch()) is not END:
            for chunk in chunks_of(batch):
                yield chunk

    async def events(self) -> AsyncIterator[StreamEvent]:
        """Iterate over what happens, as structs made for ``match``; `Finished` is the last."""
        while (batch := await self.receive_batch()) is not END:
            for event in events_of(batch):
                yield event
        yield finished(self.completion)

    def sse(self, *, keep_alive: float | None = 15.0) -> AsyncSSERelay:
        """Return the answer as server-sent events, to be passed on to a web page.

        Each event carries the very data that the service sent.

        Args:
            keep_alive: Seconds of silence after which a comment is sent, so that no gateway cuts
                the connection to the page while the model thinks, and for which ``await`` waits for
                the first content at most. None: never, and until it comes.

        Raises:
            ConfigurationError: *keep_alive* is 0 or less.
            RuntimeError: Something of the stream was read before.
        """
        if keep_alive is not None and keep_alive <= 0:
            raise ConfigurationError(f"keep_alive is seconds above 0, or None, not {keep_alive}")
        if self._relayed or (self._state is not StreamState.NEW and self._held is None):
            raise RuntimeError("sse() relays a whole answer: call it once, before anything is read")
        self._relayed = True
        from acechat._async.sse_relay import AsyncSSERelay

        return AsyncSSERelay(self, self._abandon, self._call.config.token, keep_alive)

    @property
    def completion(self) -> ChatCompletion[OutputT_co]:
        """The whole answer, usage included.

        Raises:
            AceChatError: The stream failed; its *partial* is what had arrived.
            RuntimeError: The stream has not been read to its end.
        """
        if self._failure is not None:
            raise self._failure
        if self._completion is None:
            raise RuntimeError("the stream has not been read to its end; collect() does that")
        return self._completion
