"""Keep the results of a run: in files, synced in groups, or nowhere."""

from __future__ import annotations

import asyncio
import errno
import os
import tempfile
import time
from typing import Literal, Protocol, TypeAlias

from acechat.batch.report.events import STARTED
from acechat.batch.results import BatchResult, encode_line
from acechat.batch.rows import Row
from acechat.batch.storage.files import BatchFiles
from acechat.errors import BatchStoppedError

__all__ = ["FileSaver", "Fsync", "NoSaver", "Saver", "stopped"]

Fsync: TypeAlias = Literal["group", "each", "never"]
"""When the files are written to the disk: every 50 ms or 64 records; before each request leaves and
each result is returned; or as the system decides. A killed process loses nothing in any case, a
computer without power up to the last group."""

_GROUP_SECONDS = 0.05
_GROUP_RECORDS = 64
_CHECK_SECONDS = 1.0
"""Seconds between two checks of the disk."""

_CAUSES = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file has reached its maximum size",
    errno.EROFS: "the disk is read-only",
}


def stopped(problem: str) -> BatchStoppedError:
    """Return the error of a *problem* that `BatchFiles.check` has found."""
    return BatchStoppedError(problem, "make room on the disk" if "full" in problem else "")


class Saver(Protocol):
    """Keeps the results of a run.

    Attributes:
        problem: Why the run must stop; None if it need not.
        waits: Whether `secured` must be awaited before each request and after each result.
        continues: Whether a later start can send the rows that are not sent now.
    """

    problem: BatchStoppedError | None
    waits: bool
    continues: bool

    def sent(self, row: Row) -> None:
        """Record that a request is about to leave."""
        ...

    def flush(self) -> bool:
        """Write the records; return False if that failed, and the requests must not leave."""
        ...

    def released(self, row: Row) -> None:
        """Record that the request of a row was refused without a charge."""
        ...

    def event(self, code: int, row: int, now: float) -> None:
        """Record an event; *now* is a time of the monotonic clock."""
        ...

    def save(self, row: Row, result: BatchResult) -> None:
        """Save a result."""
        ...

    async def secured(self) -> None:
        """Wait until everything recorded so far is on the disk."""
        ...

    async def finish(self) -> BatchStoppedError | None:
        """Make everything safe; return the problem if that fails."""
        ...


class NoSaver:
    """Keeps nothing: `client.map` returns the results to its caller."""

    problem: BatchStoppedError | None = None
    waits = False
    continues = False

    def sent(self, row: Row) -> None:
        """Do nothing."""

    def flush(self) -> bool:
        """Do nothing."""
        return True

    def released(self, row: Row) -> None:
        """Do nothing."""

    def event(self, code: int, row: int, now: float) -> None:
        """Do nothing."""

    def save(self, row: Row, result: BatchResult) -> None:
        """Do nothing."""

    async def secured(self) -> None:
        """Do nothing."""

    async def finish(self) -> BatchStoppedError | None:
        """Do nothing."""
        return None


class FileSaver:
    """Saves results in the output, with its journal.

    Args:
        files: The files.
        fsync: When they are written to the disk.

    Attributes:
        problem: Why the run must stop; None if it need not.
        waits: Whether *fsync* is ``"each"``.
        continues: True.
    """

    continues = True

    def __init__(self, files: BatchFiles, fsync: Fsync) -> None:
        self.problem: BatchStoppedError | None = None
        self._files = files
        self._fsync = fsync
        self.waits: bool = fsync == "each"
        self._written = self._synced = 0
        self._epoch = time.time() - time.monotonic()  # a clock that is set changes no duration
        self._started = False
        self._lock = asyncio.Lock()
        self._ending = False
        self._due = asyncio.Event()
        self._full = asyncio.Event()
        self._unsaved: list[tuple[Row, bytes, bool]] = []
        self._checked_at = time.monotonic()
        self._task = asyncio.create_task(self._keep_synced())

    def sent(self, row: Row) -> None:
        """Record that a request is about to leave."""
        if not self._started:
            self._started = True
            self.event(STARTED, 0, time.monotonic())
        self._files.sent(row.number, row.content)
        self._written += 1

    def flush(self) -> bool:
        """Write the records; return False if that failed, and the requests must not leave."""
        try:
            self._files.flush()
        except OSError as error:
            self._fail(error)
            return False
        self._note()
        return True

    def _note(self) -> None:
        """Plan a sync of the records since the last one."""
        new = self._written - self._synced
        if new:
            self._due.set()
            if new >= _GROUP_RECORDS:
                self._full.set()

    def released(self, row: Row) -> None:
        """Record that the request of a row was refused without a charge."""
        self._files.released(row.number, row.content)
        self._written += 1

    def event(self, code: int, row: int, now: float) -> None:
        """Record an event; *now* is a time of the monotonic clock."""
        self._files.event(code, row, round((self._epoch + now) * 1000))

    def save(self, row: Row, result: BatchResult) -> None:
        """Append the line of a result; one that cannot be written is kept for `finish`."""
        line, failed = encode_line(result), result.error is not None
        try:
            self._files.finished(row.number, row.content, line, failed=failed)
        except OSError as error:
            self._unsaved.append((row, line, failed))
            self._fail(error)
        self._written += 1
        self._note()

    async def secured(self) -> None:
        """Wait until everything recorded so far is on the disk."""
        await self._sync()

    async def _keep_synced(self) -> None:
        while not self._ending:
            await self._due.wait()
            self._due.clear()
            try:
                async with asyncio.timeout(_GROUP_SECONDS):
                    await self._full.wait()
            except TimeoutError:
                pass
            self._full.clear()
            if self._fsync == "group":
                await self._sync()
            if time.monotonic() - self._checked_at >= _CHECK_SECONDS:
                self._checked_at = time.monotonic()
                await self._check()

    async def _sync(self) -> None:
        """Sync all records that are written now; callers that wait share one sync."""
        wanted = self._written
        async with self._lock:
            if self._synced >= wanted:
                return
            reached = self._written
            self.flush()
            try:
                await asyncio.to_thread(self._files.sync)
            except OSError as error:
                self._fail(error)
            self._synced = reached

    async def _check(self) -> None:
        try:
            problem = await asyncio.to_thread(self._files.check)
        except OSError as error:
            self._fail(error)
        else:
            if problem:
                self.problem = self.problem or stopped(problem)

    def _fail(self, error: OSError) -> None:
        if self.problem is None:
            cause = _CAUSES.get(error.errno or 0) or f"cannot write the results: {error.strerror}"
            self.problem = BatchStoppedError(cause, "make room on the disk")
            self.problem.__cause__ = error

    async def finish(self) -> BatchStoppedError | None:
        """Save all results that could not be written so far, sync, and close the files."""
        self._ending = True  # not cancelled: a thread that syncs must not find the files closed
        self._due.set()
        self._full.set()
        await asyncio.wait([self._task])
        async with self._lock:
            await asyncio.to_thread(self._close)
        return self.problem

    def _close(self) -> None:
        unsaved, self._unsaved = self._unsaved, []
        try:
            for row, line, failed in unsaved.copy():
                self._files.finished(row.number, row.content, line, failed=failed)
                unsaved.pop(0)
            self._files.flush()
            if self._fsync != "never":
                self._files.sync()
            self._files.restore()
        except OSError as error:
            self._fail(error)
        try:
            if unsaved:
                self._rescue([line for _, line, _ in unsaved])
        except OSError:
            reason = self.problem.reason if self.problem else "the disk is full"
            self.problem = BatchStoppedError(
                f"{reason}; there was no room for {len(unsaved)} results in the folder for "
                "temporary files, either: their rows are unknown",
                "make room on the disk",
            )
        finally:
            self._files.close()

    def _rescue(self, lines: list[bytes]) -> None:
        """Write results that the output has no room for to the folder for temporary files.

        Appended to the output, they count as done.
        """
        descriptor, path = tempfile.mkstemp(".jsonl", "acechat-batch-")
        with os.fdopen(descriptor, "wb") as file:
            file.writelines(lines)
        if self.problem is not None:
            self.problem = BatchStoppedError(
                f"{self.problem.reason}; {len(lines)} results are in {path}",
                f"make room on the disk, then: cat {path} >> {self._files.path}",
            )
