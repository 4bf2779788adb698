"""`AsyncSSERelay`: an answer as server-sent events, for a web page or another service."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any, Self

from acechat._credentials import Token
from acechat._wire.deltas import END, DeltaBatch
from acechat._wire.sse_writer import DONE, KEEP_ALIVE, encode_error, encode_events, headers_of
from acechat.errors import AceChatError

if TYPE_CHECKING:
    from acechat._core.stream_reader import StreamReader

__all__ = ["AsyncSSERelay"]


class AsyncSSERelay:
    """An answer as the bytes of server-sent events; `AsyncChatStream.sse` makes one.

    ``await`` waits for the first content, though no longer than until the first comment is due, and
    raises what fails meanwhile: then the page can still be answered with a status. Without it, the
    page is answered at once. What fails later is told in the stream, as ``event: error``, and
    ``[DONE]`` does not come.

    Whoever stops reading closes the connection to the service: by `aclose`, by being cancelled, or
    by letting go of the relay.

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
        self._told = b""  # what was read while somebody waited for the beginning
        self._begun = False
        self._ended = False

    @property
    def headers(self) -> Mapping[str, str]:
        """What the response to the page needs: the content type, and that nobody keeps it back.

        ``X-Trace-Id`` is one of them where something of the answer has arrived.
        """
        return headers_of(self._stream.trace_id)

    def __await__(self) -> Generator[Any, None, Self]:
        return self._begin().__await__()

    async def _begin(self) -> Self:
        while not (self._told or self._begun or self._ended):
            self._told = await self._next()
        return self

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        told = await self.receive()
        if not told:
            raise StopAsyncIteration
        return told

    async def receive(self) -> bytes:
        """Wait for the next network read that says something; return its events.

        No bytes are the end.
        """
        self._begun = True
        told, self._told = self._told, b""
        while not told and not self._ended:
            try:
                told = await self._next()
            except AceChatError as error:
                self._ended = True
                told = encode_error(error)
        return told

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
        """Wait for the next read; return None if it takes longer, and go on with it next time."""
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
        if reading.cancelled():  # by aclose() in another task; this tells how that ended it
            return await self._stream.receive_batch()
        return reading.result()

    async def aclose(self) -> None:
        """Close the connection; what was not read is lost."""
        self._stop()
        await self._stream.aclose()

    def _stop(self) -> None:
        self._ended = True
        self._told = b""
        if self._reading is not None:
            self._reading.cancel()
        self._abandon()  # a read that has just ended is not there to be cancelled

    def __del__(self) -> None:
        reading: asyncio.Task[DeltaBatch] | None = getattr(self, "_reading", None)
        if reading is not None and not reading.done() and not reading.get_loop().is_closed():
            reading.get_loop().call_soon_threadsafe(reading.cancel)


def _take_failure(reading: asyncio.Task[DeltaBatch]) -> None:
    """Take what the last read of a relay that was closed may have raised: nobody waits for it."""
    if not reading.cancelled():
        reading.exception()
