"""`RunStream`: the events of a run of tools, blocking."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import Self

from acechat._async.run_stream import AsyncRunStream
from acechat._sync.loop_thread import LoopThread
from acechat.errors import ClientClosedError
from acechat.types import RunEvent, RunResult, TextDelta, Turn, TurnFinished

__all__ = ["RunStream"]


class RunStream:
    """The events of a run, while it takes place: the blocking `AsyncRunStream`.

    `Client.run_stream` creates one. Nothing is sent before the first read.

    Example:
        >>> with client.run_stream("Umbrella in Paris?", tools=[weather]) as stream:
        ...     for event in stream:
        ...         print(event)
        >>> stream.result.usage.total_tokens
    """

    def __init__(self, loop: LoopThread, stream: AsyncRunStream) -> None:
        self._loop = loop
        self._stream = stream
        self._ready: deque[RunEvent] = deque()
        self._lock = asyncio.Lock()  # one thread reads at a time
        self._reading: asyncio.Task[object] | None = None
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> RunEvent:
        ready = self._ready
        while True:
            try:
                return ready.popleft()
            except IndexError:
                pass
            ready.extend(self.receive())
            if not ready:
                raise StopIteration

    def receive(self) -> list[RunEvent]:
        """Wait for the next events and return all that are ready. An empty list marks the end.

        Raises the exceptions of `AsyncRunStream.receive`.
        """
        ready: list[RunEvent] = []
        with suppress(IndexError):
            while True:
                ready.append(self._ready.popleft())
        try:
            return ready or self._loop.run(self._receive)
        except ClientClosedError:
            if self._loop.closed or not self._closed:
                raise
        return self._loop.run(self._stream.receive)  # raises the failure of a close()

    async def _receive(self) -> list[RunEvent]:
        async with self._lock:
            self._reading = asyncio.current_task()
            try:
                return await self._stream.receive()
            finally:
                self._reading = None

    def close(self) -> None:
        """Close the response that is being read, and cancel the tools that are running."""
        self._closed = True
        with suppress(ClientClosedError):  # the client was closed, and so was this
            self._loop.run(self._close)

    async def _close(self) -> None:
        await self._stream.aclose()
        await asyncio.sleep(0)  # lets a read of the closed response fail by itself
        if self._reading is not None:
            self._reading.cancel()

    def collect(self) -> RunResult:
        """Read to the end and return the result. Raises the exceptions of `receive`."""
        while self.receive():
            pass
        return self.result

    def text(self) -> Iterator[str]:
        """Iterate over the text of the first choice, in all turns."""
        for event in self:
            if isinstance(event, TextDelta) and not event.index:
                yield event.text

    def turns(self) -> Iterator[Turn]:
        """Iterate over the turns as they end."""
        for event in self:
            if isinstance(event, TurnFinished):
                yield event.turn

    @property
    def result(self) -> RunResult:
        """All turns and messages of the run. Raises the exceptions of `AsyncRunStream.result`."""
        return self._stream.result
