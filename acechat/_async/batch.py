"""`AsyncBatch`: a bulk run."""

from __future__ import annotations

import asyncio
import warnings
from collections import deque
from contextlib import suppress
from types import TracebackType
from typing import Self

from acechat.batch.job import BatchJob
from acechat.batch.results import BatchProgress, BatchResult, BatchSummary
from acechat.batch.runner import BatchRunner

__all__ = ["AsyncBatch"]


class AsyncBatch:
    """A bulk run: many rows, and their results as they arrive.

    `AsyncClient.batch` and `AsyncClient.map` create one. Nothing is sent before the first read or
    ``async with``. The block waits for the running requests, however it ends; if its body did not
    read any result, for the complete run.

    Attributes:
        summary: Figures of the run.

    Example:
        >>> async with client.batch("prompts.jsonl", output="results.jsonl") as batch:
        ...     async for result in batch:
        ...         print(result.custom_id, result.text)
        >>> batch.summary.done
    """

    # The requests run in tasks that do not refer to this object, so the garbage collector finds one
    # that was dropped.

    def __init__(self, job: BatchJob) -> None:
        self.summary: BatchSummary = BatchSummary()
        self._job = job
        self._runner: BatchRunner | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._starting = asyncio.Lock()
        self._ready: deque[BatchResult] = deque()
        self._read = self._ended = self._drained = False

    async def __aenter__(self) -> Self:
        await self._start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None or self._read:
            await self.aclose()
        else:
            await self.collect()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> BatchResult:
        if not self._ready:
            self._ready.extend(await self.receive())
            if not self._ready:
                raise StopAsyncIteration
        return self._ready.popleft()

    async def receive(self) -> list[BatchResult]:
        """Wait for the next results and return all that are ready. An empty list marks the end.

        Raises:
            BatchStoppedError: The run stopped before its end; the same call continues it.
            JournalError: The journal, the output, the input and the options do not match.
        """
        if self._ready:
            ready = list(self._ready)
            self._ready.clear()
            return ready
        if self._ended:
            return []
        runner = await self._start()
        self._read = True
        try:
            results = await runner.receive()
        except Exception:
            self._ended = True
            raise
        self._ended = not results
        return results

    async def collect(self) -> BatchSummary:
        """Read to the end and return the summary. Raises the exceptions of `receive`."""
        while await self.receive():
            pass
        return self.summary

    def drain(self) -> None:
        """Send nothing more. `receive` returns the results of the running requests, then raises."""
        self._read = self._drained = True
        if self._runner is not None:
            self._runner.drain()

    def cancel(self) -> None:
        """Cancel the running requests; their results are unknown. `receive` then raises."""
        self._read = self._drained = True
        if self._runner is not None:
            self._runner.cancel()

    async def aclose(self) -> None:
        """Send nothing more, and wait until the results of the running requests are saved.

        If it is cancelled, the requests are, and their results are unknown.
        """
        self._ended = self._drained = True
        if self._runner is not None:
            try:
                await self._runner.finish()
            except asyncio.CancelledError:
                await self._runner.aclose()
                raise

    @property
    def job(self) -> BatchJob:
        """The input, the output and the settings, for engines that run them elsewhere."""
        return self._job

    @property
    def progress(self) -> BatchProgress:
        """The state of the run at this moment."""
        if self._runner is None:
            return BatchProgress(
                summary=self.summary, running=0, waiting=0, concurrency=0, rate=None
            )
        return self._runner.progress()

    async def _start(self) -> BatchRunner:
        async with self._starting:
            if self._runner is None:
                self._loop = asyncio.get_running_loop()
                self._runner = await self._job.start(self.summary)
                if self._drained:  # while the files were read
                    self._runner.drain()
            return self._runner

    def __del__(self) -> None:
        runner = getattr(self, "_runner", None)
        if runner is not None and not runner.ended and self._loop is not None:
            warnings.warn(f"unclosed {type(self).__name__}", ResourceWarning, stacklevel=1)
            with suppress(RuntimeError):  # the loop is closed, and its tasks with it
                self._loop.call_soon_threadsafe(runner.cancel)
