"""A response whose body is read with a time limit on each wait."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from enum import Enum, auto

import aiohttp

from acechat._http.body_reader import BodyReader
from acechat._http.connection import ConnectionHandler
from acechat._http.content_coding import ContentDecoder
from acechat._http.direct import RawResponse
from acechat._http.exceptions import map_exception, timeout_error
from acechat._http.pool import Pool
from acechat._http.waiter import Waiter
from acechat._policy.values import Timeout
from acechat._record.exchange import Ending, ending_of
from acechat._record.recorder import ResponseRecorder
from acechat.errors import AceChatError, TransportError

__all__ = ["AiohttpResponse", "ResponseState"]

_MAX_READ = 64 * 1024
"""Bytes that one read returns, decoded in 50 ms; then other tasks run. aiohttp may hold 400 KB."""

_GRACE = 0.1
"""Seconds to wait for the end of a body after ``[DONE]``, to reuse the connection."""


class ResponseState(Enum):
    """States of a response.

    READING: `finish` → DRAINING, or RELEASED if the body has ended; `abort`, `drop`, a broken
    connection or a passed limit → FAILED. DRAINING: the end of the body → RELEASED; `close`,
    called after _GRACE seconds or by the pool → CLOSED.
    """

    READING = auto()
    """The body is being read; the response is in ``pool.responses``."""
    DRAINING = auto()
    """The response is complete, and the end of its body is awaited; it is in ``pool.draining``."""
    RELEASED = auto()
    """The connection is back in aiohttp's pool."""
    FAILED = auto()
    """The connection is closed; all reads raise the same failure."""
    CLOSED = auto()
    """The response was complete; its connection is closed."""


_READING, _RELEASED = ResponseState.READING, ResponseState.RELEASED
"""Each call needs these; up to Python 3.11, looking up a member of an enum calls Python's code."""


class AiohttpResponse:
    """A response whose body is being read; `ResponseState` has its states.

    Args:
        raw: The response of aiohttp or of `DirectSender`.
        pool: The pool of its connection.
        headers: Response headers, names in lower case, the token redacted.
        timeout: The limits of the call.
        first_token_at: Deadline of the first content on the loop's clock; None for no limit.
        total_at: Deadline of the call on the same clock; None for no limit.
    """

    __slots__ = ("__weakref__", "_due", "_failure", "_handler", "_loop", "_on_data", "_phase",
                 "_pool", "_raw", "_rest", "_taking", "_timer", "_timer_due", "_waiter", "decoder",
                 "first_token_at", "headers", "may_have_data", "recorder", "state", "status",
                 "timeout", "total_at", "unread", "waiting")  # fmt: skip

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
        self.state = _READING

        self.recorder: ResponseRecorder | None = None
        """Records the body; None if recording is off."""

        self.decoder: ContentDecoder | None = None
        """Decodes a body that aiohttp does not decode."""

        self.waiting: bool = False
        """Whether a task waits for data."""

        self.unread: bytes = b""
        """Bytes that were taken out of aiohttp and not yet returned."""

        connection = raw.connection
        protocol = connection.protocol if connection is not None else None
        self._handler: ConnectionHandler | None = None
        if isinstance(protocol, ConnectionHandler):
            self._handler = protocol
            self.unread = protocol.set_reader(self)
            BodyReader.adopt(raw.content)
        self._raw = raw
        self._pool = pool
        self._loop = asyncio.get_running_loop()
        self._waiter = Waiter(self._loop)
        self._failure: AceChatError | None = None
        self._on_data: Callable[[], bool] | None = None
        self.may_have_data: bool = True
        """Whether `read_nowait` may return data."""

        self._rest = b""  # decoded data above `_MAX_READ`, for the next reads
        self._taking = False  # in `read_nowait` of aiohttp
        self._phase: str | None = None  # limit of the pending wait; None if no task waits
        self._due = 0.0  # deadline of that wait
        self._timer: asyncio.Handle | None = None
        self._timer_due = 0.0  # uvloop gives no time to a timer whose time has passed
        pool.responses.add(self)

    @property
    def open(self) -> bool:
        """Whether the body is being read."""
        return self.state is _READING

    def read_nowait(self) -> bytes | None:
        """Return received bytes; ``b""`` at the clean end of the body, None if none have arrived.

        Raises:
            RequestTimeoutError: A time limit passed.
            TransportError: The connection broke, or the response was closed.
            ProtocolError: The body has an unknown content coding.
            ClientClosedError: The client was closed.
        """
        if self._failure is not None:
            raise self._failure
        if not self.may_have_data:
            return None
        self.may_have_data = False  # first, because reading may resume the transport
        self._phase = None
        content = self._raw.content
        try:
            if self._rest:
                data, self._rest = self._rest, b""
                self.may_have_data = True
            else:
                data = self._take(content)
        except Exception as error:  # noqa: BLE001 - converts all exceptions of aiohttp
            self._taking = False
            failure = map_exception(error, "the connection broke during the response")
        else:
            self._taking = False
            if content.is_eof():
                self.may_have_data = True  # the end can be read again
            elif not data:
                return None
            if len(data) > _MAX_READ and self._handler is not None:
                data, self._rest = data[:_MAX_READ], data[_MAX_READ:]
                self.may_have_data = False
                self._loop.call_soon(self.data_ready)
            if self.recorder is not None:
                self.recorder.add(data, self._loop.time())
            return data
        self.abort(failure)
        raise failure

    def _take(self, content: aiohttp.StreamReader) -> bytes:
        """Take decoded data out of aiohttp's *content*."""
        if self.unread:
            data, self.unread = self.unread, b""
            self.may_have_data = True  # the error of the broken connection
        else:
            self._taking = True
            data = content.read_nowait()
        return data if self.decoder is None else self.decoder.decode(data)

    def readable(
        self, phase: str, at: float | None, on_data: Callable[[], bool] | None = None
    ) -> Awaitable[None]:
        """Return an awaitable that ends when `read_nowait` may return data.

        Args:
            phase: The field of `Timeout` that limits the wait, beside the total.
            at: Deadline of that limit on the loop's clock; None for no limit.
            on_data: Called as soon as data arrives; returns True to continue waiting.
        """
        self.limit(phase, at)
        self._on_data = on_data
        if self._handler is None:
            return self._read_ahead()
        self.waiting = True
        return self._waiter

    def data_ready(self) -> None:
        """End the wait: bytes or the end of the body have arrived."""
        self.may_have_data = True
        if self._taking:  # aiohttp, which is giving out data, has resumed and got more
            self._loop.call_soon(self.data_ready)
            return
        if self.waiting:
            if self._on_data is not None and self._failure is None and self._on_data():
                return
            self.waiting = False
            self._waiter.wake()

    async def _read_ahead(self) -> None:
        """Wait for bytes on a connection of the caller's session: it does not call `data_ready`."""
        self.waiting = True
        try:
            self.unread = await self._raw.content.readany()
        except Exception as error:  # noqa: BLE001 - as in `read_nowait`
            self.abort(map_exception(error, "the connection broke during the response"))
        self.waiting = False
        self.may_have_data = True

    def limit(self, phase: str, at: float | None) -> None:
        """Limit the wait that begins now; see `readable` for the arguments.

        All waits share one timer, which is set again if it fires early: most reads need no new one.
        """
        total = self.total_at
        due = at if total is None or (at is not None and at < total) else total
        if due is None:
            return
        self._phase = phase
        self._due = due
        if self._timer is not None:
            if self._timer_due <= due:
                return
            self._timer.cancel()
        self._timer_due = due
        self._timer = self._loop.call_at(due, self._check_deadline)

    def _check_deadline(self) -> None:
        self._timer = None
        if self._phase is None:
            return  # no task is waiting; the next read sets the timer
        now = self._loop.time()
        if now < self._due:
            self._timer_due = self._due
            self._timer = self._loop.call_at(self._due, self._check_deadline)
        elif self.total_at is not None and now >= self.total_at:
            self.abort(timeout_error("total", self.timeout))
        elif not self.may_have_data:
            self.abort(timeout_error(self._phase, self.timeout))

    def abort(self, failure: AceChatError | None = None) -> None:
        """Close the connection; pending and later reads raise *failure*, or `TransportError`."""
        self._failure = self._failure or failure or TransportError("the response was closed")
        self.may_have_data, self.waiting = True, False
        self._waiter.wake_soon()
        self._end(ResponseState.FAILED, "closed" if failure is None else ending_of(failure))
        if self._pool.pid != os.getpid():
            return  # the connection belongs to the parent of a fork
        connection = self._raw.connection
        transport = connection.transport if connection is not None else None
        self._raw.close()
        if transport is not None:
            transport.abort()  # discards the unwritten rest of the request

    def finish(self) -> None:
        """Release the connection: the response is complete, even if the body has not ended."""
        if self._raw.connection is None:
            self._end(_RELEASED, "clean")
        elif self._raw.content.is_eof():  # such as status 101, which aiohttp does not release
            self._end(ResponseState.CLOSED, "clean")
            self._raw.close()
        else:  # the end of the body has not arrived yet
            self._end(ResponseState.DRAINING, "clean")
            self._pool.draining.add(self)
            self._timer = self._loop.call_later(_GRACE, self.close)
            self._raw.content.on_eof(self._drained)

    def _drained(self) -> None:
        if self.state is ResponseState.DRAINING:
            self.state = _RELEASED
        self._pool.draining.discard(self)
        if self._timer is not None:
            self._timer.cancel()

    def close(self) -> None:
        """Close the connection of a complete response."""
        self._drained()
        self.state = ResponseState.CLOSED
        self._raw.close()

    def _end(self, state: ResponseState, ending: Ending) -> None:
        if self.state is _READING:
            self.state = state
            self._on_data = None
            self._pool.responses.discard(self)
            if self._handler is not None and self._handler.reader is self:
                self._handler.reader = None
            if self.recorder is not None:
                self.recorder.end(ending, self._loop.time())
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if self._pool.slots is not None:
                self._pool.slots.release()

    def drop(self) -> None:
        """Abort, from any thread; does nothing if the loop is closed."""
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if here:
            self.abort()
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.abort)
