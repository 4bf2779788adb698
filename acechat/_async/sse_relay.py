"""`AsyncSSERelay`: a stream as server-sent events, for a web page or another service."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any, Self

from acechat._core.call import running_loop
from acechat._credentials import Token
from acechat._hints import warn_of_missing_headers
from acechat._wire.deltas import END, DeltaBatch
from acechat._wire.sse_writer import DONE, KEEP_ALIVE, encode_error, encode_events, headers_of
from acechat.errors import AceChatError

if TYPE_CHECKING:
    from acechat._core.stream_reader import StreamReader

__all__ = ["AsyncSSERelay"]


class AsyncSSERelay:
    """A stream as the bytes of server-sent events; `AsyncChatStream.sse` creates one.

    ``await`` waits for the first content, at most until the first comment is due. A failure before
    is raised by ``await``, so that the server can respond with an error status. Without ``await``,
    the HTTP response begins at once. A later failure is sent in the stream as ``event: error``,
    without ``[DONE]``.

    The connection to the service closes when reading stops: with `aclose`, when a read is
    cancelled, or when the relay is garbage collected.

    Example:
        >>> relay = await client.stream("Hello").sse()
        >>> return StreamingResponse(relay, headers=relay.headers)
    """

    def __init__(
        self,
        stream: StreamReader,
        abandon: Callable[[], None],
        token: Token,
        keep_alive: float | None,
    ) -> None:
        self._stream = stream
        self._abandon = abandon
        self._token = token
        self._keep_alive = keep_alive
        self._reading: asyncio.Task[DeltaBatch] | None = None
        self._first = b""  # read by ``await``, for the first receive()
        self._begun = False
        self._ended = False

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of the HTTP response: content type, and no caching or buffering.

        ``X-Trace-Id`` is one of them once the service has responded.
        """
        return headers_of(self._stream.trace_id)

    def __await__(self) -> Generator[Any, None, Self]:
        return self._begin().__await__()

    async def _begin(self) -> Self:
        running_loop()
        while not (self._first or self._begun or self._ended):
            self._first = await self._next()
        return self

    def __aiter__(self) -> Self:
        warn_of_missing_headers()
        return self

    async def __anext__(self) -> bytes:
        data = await self.receive()
        if not data:
            raise StopAsyncIteration
        return data

    async def receive(self) -> bytes:
        """Wait for the next events and return their bytes. Empty bytes mark the end.

        Failures of the stream are returned as ``event: error``, not raised.

        Raises:
            ConfigurationError: No asyncio loop is running, as under trio.
        """
        if not self._begun:
            running_loop()
            self._begun = True
        data, self._first = self._first, b""
        while not data and not self._ended:
            try:
                data = await self._next()
            except AceChatError as error:
                self._ended = True
                data = encode_error(error)
        return data

    async def _next(self) -> bytes:
        batch: DeltaBatch | None
        if self._keep_alive is None:
            batch = await self._stream.receive_batch()
        else:
            batch = await self._receive_within(self._keep_alive)
        if batch is None:
            return KEEP_ALIVE
        if batch is END:
            self._ended = True
            return DONE
        return encode_events(batch.events, self._token)

    async def _receive_within(self, seconds: float) -> DeltaBatch | None:
        """Return the next batch, or None after *seconds*; the next call continues the same read."""
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._stream.receive_batch())
            self._reading.add_done_callback(_take_failure)
        try:
            await asyncio.wait({self._reading}, timeout=seconds)
        except BaseException:
            self._stop()
            raise
        if not self._reading.done():
            return None
        reading, self._reading = self._reading, None
        if reading.cancelled():  # by aclose() in another task; raises how the stream ended
            return await self._stream.receive_batch()
        return reading.result()

    async def aclose(self) -> None:
        """Close the connection to the service. Unread events are lost."""
        self._stop()
        await self._stream.aclose()

    def _stop(self) -> None:
        self._ended = True
        self._first = b""
        if self._reading is not None:
            self._reading.cancel()
        self._abandon()  # there is no task to cancel if a read has just ended

    def __del__(self) -> None:
        reading: asyncio.Task[DeltaBatch] | None = getattr(self, "_reading", None)
        if reading is not None and not reading.done() and not reading.get_loop().is_closed():
            reading.get_loop().call_soon_threadsafe(reading.cancel)


def _take_failure(reading: asyncio.Task[DeltaBatch]) -> None:
    """Mark the exception of a read as retrieved: no task is waiting for it in a closed relay."""
    if not reading.cancelled():
        reading.exception()
