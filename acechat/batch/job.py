"""`BatchJob`: everything that a run is made of, before it starts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec import Struct

from acechat.batch.plan import Plan
from acechat.batch.results import BatchSummary
from acechat.batch.row_stream import RowStream
from acechat.batch.rows import RowReader
from acechat.batch.runner import BatchRunner
from acechat.batch.settings import RunSettings, Send
from acechat.batch.sources import Source
from acechat.batch.storage.files import BatchFiles
from acechat.batch.storage.journal import DONE, FAILED, SENT, RowStates
from acechat.batch.storage.saver import FileSaver, Fsync, NoSaver, Saver, stopped
from acechat.errors import ConfigurationError

__all__ = ["BatchJob"]


class BatchJob(Struct, frozen=True, kw_only=True):
    """The input, the output and the settings of a run."""

    source: Source
    reader: Callable[[], RowReader]
    send: Send
    settings: RunSettings
    options: dict[str, Any]
    """All options that change the requests, as JSON."""

    output: Path | None = None
    """None to keep the results nowhere."""

    fsync: Fsync = "group"
    retry_failed: bool = False
    keep_unknown: bool = False
    """Whether rows that were sent without a known result stay unknown, and do not run."""

    sent_before: frozenset[int] = frozenset()
    """Rows that an earlier start sent with another journal, without a known result."""

    async def start(self, summary: BatchSummary) -> BatchRunner:
        """Open the files, compare them with the settings, and start.

        Raises:
            JournalError: The files do not match the options, or another process uses them.
            BatchStoppedError: The disk is full.
            ConfigurationError: A file cannot be opened.
            OSError: A file cannot be rewritten without failed rows.
        """
        saver: Saver
        if self.output is None:
            states, saver = RowStates(), NoSaver()
            plan = self._plan(states)
        else:
            files, plan = await asyncio.to_thread(self._open, self.output)
            states, saver = files.states, FileSaver(files, self.fsync)
        summary.done = states.count(DONE)
        summary.failed = states.count(FAILED)
        summary.unknown = states.count(SENT)
        rows = RowStream(self.source, plan, self.reader, summary)

        def sent_before(row: int) -> bool:
            return row in self.sent_before or plan.sent_before(row)

        return BatchRunner(rows.chunks(), self.send, saver, self.settings, sent_before, summary)

    def _plan(self, states: RowStates) -> Plan:
        return Plan(states, unknown=self.settings.unknown, keep=self.keep_unknown)

    def _open(self, output: Path) -> tuple[BatchFiles, Plan]:
        files = self._open_files(output)
        try:
            _check(files)
            plan = self._plan(files.states)
            if self.retry_failed and files.states.count(FAILED):
                files.drop_failed(keep_billed=self.settings.unknown == "skip")
        except BaseException:
            files.close()
            raise
        return files, plan

    def _open_files(self, output: Path) -> BatchFiles:
        try:
            return BatchFiles(output, self.options)
        except OSError as error:
            problem = f"cannot write {error.filename or output}: {error.strerror}"
        raise ConfigurationError(problem)


def _check(files: BatchFiles) -> None:
    if problem := files.check():
        raise stopped(problem)
