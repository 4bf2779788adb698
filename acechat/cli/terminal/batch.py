"""Progress and summary of a bulk run."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import msgspec

from acechat import AsyncBatch, BatchProgress, BatchSummary
from acechat.batch.sources import FileSource
from acechat.cli.terminal.text import draws, one_line

__all__ = ["Display", "summary_lines"]

_WINDOW = 30
"""Samples over which rates are averaged."""

_INTERVALS = {"terminal": 0.5, "lines": 10.0, "json": 1.0}
"""Seconds between two updates."""


class Display:
    """Shows the progress of a run on stderr, while an ``async with`` block runs.

    Args:
        batch: The run.
        source: Its input, whose rows are counted for the time left.
        kind: ``"auto"``: a line that changes on a terminal, else a line every ten seconds;
            ``"json"``: an object per second; ``"none"``.
    """

    def __init__(self, batch: AsyncBatch, source: str, kind: str) -> None:
        self._batch = batch
        self._source = source
        self._kind = kind
        if kind == "auto":
            self._kind = "terminal" if draws(sys.stderr) else "lines"
        self._samples: deque[tuple[float, int, int]] = deque(maxlen=_WINDOW)
        self._total: int | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._live: Any = None

    async def __aenter__(self) -> Self:
        if self._kind != "none":
            if self._kind == "terminal":
                from rich.console import Console
                from rich.live import Live

                console = Console(stderr=True)
                self._live = Live(console=console, auto_refresh=False, transient=True)
                self._live.start()
            if self._source != "-":
                self._tasks.append(asyncio.create_task(self._count()))
            self._tasks.append(asyncio.create_task(self._update()))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self._live is not None:
            self._live.stop()
        if self._kind == "json":
            self._show()

    async def _count(self) -> None:
        with suppress(Exception):  # the run reports it
            self._total = await asyncio.to_thread(FileSource(self._source).count)

    async def _update(self) -> None:
        while True:
            await asyncio.sleep(_INTERVALS[self._kind])
            self._show()

    def _show(self) -> None:
        progress = self._batch.progress
        summary = progress.summary
        ended = summary.done + summary.failed
        self._samples.append((time.monotonic(), ended, summary.usage.total_tokens))
        rows, tokens = self._rates()
        total = summary.total if summary.total is not None else self._total
        left = None if total is None or not rows else max(0, total - ended) / rows
        if self._kind == "json":
            fields = msgspec.to_builtins(progress) | {
                "total": total,
                "rows_per_second": rows,
                "tokens_per_second": tokens,
                "seconds_left": left,
            }
            text = msgspec.json.encode(fields).decode()
        else:
            text = describe(progress, total, rows, tokens, left)
        if self._live is not None:
            from rich.text import Text

            self._live.update(Text(text), refresh=True)
            return
        with suppress(OSError, ValueError):  # stderr was closed
            print(text, file=sys.stderr, flush=True)

    def _rates(self) -> tuple[float, float]:
        (began, rows, tokens), (now, rows_now, tokens_now) = self._samples[0], self._samples[-1]
        seconds = now - began
        if seconds <= 0:
            return 0.0, 0.0
        return (rows_now - rows) / seconds, (tokens_now - tokens) / seconds


def describe(
    progress: BatchProgress,
    total: int | None,
    rows: float,
    tokens: float,
    left: float | None,
) -> str:
    """Return the progress on one line."""
    summary = progress.summary
    unknown = max(0, summary.unknown - progress.running - progress.waiting)
    parts = [
        f"{summary.done:,}{'' if total is None else f' of {total:,}'} done",
        f"{summary.failed:,} failed" if summary.failed else "",
        f"{unknown:,} unknown" if unknown else "",
        f"{progress.running} running (limit {progress.concurrency})",
        f"{progress.waiting} waiting" if progress.waiting else "",
        f"{rows:,.1f} rows/s",
        f"{tokens:,.0f} tokens/s",
        _cost(summary),
        f"{_duration(left)} left" if left is not None else "",
        f"PAUSED: {progress.paused}" if progress.paused else "",
    ]
    return ", ".join(part for part in parts if part)


def summary_lines(summary: BatchSummary) -> Iterator[str]:
    """Yield the lines of a summary."""
    rows = [f"{summary.done:,} done", f"{summary.failed:,} failed", f"{summary.unknown:,} unknown"]
    if summary.total is not None:
        rest = summary.total - summary.done - summary.failed - summary.unknown
        rows.append(f"{max(0, rest):,} not sent")
    yield f"rows: {', '.join(rows)}"
    usage = summary.usage
    cost = _cost(summary)
    yield f"tokens: {usage.total_tokens:,}{f'; cost: {cost}' if cost else ''}"
    if summary.requests:
        yield (
            f"requests: {summary.requests:,} in {_duration(summary.seconds)}, "
            f"{summary.refused:,} refused, {summary.may_be_billed:,} without a result and perhaps "
            "charged"
        )
    for code, count in sorted(summary.errors.items(), key=lambda item: -item[1].rows):
        traces = f" (trace {', '.join(map(one_line, count.trace_ids))})" if count.trace_ids else ""
        yield f"error {one_line(code)}: {count.rows:,} rows: {one_line(count.message)}{traces}"


def _cost(summary: BatchSummary) -> str:
    cost = summary.usage.cost
    return "" if cost is None else f"{cost:f} {one_line(summary.usage.currency or 'credits')}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
