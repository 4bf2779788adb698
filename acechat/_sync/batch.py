"""`Batch`: a bulk run, blocking."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import Self, TypeVar

from acechat._async.batch import AsyncBatch
from acechat._sync.loop_thread import LoopThread
from acechat.batch.job import BatchJob
from acechat.batch.results import BatchProgress, BatchResult, BatchSummary
from acechat.errors import ClientClosedError

__all__ = ["Batch"]

_T = TypeVar("_T")


class Batch:
    """A bulk run: many rows, and their results as they arrive; the blocking `AsyncBatch`.

    `Client.batch` and `Client.map` create one. Nothing is sent before the first read or ``with``.
    The block waits for the running requests, however it ends; if its body did not read any result,
    for the complete run.

    Attributes:
        summary: Figures of the run.

    Example:
        >>> with client.batch("prompts.jsonl", output="results.jsonl") as batch:
        ...     for result in batch:
        ...         print(result.custom_id, result.text)
        >>> batch.summary.done
    """

    def __init__(self, loop: LoopThread, job: BatchJob) -> None:
        self._loop = loop
        self._job = job
        self._batch = AsyncBatch(job)
        self.summary: BatchSummary = self._batch.summary
        self._ready: deque[BatchResult] = deque()
        self._read = False

    def __enter__(self) -> Self:
        self._run(self._batch.__aenter__)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None or self._read:
            self.close()
        else:
            self.collect()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> BatchResult:
        ready = self._ready
        while True:
            try:
                return ready.popleft()
            except IndexError:
                pass
            ready.extend(self.receive())
            if not ready:
                raise StopIteration

    def receive(self) -> list[BatchResult]:
        """Wait for the next results and return all that are ready. An empty list marks the end.

        Raises the exceptions of `AsyncBatch.receive`.
        """
        ready: list[BatchResult] = []
        with suppress(IndexError):
            while True:
                ready.append(self._ready.popleft())
        self._read = True
        return ready or self._run(self._batch.receive)

    def collect(self) -> BatchSummary:
        """Read to the end and return the summary. Raises the exceptions of `receive`."""
        while self.receive():
            pass
        return self.summary

    def drain(self) -> None:
        """Send nothing more. `receive` returns the results of the running requests, then raises."""

        async def drain() -> None:
            self._batch.drain()

        self._read = True
        self._run(drain)

    def cancel(self) -> None:
        """Cancel the running requests; their results are unknown. `receive` then raises."""

        async def cancel() -> None:
            self._batch.cancel()

        self._read = True
        self._run(cancel)

    def close(self) -> None:
        """Send nothing more, and wait until the results of the running requests are saved.

        If Ctrl-C interrupts it, the requests are cancelled, and their results are unknown.
        """
        with suppress(ClientClosedError):  # the client was closed, and its tasks with it
            self._run(self._batch.aclose)

    @property
    def job(self) -> BatchJob:
        """The input, the output and the settings, for engines that run them elsewhere."""
        return self._job

    @property
    def progress(self) -> BatchProgress:
        """The state of the run at this moment."""

        async def progress() -> BatchProgress:
            return self._batch.progress

        return self._run(progress)

    def _run(self, function: Callable[[], Awaitable[_T]]) -> _T:
        return self._loop.run(function)
