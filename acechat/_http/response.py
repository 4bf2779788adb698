"""One response whose body is being read, with a limit on each wait."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable

import aiohttp

from acechat._http.connection import ConnectionHandler
from acechat._http.direct import RawResponse
from acechat._http.exceptions import map_exception, timeout_error
from acechat._http.pool import Pool
from acechat._policy.values import Timeout
from acechat._record.exchange import Ending, ending_of
from acechat._record.recorder import ResponseRecorder
from acechat.errors import AceChatError, TransportError

__all__ = ["AiohttpResponse"]

_GRACE = 0.1
"""Seconds that a stream's connection may take to end after ``[DONE]`` and still be kept."""


class AiohttpResponse:
    """One response whose body is being read.

    Args:
        raw: aiohttp's, or what stands for it.
        pool: Where its connection belongs.
        headers: With names in lower case, and without the token.
        timeout: The limits of the call.
        first_token_at: When the first content is due, on the loop's clock; None for never.
        total_at: When the call must have ended, on the same clock; None for never.
    """

    __slots__ = ("__weakref__", "_due", "_failure", "_handler", "_loop", "_news", "_phase", "_pool",
                 "_raw", "_tap", "_timer", "first_token_at", "headers", "kept", "open", "status",
                 "tape", "timeout", "total_at", "waiter")  # fmt: skip

    def __init__(
        self,
        raw: aiohttp.ClientResponse | RawResponse,
        pool: Pool,
        headers: dict[str, str],
        timeout: Timeout,
        first_token_at: float | None,
        total_at: float | None,
    ) -> None:
        self.status: int = raw.status
        self.headers = headers
        self.timeout = timeout
        self.first_token_at = first_token_at
        self.total_at = total_at
        self.open: bool = True
        self.tape: ResponseRecorder | None = None
        """Where what arrives is recorded."""

        self.waiter: asyncio.Future[None] | None = None
        """What a task awaits that reads the body."""

        self.kept: bytes = b""
        """What of the body has left aiohttp and was not taken."""

        connection = raw.connection
        protocol = connection.protocol if connection is not None else None
        self._handler: ConnectionHandler | None = None
        if isinstance(protocol, ConnectionHandler):
            self._handler = protocol
            self.kept = protocol.set_reader(self)
        self._raw = raw
        self._pool = pool
        self._loop = asyncio.get_running_loop()
        self._failure: AceChatError | None = None
        self._tap: Callable[[], bool] | None = None
        self._news = True  # whether there may be something to take
        self._phase: str | None = None  # of the read that is waiting
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        pool.responses.add(self)

    def read_nowait(self) -> bytes | None:
        """Return what has arrived of the body; no bytes are its clean end, None is nothing yet.

        Raises:
            RequestTimeoutError: A limit passed.
            TransportError: The connection broke, or the client was closed.
        """
        if self._failure is not None:
            raise self._failure
        if not self._news:
            return None
        self._news = False  # first: to read may let more arrive
        self._phase = None
        content = self._raw.content
        try:
            if self.kept:
                data, self.kept = self.kept, b""
                self._news = True  # how the connection broke
            else:
                data = content.read_nowait()
        except Exception as error:  # noqa: BLE001 - the boundary to aiohttp: nothing foreign passes
            failure = map_exception(error, "the answer was cut")
        else:
            if content.is_eof():
                self._news = True  # the end stays
            elif not data:
                return None
            if self.tape is not None:
                self.tape.add(data, self._loop.time())
            return data
        self.abort(failure)
        raise failure

    def readable(
        self, phase: str, at: float | None, tap: Callable[[], bool] | None = None
    ) -> Awaitable[None]:
        """Return what to await before it is worth while to `take` again.

        Args:
            phase: The field of `Timeout` that limits the wait, beside the total.
            at: When that limit passes, on the loop's clock; None for never.
            tap: Is called as soon as something arrives, and returns whether to go on waiting.
        """
        self.limit(phase, at)
        self._tap = tap
        if self._handler is None:
            return self._read_ahead()
        waiter = self.waiter = self._loop.create_future()
        return waiter

    def data_ready(self) -> None:
        """End the wait: there are bytes, or there is the end."""
        self._news = True
        waiter = self.waiter
        if waiter is not None:
            if self._tap is not None and self._failure is None and self._tap():
                return
            self.waiter = None
            if not waiter.done():
                waiter.set_result(None)

    async def _read_ahead(self) -> None:
        """Wait for bytes on a connection of the caller's own session, which tells us nothing."""
        self.waiter = self._loop.create_future()  # that one waits; what wakes it is aiohttp's
        try:
            self.kept = await self._raw.content.readany()
        except Exception as error:  # noqa: BLE001 - as in `take`
            self.abort(map_exception(error, "the answer was cut"))
        self.waiter = None
        self._news = True

    def limit(self, phase: str, at: float | None) -> None:
        """See that the wait which begins now ends in time; see `readable`.

        There is one timer for all: while it is early enough, it looks by itself, and is set again.
        """
        total = self.total_at
        due = at if total is None or (at is not None and at < total) else total
        if due is None:
            return
        self._phase = phase
        self._due = due
        if self._timer is not None:
            if self._timer.when() <= due:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._phase is None:
            return  # nobody waits; the next read arms the timer again
        now = self._loop.time()
        if now < self._due:
            self._timer = self._loop.call_at(self._due, self._look)
        elif self.total_at is not None and now >= self.total_at:
            self.abort(timeout_error("total", self.timeout))
        elif not self._news:
            self.abort(timeout_error(self._phase, self.timeout))

    def abort(self, failure: AceChatError | None = None) -> None:
        """Close the connection; a read that waits raises *failure*."""
        self._failure = self._failure or failure or TransportError("the response was closed")
        self.data_ready()
        self._end("closed" if failure is None else ending_of(failure))
        if self._pool.pid != os.getpid():
            return  # the connection is the parent's
        connection = self._raw.connection
        transport = connection.transport if connection is not None else None
        self._raw.close()
        if transport is not None:
            transport.abort()  # what of the request is not written yet nobody will read

    def finish(self) -> None:
        """Give the connection back: the answer is whole, whatever else may follow."""
        self._end("clean")
        if self._raw.connection is None:
            return
        if self._raw.content.is_eof():  # as with 101: aiohttp keeps what was upgraded
            self._raw.close()
        else:  # the end of the body has not arrived yet
            self._pool.draining.add(self)
            self._timer = self._loop.call_later(_GRACE, self.hang_up)
            self._raw.content.on_eof(self._drained)

    def _drained(self) -> None:
        self._pool.draining.discard(self)
        if self._timer is not None:
            self._timer.cancel()

    def hang_up(self) -> None:
        """Close the connection of an answer that is whole, or was given up."""
        self._drained()
        self._raw.close()

    def _end(self, how: Ending) -> None:
        if self.open:
            self.open = False
            self._tap = None
            self._pool.responses.discard(self)
            if self._handler is not None and self._handler.reader is self:
                self._handler.reader = None
            if self.tape is not None:
                self.tape.end(how, self._loop.time())
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if self._pool.slots is not None:
                self._pool.slots.release()

    def drop(self) -> None:
        """Abort from any thread, and after the loop has ended."""
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if here:
            self.abort()
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.abort)
