"""`RayBatch`: ``acechat batch --ray``, a bulk run of Parquet files on a cluster."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stdout, suppress
from math import ceil
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

import msgspec
import ray
import ray.data
from ray.exceptions import RayError

from acechat import BatchProgress, BatchStoppedError, BatchSummary, ConfigurationError
from acechat.batch.cluster.inputs import check_files, load_files, save_files
from acechat.batch.cluster.segments import Segment, read_segments, segments, states_of
from acechat.batch.cluster.shared_limit import Stop
from acechat.batch.plan import check_unknown
from acechat.batch.status import ExportFormat, export
from acechat.batch.storage.lines import open_file
from acechat.batch.storage.locking import lock
from acechat.integrations._ray_input import PieceReader, RayInput
from acechat.integrations.ray import (
    RESULTS,
    ChatMapper,
    Unfinished,
    coordinator,
    id_column,
    limits_of,
)
from acechat.types import Usage

__all__ = ["RayBatch"]

_T = TypeVar("_T")

_LARGEST_BLOCK = 2000
"""Rows of a block: each has two files."""

_BLOCKS = 8
"""Blocks of each worker, at least: the last ones end at about the same time."""

_AT_ONCE = 3
"""Blocks that a worker runs at the same time, so that it is busy while one of them ends."""

_CPUS = 0.25
"""Share of a processor that Ray reserves for a worker, which waits most of the time."""

_CHUNK = 200
"""Segments that a task reads."""

_SILENT = logging.CRITICAL + 1
"""Level of the logger of Ray Data, which logs the traceback of each exception that it raises."""

_RESULTS = ("error_code", "error_message", "trace_id", "prompt_tokens", "completion_tokens")
"""Columns of results that the driver reads."""


class RayBatch:
    """A bulk run of Parquet files on a cluster, with the interface of `AsyncBatch`.

    Args:
        source: A Parquet file, or a folder of them.
        output: The folder of the run, which all machines see.
        address: The cluster, as `ray.init` takes it: ``"auto"``, ``"local"``, or its address.
        workers: Number of worker processes; None for one on each machine.
        client: Arguments of `AsyncClient`.
        options: Arguments of `ChatMapper`.
        retry_failed: Whether failed rows are sent again.
        table: A format to which the results are also converted; None for none.

    Attributes:
        summary: Figures of the run.
    """

    def __init__(
        self,
        source: str,
        output: str,
        *,
        address: str,
        workers: int | None = None,
        client: Mapping[str, Any],
        options: Mapping[str, Any],
        retry_failed: bool = False,
        table: ExportFormat | None = None,
    ) -> None:
        self.summary: BatchSummary = BatchSummary()
        self._source = Path(source).absolute()
        self._folder = Path(output).absolute()
        self._address = address
        self._workers = workers
        self._arguments = {"source": self._source, "client": dict(client), **options}
        self._unknown = options.get("unknown", "fail")
        self._retry_failed = retry_failed
        self._table = table
        self._limits = limits_of(options)
        self._connected = self._interrupted = False
        self._state: tuple[int, int, float | None] = 0, 0, None
        fixed = options.get("concurrency", "auto")
        self._most = options.get("max_concurrency", 256) if fixed == "auto" else fixed

    async def collect(self) -> BatchSummary:
        """Run to the end and return the summary.

        Raises:
            BatchStoppedError: The run stopped before its end; the same command continues it.
            ConfigurationError: The input, or the folder, cannot be used.
            JournalError: The folder does not match the input or the options.
        """
        watch = asyncio.create_task(self._watch())
        try:
            with redirect_stdout(sys.stderr):  # Ray prints messages; stdout is for the summary
                await asyncio.to_thread(self._run)
        finally:
            watch.cancel()
            await asyncio.wait([watch])
        return self.summary

    async def aclose(self) -> None:
        """Do nothing: `collect` leaves nothing behind."""

    def drain(self) -> None:
        """Send nothing more; `collect` raises when all running requests have ended."""
        self._interrupted = True
        if self._connected:
            self._coordinator().stop.remote(Stop("the run was interrupted"))

    def cancel(self) -> None:
        """Stop at once; the results of the running requests are unknown."""
        Thread(target=ray.shutdown).start()

    @property
    def progress(self) -> BatchProgress:
        """The state of the run at this moment."""
        running, concurrency, rate = self._state
        concurrency = min(concurrency, (self._workers or 1) * self._most)
        return BatchProgress(
            summary=self.summary, running=running, waiting=0, concurrency=concurrency, rate=rate
        )

    def _coordinator(self) -> Any:
        return coordinator(self._folder, self._limits)

    async def _watch(self) -> None:
        """Keep the state up to date, for the display."""
        while True:
            await asyncio.sleep(1)
            if self._connected:
                with suppress(RayError):
                    found, _, running = await self._coordinator().state.remote()
                    self._state = running, found.concurrency, found.rate

    def _run(self) -> None:
        if not self._folder.parent.is_dir():
            raise ConfigurationError(f"there is no folder {self._folder.parent}")
        self._folder.mkdir(exist_ok=True)
        with open_file(self._folder / "lock", 0) as file:
            lock(file, self._folder / "lock")
            mapper = ChatMapper(self._folder, **self._arguments)
            rows = RayInput(self._source)
            check_files(load_files(self._folder), rows.files)
            save_files(self._folder, rows.files)
            started = time.monotonic()
            ray.init(self._address, log_to_driver=False, logging_level=logging.ERROR)
            try:
                self._send(rows, mapper.job().options)
            finally:
                self.summary.seconds = time.monotonic() - started
                self._connected = False
                ray.shutdown()

    def _send(self, rows: RayInput, options: dict[str, Any]) -> None:
        found, summary = self._read_segments(options), self.summary
        summary.total = rows.rows
        self._set_states(found)
        check_unknown(summary.unknown, self._unknown)
        self._coordinator()
        self._connected = True
        if self._interrupted:
            self.drain()
        if summary.done + summary.failed < rows.rows:
            try:
                for batch in self._results(rows, found):
                    self._count(batch)
            except Exception as error:
                raise self._stopped(error) from error
            finally:
                self._set_states(Segment.joined(self._each_segment(states_of)))
        if (table := self._table) is not None:
            self._each_segment(lambda paths: [export(path, table) for path in paths])
        if summary.unknown:
            raise BatchStoppedError(
                f"{summary.unknown:,} rows were sent by workers that were lost, and may have been "
                "charged",
                "choose --unknown resend or --unknown skip",
            )

    def _set_states(self, rows: Segment) -> None:
        """Set the numbers of rows to those of the journals."""
        summary = self.summary
        summary.done, summary.failed = len(rows.done) // 16, len(rows.failed) // 16
        summary.unknown = len(rows.unknown_only())

    def _read_segments(self, options: dict[str, Any]) -> Segment:
        retry, keep = self._retry_failed, self._unknown == "skip"

        def read(paths: list[Path]) -> Segment:
            return read_segments(paths, options, retry_failed=retry, keep_billed=keep)

        return Segment.joined(self._each_segment(read))

    def _each_segment(self, function: Callable[[list[Path]], _T]) -> list[_T]:
        """Return the results of *function* for all segments, on all machines."""
        paths, task = segments(self._folder), ray.remote(function)
        chunks = [paths[at : at + _CHUNK] for at in range(0, len(paths), _CHUNK)]
        if len(chunks) <= 1 or not ray.is_initialized():
            return [function(chunk) for chunk in chunks]
        return ray.get([task.remote(chunk) for chunk in chunks])

    def _results(self, rows: RayInput, found: Segment) -> Iterator[Any]:
        """Send the rows that are not finished, and return tables of their results."""
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(_SILENT)
        workers = self._workers = self._workers or _machines()
        block = min(_LARGEST_BLOCK, ceil(rows.rows / (workers * _BLOCKS)))
        read = PieceReader(block, numbered=rows.numbered, unfinished=Unfinished(found))
        pieces = [msgspec.to_builtins(piece) for piece in rows.pieces]
        results = (
            ray.data.from_items(pieces)
            .map_batches(read, batch_size=1, batch_format="pyarrow")
            .repartition(target_num_rows_per_block=block)
            .map_batches(
                ChatMapper,
                fn_constructor_args=[self._folder],
                fn_constructor_kwargs=self._arguments,
                batch_format="pyarrow",
                num_cpus=_CPUS,
                compute=ray.data.ActorPoolStrategy(
                    size=workers, max_concurrent_calls_per_actor=_AT_ONCE
                ),
            )
            .map_batches(_results_only, batch_format="pyarrow")
            .iter_batches(batch_size=None, batch_format="pyarrow")
        )
        return iter(results)

    def _count(self, batch: Any) -> None:
        columns = (batch[name].to_pylist() for name in batch.column_names)
        for row_id, code, message, trace, prompt, completion in zip(*columns, strict=True):
            if code is None:
                self.summary.done += 1
            elif code != "unknown" or self._unknown != "fail":  # those stay unknown
                self.summary.failed += 1
                self.summary.add_error(code, message, trace, str(row_id))
            if prompt is not None or completion is not None:
                usage = Usage(prompt_tokens=prompt, completion_tokens=completion)
                self.summary.usage = self.summary.usage.plus(usage)

    def _stopped(self, error: Exception) -> Exception:
        """Return the exception for the end of the run by *error*."""
        if self._interrupted:
            return BatchStoppedError("the run was interrupted")
        with suppress(RayError):
            _, stop, _ = ray.get(self._coordinator().state.remote(), timeout=10)
            if stop is not None:
                return BatchStoppedError(stop.reason, stop.next_step)
        return error


def _machines() -> int:
    nodes: Any = ray.nodes  # it has no annotations
    return sum(node["Alive"] for node in nodes())


def _results_only(table: Any) -> Any:
    """Return the ids, and the columns that the driver reads: the others may be large."""
    first = len(table.column_names) - len(RESULTS)
    places = [first + RESULTS.index(name) for name in _RESULTS]
    ids = table.column_names.index(id_column(table.column_names))
    return table.select([ids, *places]).rename_columns(["row_id", *_RESULTS])
