"""`BatchRunner`: sends the rows, as many at a time as the service bears, and saves the results."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Callable
from math import inf
from typing import Any

from acechat._credentials import strip_traceback
from acechat.batch.delivery import Delivery
from acechat.batch.outage import RowHistory
from acechat.batch.report.events import EventLog
from acechat.batch.results import BatchProgress, BatchResult, BatchSummary
from acechat.batch.retries import Entry, Retries
from acechat.batch.row_stream import RowQueue
from acechat.batch.rows import Row
from acechat.batch.settings import RunSettings, Send
from acechat.batch.storage.saver import Saver
from acechat.batch.verdict import Models, incomplete, judge
from acechat.errors import (
    AceChatError,
    BatchStoppedError,
    BudgetExceededError,
    OutputError,
)
from acechat.types import ChatCompletion

__all__ = ["BatchRunner"]

_MOST_WAITING = 1000
"""Rows that may wait for another attempt before no new ones are started: memory is bounded."""


class BatchRunner:
    """Sends rows, and returns their results.

    Args:
        rows: The rows, many at a time.
        send: Sends the request of a row once.
        saver: Keeps the results.
        settings: The settings.
        sent_before: Returns True for a row that an earlier start sent, without a known result.
        summary: The summary to update.
    """

    # One task, `_dispatch`, decides which row starts next; each request has a task of its own,
    # which handles its end. All of them run in one event loop.
    #
    # Only this layer retries: `send` makes one attempt, so that the limiter and the detector of
    # outages see a refusal before anything else is sent.

    def __init__(
        self,
        rows: AsyncGenerator[list[Row]],
        send: Send,
        saver: Saver,
        settings: RunSettings,
        sent_before: Callable[[int], bool],
        summary: BatchSummary,
    ) -> None:
        self.summary = summary
        self._send, self._saver = send, saver
        self._settings, self._sent_before = settings, sent_before
        self._pacer = settings.start_pacer()
        self._events = EventLog(saver.event)
        self._wake = asyncio.Event()
        self._rows = RowQueue(rows, self._wake.set)
        self._pacer.watch(self._rows)
        self._skip = settings.unknown == "skip"
        self._retries = Retries(settings.retries, self._pacer.outage, pay_once=self._skip)
        self._delivery = Delivery(in_order=settings.in_order)
        self._held: Entry | None = None  # the next row, until it may start
        self._starting: list[Entry] = []  # their records are not written yet
        self._tasks: set[asyncio.Task[None]] = set()
        self._models = Models(sets_aside=saver.continues)
        self._draining = False
        self._failure: Exception | None = None
        self._started = time.monotonic()
        self._epoch = time.time() - self._started  # a clock that is set changes no duration
        self._main = asyncio.create_task(self._run())

    async def receive(self) -> list[BatchResult]:
        """Wait for results and return all that are ready; an empty list at the end.

        Raises:
            BatchStoppedError: The run stopped before its end; all results have been returned.
            JournalError: The input does not match the journal.
        """
        results = await self._delivery.take()
        self._wake.set()
        if not results and self._failure is not None:
            raise self._failure
        return results

    def drain(self, reason: str = "the run was interrupted") -> None:
        """Send nothing more. The run ends when the running requests have."""
        self._stop(BatchStoppedError(reason))

    @property
    def ended(self) -> bool:
        """Whether nothing runs any more."""
        return self._main.done()

    async def finish(self) -> None:
        """Send nothing more, and wait until the results of the running requests are saved."""
        self.drain()
        await asyncio.wait([self._main])

    def cancel(self) -> None:
        """Cancel all requests; the results of those that are running are unknown."""
        self.drain()
        for task in self._tasks:
            task.cancel()

    async def aclose(self) -> None:
        """Cancel all requests, and wait for their end."""
        self.cancel()
        await asyncio.wait([self._main])

    def progress(self) -> BatchProgress:
        """Return the present state."""
        now = time.monotonic()
        if not self._main.done():
            self.summary.seconds = now - self._started
        return self._pacer.progress(now, self.summary, len(self._retries))

    async def _run(self) -> None:
        try:
            await self._dispatch()
        except BaseException as error:  # noqa: BLE001 - also of the caller's iterable; raised by receive()
            if not isinstance(error, Exception):  # CancelledError: no normal end, either
                error = BatchStoppedError(f"the run was ended by {type(error).__name__}")
            self._stop(error)
        finally:
            self._draining = True
            self._launch()
            failed = await self._rows.aclose()
            while self._tasks:
                await asyncio.wait(self._tasks)
            self._failure = await self._saver.finish() or failed or self._failure
            self.summary.seconds = time.monotonic() - self._started
            self._delivery.end()

    async def _dispatch(self) -> None:
        """Start rows until none is left, or the run is stopped."""
        while not self._draining:
            if self._saver.problem is not None:
                self._stop(self._saver.problem)
                return
            now = time.monotonic()
            self._held = self._held or self._retries.pop(now) or self._next_row()
            if self._held is None:
                if self._rows.ended and not (self._retries or self._tasks or self._starting):
                    if problem := self._models.problem():
                        self._stop(problem)
                    return
                await self._sleep(self._retries.wait(now))
            elif wait := self._wait_before(self._held, now):
                await self._sleep(wait)
            else:
                entry, self._held = self._held, None
                self._start(entry)

    def _next_row(self) -> Entry | None:
        row = self._rows.peek() if len(self._retries) < _MOST_WAITING else None
        if row is None or not self._delivery.has_room(row.number, self._pacer.running):
            return None  # one without room stays: those that are due for another attempt go first
        self._rows.take()
        sent = self._sent_before(row.number)
        return Entry(row, RowHistory(), billed=sent, recorded=sent)

    def _wait_before(self, entry: Entry, now: float) -> float:
        """Return the seconds until *entry* may start; inf for "until something changes"."""
        if not self._delivery.has_room(entry.row.number, self._pacer.running):
            return inf
        unsent = self._models.gone(entry.row.model) or entry.fault(skip=self._skip)
        return 0.0 if unsent else self._pacer.wait(now)

    async def _sleep(self, seconds: float) -> None:
        """Send the rows that have started, and wait until something changes."""
        self._wake.clear()
        self._launch()
        timer = None
        if seconds != inf:
            timer = asyncio.get_running_loop().call_later(seconds, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            if timer is not None:
                timer.cancel()

    def _start(self, entry: Entry) -> None:
        row, now = entry.row, time.monotonic()
        if (error := entry.fault(skip=self._skip)) is not None:
            self._delivery.put(self._save(entry, None, error))
            return
        if self._models.gone(row.model):
            self._models.aside += 1
            return
        if self._settings.budget is not None:
            try:
                self._settings.budget.check(self.summary.usage)
            except BudgetExceededError as caught:
                self._stop(BatchStoppedError(str(caught), "raise the budget"), caught)
                return
        if not entry.recorded:
            self._saver.sent(row)
            entry.recorded = True
            self.summary.unknown += 1
        entry.requests += 1
        self.summary.requests += 1
        self._models.started(row.model)
        self._pacer.start(now)
        self._starting.append(entry)

    def _launch(self) -> None:
        """Send the rows that have started, after their records are written, in one write."""
        starting, self._starting = self._starting, []
        if self._saver.flush():
            for entry in starting:
                task = asyncio.create_task(self._attempt(entry))
                self._tasks.add(task)
                task.add_done_callback(self._end)
        else:  # the disk is full, or the like: the run stops
            for entry in starting:
                self._release(entry)
            self._wake.set()

    def _end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._pacer.end(time.monotonic())
        self._wake.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            # of a middleware, or of this package: the row is unknown, and receive() raises it
            self._stop(error if isinstance(error, Exception) else RuntimeError(repr(error)))

    async def _attempt(self, entry: Entry) -> None:
        """Make one attempt for a row."""
        if self._saver.waits:
            await self._saver.secured()
        entry.started = time.monotonic()
        completion: ChatCompletion[Any] | None
        error: AceChatError | None
        try:
            completion = await self._send(entry.row)
        except OutputError as caught:
            error, completion = strip_traceback(caught), caught.completion
            self._succeed(entry, completion)
        except AceChatError as caught:
            error, completion = strip_traceback(caught), caught.partial
            if self._failed(entry, error):
                return
        else:
            self._succeed(entry, completion)
            self._models.worked(entry.row.model)
            error = incomplete(completion, allow_truncated=self._settings.allow_truncated)
        result = self._save(entry, completion, error)
        if self._saver.waits:
            await self._saver.secured()
        self._delivery.put(result)

    def _succeed(self, entry: Entry, completion: ChatCompletion[Any] | None) -> None:
        now = time.monotonic()
        self._pacer.succeed(now, entry.started, completion)
        self._events.seen(entry.row.number, now, down=self._pacer.down)
        if completion is not None:
            entry.count(self.summary, len(completion.response.attempts))
        self.summary.usage = self.summary.usage.plus(completion.usage if completion else None)

    def _failed(self, entry: Entry, error: AceChatError) -> bool:
        """Decide about a row after a failed attempt; return False if its error is final."""
        now, verdict = time.monotonic(), judge(error)
        entry.count(self.summary, max(len(error.attempts) - 1, 0))
        if verdict.billed:
            entry.billed = True
            self.summary.may_be_billed += 1
        self.summary.refused += verdict.cause in {"limit", "overload"}
        row = entry.row
        self._pacer.fail(now, entry.started, row.number, entry.history, error, verdict)
        self._events.failed(verdict.cause, row.number, now, down=self._pacer.down)
        fate = self._models.refused(row.model, verdict, str(error), self._rows.models())
        if fate != "row":
            self._release(entry)
            if fate == "run":
                self._stop(BatchStoppedError(str(error), verdict.next_step), error)
            return True
        others = self._pacer.running - 1 + len(self._rows) + (self._held is not None)
        if not self._retries.again(entry, verdict, others):
            return False
        self._release(entry)
        self._retries.push(entry, now, random.random())  # noqa: S311 - jitter
        return True

    def _release(self, entry: Entry) -> None:
        """Record that the requests of a row cost nothing: killed now, it would be unsent."""
        if entry.recorded and not entry.billed:
            entry.recorded = False
            self.summary.unknown -= 1
            self._saver.released(entry.row)

    def _save(
        self, entry: Entry, completion: ChatCompletion[Any] | None, error: AceChatError | None
    ) -> BatchResult:
        """Save the result of a row, and count it."""
        result = entry.result(completion, error, time.monotonic(), self._epoch)
        self._saver.save(entry.row, result)
        self.summary.add(result)
        self.summary.unknown -= entry.recorded
        return result

    def _stop(self, error: Exception, cause: Exception | None = None) -> None:
        """End the run with *error* when the running requests have ended."""
        if self._failure is None and not self._main.done():
            error.__cause__ = cause or error.__cause__
            self._failure = error
        self._draining = True
        self._wake.set()
