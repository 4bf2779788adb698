"""Middleware: functions that wrap each attempt of a call."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TypeAlias, cast

from acechat._config import check_headers
from acechat._core.response import Response
from acechat._wire.request import HTTPRequest
from acechat.errors import AceChatError

__all__ = [
    "BufferedResponse",
    "CallNext",
    "HTTPResponse",
    "Middleware",
    "check_middleware",
    "send_through",
]


class BufferedResponse:
    """A response that was read completely, or made by a middleware."""

    first_token_at: float | None = None
    may_have_data: bool = True
    waiting: bool = False

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status: int = status
        self.headers: dict[str, str] = dict(headers)
        self.open: bool = True
        self._body = body

    def read_nowait(self) -> bytes:
        body, self._body = self._body, b""
        return body

    async def readable(
        self, phase: str, at: float | None, on_data: Callable[[], bool] | None = None
    ) -> None:
        """Return at once: all data has arrived."""

    def limit(self, phase: str, at: float | None) -> None:
        """Do nothing: no read waits."""

    def finish(self) -> None:
        self.open = False

    def abort(self, failure: AceChatError | None = None) -> None:  # noqa: ARG002 - no read waits
        self.open = False

    def drop(self) -> None:
        self.open = False


class HTTPResponse:
    """A response that a middleware receives, or creates.

    `AsyncClient.chat` and `AsyncClient.stream` both accept a completion as JSON and a stream of
    events.

    Args:
        body: The complete body.
        status: HTTP status.
        headers: HTTP headers. Without a ``Content-Type``, a body that begins with ``{`` is JSON,
            and any other a stream. Default none.

    Attributes:
        status: HTTP status.
        headers: HTTP headers, names in lower case.
    """

    def __init__(
        self, body: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        named = {name.lower(): value for name, value in (headers or {}).items()}
        self.status: int = status
        kind = "application/json" if body.lstrip()[:1] == b"{" else "text/event-stream"
        self.headers: dict[str, str] = {"content-type": kind} | named
        self._body = body

    async def read(self) -> bytes:
        """Wait for the complete body and return it; the response can still be returned.

        A stream that is read here reaches the caller as one chunk, at its end.

        Raises:
            TransportError: The connection broke, or a limit of `Timeout` passed.
            RuntimeError: The response was closed because of a later request; see `Middleware`.
        """
        return self._body

    def __repr__(self) -> str:
        return f"HTTPResponse({self.status}, {self.headers})"


class _NetworkResponse(HTTPResponse):
    """A response that is still arriving."""

    def __init__(self, raw: Response, read: Callable[[Response], Awaitable[bytes]]) -> None:
        super().__init__(b"", status=raw.status)
        self.headers = raw.headers
        self.complete: bool = False
        self.read_begun: bool = False
        """Whether a middleware has begun to read it."""

        self._raw = raw
        self._read = read
        self._closed = False

    async def read(self) -> bytes:
        if not self.complete:
            raw, self.read_begun = self.unread(), True
            self._body = await self._read(raw)
            self.complete = True
        return self._body

    def unread(self) -> Response:
        """Return the response to read.

        Raises:
            RuntimeError: It was closed.
        """
        if self._closed:
            raise RuntimeError(
                "this response was closed when another request was sent: read it before calling "
                "call_next again, or return the later response"
            )
        return self._raw

    def close(self) -> None:
        """Close the connection, unless the response was read to its end."""
        if self._raw.open:
            self._closed = True
            self._raw.abort()


CallNext: TypeAlias = Callable[[HTTPRequest], Awaitable[HTTPResponse]]
"""Sends a request to the next middleware, or to the network."""


Middleware: TypeAlias = Callable[[HTTPRequest, CallNext], Awaitable[HTTPResponse]]
"""An ``async def``, or an object whose ``__call__`` is one; awaited once per attempt.

It passes the request to *call_next*, as it is or changed, and returns the response; or it returns
an `HTTPResponse` of its own.

It may call *call_next* more than once. A later call closes the earlier response, unless its body
was read, because that would occupy one of the slots of *max_concurrency*. Concurrent requests take
a slot each."""


def check_middleware(middleware: Iterable[Middleware]) -> tuple[Middleware, ...]:
    """Return *middleware* as a tuple.

    Raises:
        TypeError: A middleware cannot be called, or is a Python function without ``async``.
    """
    checked = tuple(middleware)
    for one in checked:
        if not callable(one) or _is_plain(one):
            raise TypeError(f"a middleware must be `async def (request, call_next)`, not {one!r}")
    return checked


def _is_plain(one: object) -> bool:
    """Return True if *one*, or its ``__call__``, is a Python function without ``async``.

    Other callables cannot be inspected; they may return an awaitable.
    """
    if inspect.iscoroutinefunction(one):
        return False
    while isinstance(one, partial):
        one = cast("partial[object]", one).func
    called: object = one if inspect.isroutine(one) else type(one).__call__
    written = inspect.isfunction(called) or inspect.ismethod(called)
    return written and not inspect.iscoroutinefunction(called)


async def send_through(
    middleware: Sequence[Middleware],
    request: HTTPRequest,
    send: Callable[[HTTPRequest], Awaitable[Response]],
    read: Callable[[Response], Awaitable[bytes]],
) -> Response:
    """Send *request* through all *middleware*; the first is the outermost.

    Args:
        middleware: The middleware, at least one.
        request: The request.
        send: Sends a request over the network.
        read: Reads the complete body of a response.

    Raises:
        TypeError: A middleware did not return an `HTTPResponse`.
        RuntimeError: A middleware returned a response that a later request had closed.
    """
    opened: list[_NetworkResponse] = []

    async def last(changed: HTTPRequest) -> HTTPResponse:
        if changed is not request:
            check_headers(changed.headers)
        for earlier in opened:
            if not earlier.read_begun:  # its slot may be the one that this request waits for
                earlier.close()
        opened.append(_NetworkResponse(await send(changed), read))
        return opened[-1]

    def link(number: int) -> CallNext:
        if number == len(middleware):
            return last

        async def call_next(changed: HTTPRequest) -> HTTPResponse:
            response: object = await middleware[number](changed, link(number + 1))
            if not isinstance(response, HTTPResponse):
                raise TypeError(
                    f"a middleware must return an HTTPResponse, not {type(response).__name__}"
                )
            return response

        return call_next

    kept: HTTPResponse | None = None
    try:
        response = await link(0)(request)
        if isinstance(response, _NetworkResponse) and not response.complete:
            kept = response
            return response.unread()
        return BufferedResponse(response.status, response.headers, await response.read())
    finally:
        for arriving in opened:
            if arriving is not kept:
                arriving.close()
