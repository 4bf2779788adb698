"""What stands between a call and the network: functions that see each attempt."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TypeAlias, cast

from acechat._config import check_headers
from acechat._core.response import Response
from acechat._wire.request import HTTPRequest
from acechat.errors import AceChatError

__all__ = ["CallNext", "HTTPResponse", "Kept", "Middleware", "check_middleware", "through"]


class Kept:
    """A response that is all there."""

    first_token_at: float | None = None
    waiter: asyncio.Future[None] | None = None

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
        """Return at once; nobody waits for this."""

    def limit(self, phase: str, at: float | None) -> None:
        """Do nothing."""

    def finish(self) -> None:
        self.open = False

    def abort(self, failure: AceChatError | None = None) -> None:  # noqa: ARG002 - nothing to tell
        self.open = False

    def drop(self) -> None:
        self.open = False


class HTTPResponse:
    """An answer as a middleware sees it, or makes it.

    A whole answer as JSON and a stream of events answer `AsyncClient.chat` and
    `AsyncClient.stream` alike.

    Args:
        body: All of it.
        status: HTTP status.
        headers: Without a ``Content-Type`` a body that begins with ``{`` is JSON, another a stream.

    Attributes:
        status: HTTP status.
        headers: Names in lower case.
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
        """Wait for the whole body and return it; the answer can still be handed on.

        A stream that was read here reaches the caller in one piece, at its end.

        Raises:
            TransportError: It was cut, or a limit of `Timeout` passed.
            RuntimeError: It was given up; see `Middleware`.
        """
        return self._body

    def __repr__(self) -> str:
        return f"HTTPResponse({self.status}, {self.headers})"


class _Arriving(HTTPResponse):
    """An answer that comes over the network."""

    def __init__(self, raw: Response, read: Callable[[Response], Awaitable[bytes]]) -> None:
        super().__init__(b"", status=raw.status)
        self.headers = raw.headers
        self.whole: bool = False
        self.touched: bool = False
        """Whether somebody has begun to read it."""

        self._raw = raw
        self._read = read
        self._given_up = False

    async def read(self) -> bytes:
        if not self.whole:
            raw, self.touched = self.unread(), True
            self._body = await self._read(raw)
            self.whole = True
        return self._body

    def unread(self) -> Response:
        """Return what is to be read.

        Raises:
            RuntimeError: It was given up.
        """
        if self._given_up:
            raise RuntimeError(
                "the answer was given up: read it before you send again, or return another"
            )
        return self._raw

    def give_up(self) -> None:
        """Close the connection of an answer that was not read to its end."""
        if self._raw.open:
            self._given_up = True
            self._raw.abort()


CallNext: TypeAlias = Callable[[HTTPRequest], Awaitable[HTTPResponse]]
"""Hands a request on: to the next middleware, or to the network."""


Middleware: TypeAlias = Callable[[HTTPRequest, CallNext], Awaitable[HTTPResponse]]
"""Is awaited once per attempt. It hands the request on, as it is or changed, and returns the
answer; or it answers itself.

It is an ``async def``, or an object whose ``__call__`` is one.

It may hand on more than once. That gives up the answer before, unless its body was read: it would
keep one of the turns that *max_concurrency* allows. What is sent side by side takes a turn each."""


def check_middleware(middleware: Iterable[Middleware]) -> tuple[Middleware, ...]:
    """Return *middleware* as a tuple.

    Raises:
        TypeError: One of them cannot be called, or is written in Python without ``async``.
    """
    checked = tuple(middleware)
    for one in checked:
        if not callable(one) or _is_plain(one):
            raise TypeError(f"a middleware must be `async def (request, call_next)`, not {one!r}")
    return checked


def _is_plain(one: object) -> bool:
    """Whether *one*, or its ``__call__``, is a function of Python without ``async``.

    What else can be called nobody can look into; it may return what can be awaited.
    """
    if inspect.iscoroutinefunction(one):
        return False
    while isinstance(one, partial):
        one = cast("partial[object]", one).func
    called: object = one if inspect.isroutine(one) else type(one).__call__
    written = inspect.isfunction(called) or inspect.ismethod(called)
    return written and not inspect.iscoroutinefunction(called)


async def through(
    middleware: Sequence[Middleware],
    request: HTTPRequest,
    send: Callable[[HTTPRequest], Awaitable[Response]],
    read: Callable[[Response], Awaitable[bytes]],
) -> Response:
    """Send *request* through all *middleware*; the first is the outermost.

    Args:
        middleware: Who sees it.
        request: What is to be sent.
        send: Sends it.
        read: Reads the whole body of a response.

    Raises:
        TypeError: A middleware returned something else than an answer.
        RuntimeError: It returned one that it had given up.
    """
    opened: list[_Arriving] = []

    async def last(changed: HTTPRequest) -> HTTPResponse:
        if changed is not request:
            check_headers(changed.headers)
        for earlier in opened:
            if not earlier.touched:  # it has a turn, for which this one may have to wait
                earlier.give_up()
        opened.append(_Arriving(await send(changed), read))
        return opened[-1]

    def link(number: int) -> CallNext:
        if number == len(middleware):
            return last

        async def call_next(changed: HTTPRequest) -> HTTPResponse:
            answer: object = await middleware[number](changed, link(number + 1))
            if not isinstance(answer, HTTPResponse):
                raise TypeError(
                    f"a middleware must return an HTTPResponse, not {type(answer).__name__}"
                )
            return answer

        return call_next

    kept: HTTPResponse | None = None
    try:
        answer = await link(0)(request)
        if isinstance(answer, _Arriving) and not answer.whole:
            kept = answer
            return answer.unread()
        return Kept(answer.status, answer.headers, await answer.read())
    finally:
        for arriving in opened:
            if arriving is not kept:
                arriving.give_up()
