"""`SSERelay`: an answer as server-sent events, for callers that wait."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Self

from acechat._async.sse_relay import AsyncSSERelay
from acechat._sync.loop_thread import LoopThread
from acechat.errors import ClientClosedError

__all__ = ["SSERelay"]


class SSERelay:
    """An answer as the bytes of server-sent events: the blocking `AsyncSSERelay`.

    `ChatStream.sse` makes one when the first content is there. Servers in threads, such as those
    of Flask and Django, call `close` when the page is left.

    Example:
        >>> relay = client.stream("Hello").sse()
        >>> return Response(relay, headers=relay.headers)
    """

    def __init__(self, loop: LoopThread, relay: AsyncSSERelay) -> None:
        self._loop = loop
        self._relay = relay
        self._turn = asyncio.Lock()  # of one thread at a time
        self._closed = False

    @property
    def headers(self) -> Mapping[str, str]:
        """What the response to the page needs: the content type, and that nobody keeps it back."""
        return self._relay.headers

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        told = self.receive()
        if not told:
            raise StopIteration
        return told

    def receive(self) -> bytes:
        """Wait for the next network read that says something; return its events.

        No bytes are the end. Raises what `AsyncSSERelay.receive` does.
        """
        try:
            return self._loop.run(self._receive)
        except ClientClosedError:
            if self._closed and not self._loop.closed:
                return b""  # close() was called in another thread
            raise

    async def _receive(self) -> bytes:
        async with self._turn:
            return await self._relay.receive()

    def close(self) -> None:
        """Close the connection; what was not read is lost."""
        self._closed = True
        with suppress(ClientClosedError):  # the client was closed before, and this with it
            self._loop.run(self._relay.aclose)
