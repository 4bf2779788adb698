"""`AsyncChatStream`: an answer while it is being written."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from acechat._call import Call, bare
from acechat._codec import decode_completion
from acechat._protocol import END, Batch, ChatStreamProtocol
from acechat._views import events_of, finished, texts_of
from acechat.errors import (
    AceChatError,
    ProtocolError,
    StreamInterruptedError,
    StreamTruncatedError,
    TransportError,
)
from acechat.types import (
    ChatCompletion,
    ChatCompletionChunk,
    Delta,
    FinishReason,
    StreamEvent,
    Usage,
)

if TYPE_CHECKING:  # it brings aiohttp
    from acechat._transport import Response

__all__ = ["AsyncChatStream"]

_JSON = ("application/json", "application/problem+json")
_SSE = ("text/event-stream", "text/plain", "")
"""Content types of streams; some servers send none, or plain text (reliability: ai-mock)."""


class AsyncChatStream:
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
        self._call = call
        self._on_end: Callable[[ChatCompletion, bool], None] | None = None
        self._response: Response | None = None
        self._protocol: ChatStreamProtocol | None = None
        self._opened = False
        self._ended = False
        self._failure: AceChatError | None = None
        self._completion: ChatCompletion | None = None
        self._held: Batch | None = None  # what the opening read brought
        self._ready: deque[Delta] = deque()

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
        ready = self._ready
        if not ready:
            ready.extend(await self.receive())
            if not ready:
                raise StopAsyncIteration
        return ready.popleft()

    async def receive(self) -> list[Delta]:
        """Wait for the next network read that says something; return all that it says.

        An empty list is the end.

        Raises:
            APIError: The service refused, or gave up in the middle.
            RequestTimeoutError: A limit of `Timeout` passed.
            StreamTruncatedError: The stream ended before the answer did. Like every error of a
                stream it has what had arrived as *partial*.
        """
        if self._ready:
            ready = list(self._ready)
            self._ready.clear()
            return ready
        while True:
            batch = await self.receive_batch()
            if batch.deltas or batch is END:
                return batch.deltas

    async def receive_batch(self) -> Batch:
        """Wait for the next network read; return its events and what they say.

        A batch without events is the end.
        """
        await self._open()
        if self._held is not None:
            held, self._held = self._held, None
            return held
        if self._failure is not None:
            raise self._failure
        if self._ended:
            return END
        return await self._read("idle", self._call.idle_at())

    async def _open(self) -> None:
        if self._opened:
            return
        self._opened = True
        try:
            self._held = await self._call.run(self._attempt)
        except AceChatError as error:
            self._fail(error)
            raise
        except BaseException:
            self._abandon()
            raise

    async def _attempt(self) -> Batch:
        """Open the stream and read until something is said."""
        response = await self._call.open()
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        protocol = ChatStreamProtocol(response.headers, self._call.config.max_event_bytes)
        self._response, self._protocol = response, protocol
        if kind not in _SSE:
            return await self._read_no_stream(response, protocol, kind)
        return await self._read("first_token", response.first_token_at)

    async def _read_no_stream(
        self, response: Response, protocol: ChatStreamProtocol, kind: str
    ) -> Batch:
        """Read what came instead of a stream: a whole answer, a refusal, or a gateway's page."""
        body = await self._call.read_whole(response)
        self._call.content = False
        if kind not in _JSON:
            raise ProtocolError(f"a stream was asked for, {kind} came", body=body)
        completion, _ = decode_completion(body, response.headers, status=response.status)
        batch = protocol.receive_completion(completion)
        self._finish(response)
        return batch

    async def _read(self, phase: str, at: float | None) -> Batch:
        """Read until something is said, or until the end; heartbeats do not move the limit."""
        response, protocol = self._response, self._protocol
        assert response is not None  # noqa: S101 - _attempt made both
        assert protocol is not None  # noqa: S101
        silent: list[ChatCompletionChunk] = []
        try:
            while protocol.failure is None:
                data = await response.read(phase, at)
                if data:
                    batch = protocol.receive_data(data)
                else:
                    batch = END
                    protocol.receive_eof()
                if protocol.content:
                    self._call.content = True
                if protocol.done or not data:
                    self._finish(response)
                elif not batch.deltas:
                    silent += batch.chunks
                    continue
                return Batch(batch.deltas, silent + batch.chunks) if silent else batch
            failure = protocol.failure
        except AceChatError as error:
            failure = error
        except BaseException:
            self._abandon()
            raise
        response.abort()
        failure = bare(self._explained(failure, protocol))
        data, batch = b"", END  # what a service echoes is not for those who print tracebacks
        if self._call.content:
            self._call.note_failure(failure)
            self._fail(failure)
        raise failure

    def _explained(self, error: AceChatError, protocol: ChatStreamProtocol) -> AceChatError:
        """Put into *error* what is known about the stream that it ended."""
        if type(error) is TransportError:
            error = StreamInterruptedError(
                error.reason, chunks=protocol.chunks, received=protocol.received
            )
        if isinstance(error, StreamTruncatedError):
            error.elapsed = self._call.elapsed()
        error.trace_id = error.trace_id or protocol.trace_id
        error.partial = self.partial
        return error

    def _finish(self, response: Response) -> None:
        self._ended = True
        if response.open:
            response.finish()
        self._completion = self.partial
        self._tell_end(whole=True)

    def _fail(self, failure: AceChatError) -> None:
        if self._failure is None and not self._ended:
            self._failure = failure
        self._tell_end(whole=False)

    def _abandon(self) -> None:
        """Close the connection of a stream that nobody will read to its end."""
        response, protocol = self._response, self._protocol
        if response is not None and response.open:
            response.abort()
        if self._ended or self._failure is not None:
            return
        closed = StreamInterruptedError(
            "the stream was closed",
            chunks=protocol.chunks if protocol else 0,
            received=protocol.received if protocol else 0,
        )
        closed.partial = self.partial
        self._fail(closed)

    async def aclose(self) -> None:
        """Close the connection; what was not read is lost."""
        self._opened = True
        self._abandon()

    def at_end(self, tell: Callable[[ChatCompletion, bool], None]) -> None:
        """Call *tell* at the end, with what arrived and whether it is the whole answer."""
        self._on_end = tell

    def _tell_end(self, *, whole: bool) -> None:
        """Tell, once, who asked with `at_end`."""
        tell, self._on_end = self._on_end, None
        if tell is not None:
            tell(self.partial, whole)

    def __del__(self) -> None:
        response = self._response
        self._tell_end(whole=False)
        if response is not None and response.open:
            response.drop()
            warnings.warn(
                "a stream was dropped before its end; use `async with client.stream(...)`",
                ResourceWarning,
                stacklevel=1,
                source=self,
            )

    async def collect(self) -> ChatCompletion:
        """Read to the end and return the whole answer."""
        while await self.receive_batch() is not END:
            pass
        return self.completion

    async def text(self) -> AsyncIterator[str]:
        """Iterate over the text alone; of the first choice, if there are more."""
        while (batch := await self.receive_batch()) is not END:
            for text in texts_of(batch):
                yield text

    async def chunks(self) -> AsyncIterator[ChatCompletionChunk]:
        """Iterate over the events as the service sent them, those included that say nothing."""
        while (batch := await self.receive_batch()) is not END:
            for chunk in batch.chunks:
                yield chunk

    async def events(self) -> AsyncIterator[StreamEvent]:
        """Iterate over what happens, as structs made for ``match``; `Finished` is the last."""
        while (batch := await self.receive_batch()) is not END:
            for event in events_of(batch):
                yield event
        yield finished(self.completion)

    @property
    def completion(self) -> ChatCompletion:
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

    @property
    def partial(self) -> ChatCompletion:
        """What has arrived so far."""
        response, protocol = self._response, self._protocol
        if response is None or protocol is None:
            return ChatCompletion(choices=[])
        return self._call.received(response, protocol.completion(), protocol.to_dict)

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
