"""The floor below the floor: the kernel and the event loop deliver bytes; no decoding."""

from __future__ import annotations

import asyncio

from benchmarks.floors import Floor, read_at_once
from benchmarks.subjects import First, Read


class _Receiver(asyncio.Protocol):
    def begin(self, first: First) -> asyncio.Future[None]:
        self._first: First | None = first
        self._last = b""
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        return self._ended

    def data_received(self, data: bytes) -> None:
        if self._first is not None:
            self._first()
            self._first = None
        self._last = (self._last + data[-5:])[-5:]
        if self._last == b"0\r\n\r\n":
            self._ended.set_result(None)


class Async:
    def __init__(self, root: str) -> None:
        self._floor = Floor(root)

    async def stream(self, first: First) -> Read:
        transport, receiver = await asyncio.get_running_loop().create_connection(
            _Receiver, *self._floor.address
        )
        read_at_once(transport)
        ended = receiver.begin(first)
        transport.write(self._floor.request())
        await ended
        transport.close()
        return 0, 0

    async def close(self) -> None:
        """Each stream has closed its own connection."""
