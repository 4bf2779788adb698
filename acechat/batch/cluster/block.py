"""Blocks of rows, each with a segment of its own, sent by one worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from msgspec.structs import replace

from acechat.batch.cluster.segments import PATIENCE, as_ids, segment_options, segment_path
from acechat.batch.cluster.shared_limit import Stop
from acechat.batch.cluster.shared_pacer import SharedPacer
from acechat.batch.job import BatchJob
from acechat.batch.plan import check_unknown
from acechat.batch.results import BatchSummary
from acechat.batch.rows import RawRow
from acechat.batch.runner import BatchRunner
from acechat.batch.sources import ItemSource, encode_fields
from acechat.batch.status import COLUMNS, output_rows
from acechat.batch.storage.locking import LockedError
from acechat.errors import BatchStoppedError

__all__ = ["BlockSender"]

_T = TypeVar("_T")

_UNKNOWN = {
    "error_code": "unknown",
    "error_message": "sent by a worker that was lost, result unknown",
}


class BlockSender:
    """Sends blocks of rows, any number of them at the same time.

    Args:
        job: The settings of the run.
        folder: The folder of the run, which all machines see.

    Attributes:
        pacer: The limits of all blocks; set before the first one is sent.
    """

    pacer: SharedPacer

    def __init__(self, job: BatchJob, folder: Path) -> None:
        self._job = job
        self._folder = folder
        self._running: set[BatchRunner] = set()

    async def send(
        self, rows: list[dict[str, Any]], ids: Iterable[object], sent: Collection[int]
    ) -> list[dict[str, Any]]:
        """Send a block, and return the columns of the result of each row.

        The rows that an earlier attempt at this block has finished are not sent again.

        Args:
            rows: The fields of each row.
            ids: The id of each row.
            sent: Rows that an earlier start sent, without a known result.

        Raises:
            BatchStoppedError: The run stops, on all machines; their results are saved.
            ConfigurationError: A row has no id.
            JournalError: The segment does not match the block.
        """
        if (stop := self.pacer.stop_reason) is not None:
            raise BatchStoppedError(stop.reason, stop.next_step)
        unknown = self._job.settings.unknown
        check_unknown(len(sent), unknown)
        names = as_ids(ids)
        path = segment_path(self._folder, names)
        await asyncio.to_thread(partial(path.parent.mkdir, parents=True, exist_ok=True))
        job = replace(
            self._job,
            source=_BlockSource(rows),
            output=path,
            options=segment_options(self._job.options, names),
            settings=replace(self._job.settings, pacer=self.pacer),
            keep_unknown=unknown == "fail",
            sent_before=frozenset(sent),
            retry_failed=False,
        )
        try:
            await self._run(job)
        except BatchStoppedError as error:
            await self.pacer.stop(Stop(error.reason, error.next_step))
            raise
        except Exception as error:
            await self.pacer.stop(Stop(str(error)))  # the engine would kill the other workers
            raise
        results = await asyncio.to_thread(lambda: dict(output_rows(path)))
        return [results.get(row) or self._unknown(names[row]) for row in range(len(rows))]

    def drain(self, stop: Stop) -> None:
        """Start no more requests."""
        for runner in self._running:
            runner.drain(stop.reason)

    async def _run(self, job: BatchJob) -> None:
        runner = await _start(job)
        self._running.add(runner)
        try:
            if (stop := self.pacer.stop_reason) is not None:
                runner.drain(stop.reason)
            while await runner.receive():
                pass
        finally:
            self._running.discard(runner)
            await runner.aclose()

    @staticmethod
    def _unknown(name: str) -> dict[str, Any]:
        return {**dict.fromkeys(COLUMNS), "custom_id": name, **_UNKNOWN}


async def _start(job: BatchJob) -> BatchRunner:
    """Start a block, when no worker that was killed holds the lock of its segment any more."""
    end = asyncio.get_running_loop().time() + PATIENCE
    while True:
        try:
            return await job.start(BatchSummary())
        except LockedError:
            if asyncio.get_running_loop().time() > end:
                raise
        await asyncio.sleep(0.1)


class _BlockSource(ItemSource):
    """The rows of a block, read all at once."""

    replayable = True

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        super().__init__(rows)
        self._rows = rows

    async def chunks(self, convert: Callable[[RawRow], _T]) -> AsyncGenerator[list[_T]]:
        """Yield the rows."""

        def read() -> list[_T]:
            return [convert(_raw(number, fields)) for number, fields in enumerate(self._rows)]

        if self._rows:
            yield await asyncio.to_thread(read)


def _raw(number: int, fields: Mapping[str, Any]) -> RawRow:
    return RawRow(number, number + 1, *encode_fields(dict(fields)))
