"""Bulk runs on Ray: `ChatMapper` for ``Dataset.map_batches``; needs ``acechat[ray]``.

`docs/howto/ray.md` explains it. All state is in a folder that all machines see: a worker that was
killed, a coordinator that was killed, and a restart of the same run find it there.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import ray
from ray.exceptions import RayActorError

from acechat import AsyncClient, Budget, ConfigurationError, RateLimit
from acechat.batch.cluster.block import BlockSender
from acechat.batch.cluster.segments import Segment, as_ids, digest, read_segments, segments
from acechat.batch.cluster.shared_limit import Reply, SharedLimit, Stop, WorkerReport
from acechat.batch.cluster.shared_pacer import SharedPacer
from acechat.batch.plan import check_unknown
from acechat.batch.status import COLUMNS

__all__ = [
    "RESULTS",
    "ChatMapper",
    "Coordinator",
    "Unfinished",
    "coordinator",
    "id_column",
    "limits_of",
    "unfinished",
]

_NAMESPACE = "acechat"
_RETRY = 0.2
"""Seconds between two attempts to reach the coordinator."""

_SENT = "acechat_sent"
"""Column that marks rows that an earlier start sent, without a known result."""

RESULTS: tuple[str, ...] = tuple(name for name in COLUMNS if name != "custom_id")
"""The columns of results, which `ChatMapper` adds."""

_NUMBERS = ("prompt_tokens", "completion_tokens")


class Coordinator:
    """The actor that grants requests to the workers of a run; see `SharedLimit`."""

    def __init__(self, **limits: Any) -> None:
        self._limit = SharedLimit(**limits)

    def exchange(self, report: WorkerReport) -> Reply:
        """Take the report of a worker, and grant it requests."""
        return self._limit.exchange(time.monotonic(), report)

    def stop(self, stop: Stop) -> None:
        """Stop the run."""
        self._limit.stop(stop)

    def state(self) -> Any:
        """Return the limit, why the run stops, and the number of requests."""
        return self._limit.state(time.monotonic())


def _shared(output: str | os.PathLike[str]) -> Path:
    path = Path(output)
    if not path.is_absolute():  # the machines and the processes have other current folders
        raise ConfigurationError(f"output must be an absolute path, not {path}")
    return path


def limits_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `SharedLimit` of the options of a run."""
    return {
        "adaptive": options.get("concurrency", "auto") == "auto",
        "rate_limit": options.get("rate_limit"),
        "budget": options.get("budget"),
    }


def coordinator(folder: str | os.PathLike[str], limits: Mapping[str, Any]) -> Any:
    """Return the handle of the coordinator of a run, which is started if it does not live.

    Args:
        folder: The folder of the run.
        limits: Arguments of `SharedLimit`.
    """
    job: str = ray.get_runtime_context().get_job_id()
    run = blake2b(os.fsencode(os.path.realpath(folder)), digest_size=8).hexdigest()
    actor: Any = ray.remote(Coordinator)
    return actor.options(
        name=f"acechat-{job}-{run}", namespace=_NAMESPACE, get_if_exists=True, num_cpus=0
    ).remote(**limits)


class ChatMapper:
    """Sends the prompts of a dataset, and adds the columns of their results.

    Pass this class, not an instance, to ``Dataset.map_batches``. Each worker runs all rows of
    its batches at the same time; the workers share one limit, which is found as in
    `AsyncClient.batch`. Each batch of rows has a journal in *output*: it is consulted when Ray runs
    a batch again, so that rows that are done are not sent again.

    Rows need a column ``custom_id`` or ``id``, whose values are unique. The other columns are as in
    `AsyncClient.batch`. Added are the columns ``text``, ``output`` (JSON), ``finish_reason``,
    ``model``, ``prompt_tokens``, ``completion_tokens``, ``error_code``, ``error_message`` and
    ``trace_id``; if the dataset has such a column already, ``result_text`` and so on. Failed
    rows are rows with an ``error_code``.

    Args:
        output: Absolute path of a folder that all machines see, with a file system that can append
            and lock.
        source: Path of the input, to whose folder the paths of images are relative.
        client: Arguments of `AsyncClient`; default the environment of the workers.
        concurrency: The number of requests at a time of each worker; ``"auto"`` to find it.
        max_concurrency: The maximum of each worker with ``"auto"``.
        rate_limit: The maximum of requests and tokens per minute, of all workers together.
        budget: The maximum that this start of the run may spend, on all workers together.
        unknown: Treatment of rows that were sent by a worker that was killed: ``"fail"`` reports
            them with the code ``unknown`` and keeps them as unknown in the journal, so that a
            restart asks; ``"resend"`` and ``"skip"`` as in `AsyncClient.batch`.
        **options: Other arguments of `AsyncClient.batch`.

    Raises:
        BatchStoppedError: The run stopped; the same run continues it.

    Example:
        >>> rows = unfinished(ray.data.read_parquet("/shared/prompts"), "/shared/results")
        >>> rows.map_batches(
        ...     ChatMapper,
        ...     fn_constructor_args=["/shared/results"],
        ...     compute=ray.data.ActorPoolStrategy(size=8),
        ...     batch_format="pyarrow",
        ...     batch_size=1000,
        ... )
    """

    def __init__(
        self,
        output: str | os.PathLike[str],
        *,
        source: str | os.PathLike[str] | None = None,
        client: Mapping[str, Any] | None = None,
        concurrency: int | Literal["auto"] = "auto",
        max_concurrency: int = 256,
        rate_limit: RateLimit | None = None,
        budget: Budget | None = None,
        unknown: Literal["fail", "resend", "skip"] = "fail",
        **options: Any,
    ) -> None:
        self._output = _shared(output)
        self._limits = limits_of(
            {"concurrency": concurrency, "rate_limit": rate_limit, "budget": budget}
        )
        self._most = max_concurrency if concurrency == "auto" else concurrency
        self._client_options = dict(client or {})
        self._batch_options = {
            **options,
            "unknown": unknown,
            "max_concurrency": self._most,
            "output": self._output,
        }
        self._source: Any = Path(source) if source is not None else []
        self._sender: BlockSender | None = None
        self._coordinator: Any = None

    async def __call__(self, batch: Any) -> Any:
        """Send the rows of *batch*, a table of Arrow, and return it with the columns of results.

        Raises:
            BatchStoppedError: The run stopped; the same run continues it.
            ConfigurationError: A row has no id.
        """
        if self._sender is None:
            self._sender = self._start()
        sent: list[int] = []
        if _SENT in batch.column_names:
            sent = [row for row, flag in enumerate(batch[_SENT].to_pylist()) if flag]
            batch = batch.drop_columns([_SENT])
        rows = batch.to_pylist()
        results = await self._sender.send(
            rows, batch[id_column(batch.column_names)].to_pylist(), sent
        )
        return _joined(batch, results)

    def job(self) -> Any:
        """Return the settings of the run.

        Raises:
            ConfigurationError: An argument cannot be used.
        """
        return AsyncClient(**self._client_options).batch(self._source, **self._batch_options).job

    def _start(self) -> BlockSender:
        """Start, in the event loop of the worker."""
        sender = BlockSender(self.job(), self._output)
        name = f"{ray.get_runtime_context().get_node_id()}-{os.getpid()}-{time.time_ns()}"
        sender.pacer = SharedPacer(name, self._most, self._exchange, time.monotonic, sender.drain)
        return sender

    async def _exchange(self, report: WorkerReport) -> Reply:
        """Send a report to the coordinator; start another one if it has died."""
        while True:
            try:
                if self._coordinator is None:
                    self._coordinator = coordinator(self._output, self._limits)
                reply: Reply = await self._coordinator.exchange.remote(report)
            except RayActorError:
                self._coordinator = None
            else:
                return reply
            await asyncio.sleep(_RETRY)


def id_column(names: list[str]) -> str:
    """Return the name of the column of ids.

    Raises:
        ConfigurationError: There is none.
    """
    for name in ("custom_id", "id"):
        if name in names:
            return name
    raise ConfigurationError(
        "the rows need a column custom_id or id: without it, a restart cannot find those that are "
        "done"
    )


def _joined(table: Any, results: list[dict[str, Any]]) -> Any:
    """Return *table* with the columns of results."""
    taken = set(table.column_names)
    for name in RESULTS:
        kind = pa.int64() if name in _NUMBERS else pa.string()
        column = pa.array([row[name] for row in results], kind)
        table = table.append_column(_free(name, taken), column)
    return table


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name = f"result_{name}"
    return name


class Unfinished:
    """Removes the rows that are finished from batches of a dataset: an anti-join by their ids.

    Args:
        rows: The rows of earlier starts.
    """

    def __init__(self, rows: Segment) -> None:
        self._finished = ray.put(_sorted(rows.done + rows.failed))
        self._unknown = ray.put(_sorted(rows.unknown))

    def __call__(self, batch: Any) -> Any:
        """Return the other rows of *batch*, a table of Arrow; rows that were sent are marked."""
        finished, unknown = ray.get([self._finished, self._unknown])
        ids = as_ids(batch[id_column(batch.column_names)].to_pylist())
        digests = np.array([digest(each) for each in ids], "S16")
        left = ~_contains(finished, digests)
        sent = pa.array(_contains(unknown, digests))
        return batch.append_column(_SENT, sent).filter(pa.array(left))


def _sorted(digests: bytes) -> Any:
    return np.sort(np.frombuffer(digests, "S16"))


def _contains(found: Any, digests: Any) -> Any:
    """Return for each of *digests* whether it stands in *found*, which is sorted."""
    if not len(found):
        return np.zeros(len(digests), bool)
    at = np.searchsorted(found, digests)
    return found[np.minimum(at, len(found) - 1)] == digests


def unfinished(
    dataset: Any,
    output: str | os.PathLike[str],
    *,
    unknown: Literal["fail", "resend", "skip"] = "fail",
) -> Any:
    """Return the rows of *dataset* that a run with this *output* has not finished.

    Args:
        dataset: A dataset of Ray.
        output: Absolute path of the folder of the run; it need not exist.
        unknown: As that of `ChatMapper`: ``"fail"`` refuses unknown rows.

    Raises:
        JournalError: There are unknown rows, a segment is damaged, or a run uses it.
    """
    rows = read_segments(segments(_shared(output)), None)
    check_unknown(len(rows.unknown_only()), unknown)
    return dataset.map_batches(Unfinished(rows), batch_format="pyarrow", zero_copy_batch=True)
