"""`SSERelay`: a stream as server-sent events, blocking."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Self

from acechat._async.sse_relay import AsyncSSERelay
from acechat._hints import warn_of_missing_headers
from acechat._sync.loop_thread import LoopThread
from acechat.errors import ClientClosedError

__all__ = ["SSERelay"]


class SSERelay:
    """A stream as the bytes of server-sent events: the blocking `AsyncSSERelay`.

    `ChatStream.sse` returns one when the first content has arrived. Threaded servers, such as those
    of Flask and Django, call `close` when the browser disconnects.

    Example:
        >>> relay = client.stream("Hello").sse()
        >>> return Response(relay, headers=relay.headers)
    """

    def __init__(self, loop: LoopThread, relay: AsyncSSERelay) -> None:
        self._loop = loop
        self._relay = relay
        self._lock = asyncio.Lock()  # one thread reads at a time
        self._closed = False

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of the HTTP response: content type, and no caching or buffering."""
        return self._relay.headers

    def __iter__(self) -> Self:
        warn_of_missing_headers()
        return self

    def __next__(self) -> bytes:
        data = self.receive()
        if not data:
            raise StopIteration
        return data

    def receive(self) -> bytes:
        """Wait for the next events and return their bytes. Empty bytes mark the end.

        Raises the exceptions of `AsyncSSERelay.receive`.
        """
        try:
            return self._loop.run(self._receive)
        except ClientClosedError:
            if self._closed and not self._loop.closed:
                return b""  # close() was called in another thread
            raise

    async def _receive(self) -> bytes:
        async with self._lock:
            return await self._relay.receive()

    def close(self) -> None:
        """Close the connection to the service. Unread events are lost."""
        self._closed = True
        with suppress(ClientClosedError):  # the client was closed, and so was this
            self._loop.run(self._relay.aclose)
