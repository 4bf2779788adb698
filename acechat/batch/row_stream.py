"""The rows that a start sends, in order, after the input has been compared with the journal."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing

from acechat.batch.plan import Plan
from acechat.batch.results import BatchSummary
from acechat.batch.rows import RawRow, Row, RowReader
from acechat.batch.sources import Source

__all__ = ["RowQueue", "RowStream"]


class RowStream:
    """The rows of an input that must run.

    The rows that the journal knows are compared with it before the first row is returned: nothing
    is sent for an input that has changed.

    Args:
        source: The input.
        plan: The rows that run.
        reader: Makes a reader of rows; the input may be read twice.
        summary: Gets the number of rows when the end of the input has been read.
    """

    def __init__(
        self, source: Source, plan: Plan, reader: Callable[[], RowReader], summary: BatchSummary
    ) -> None:
        self._summary = summary
        self._source = source
        self._plan = plan
        self._reader = reader

    async def chunks(self) -> AsyncGenerator[list[Row]]:
        """Yield the rows, many at a time.

        Raises:
            JournalError: The input does not match the journal.
            ConfigurationError: The input cannot be read.
        """
        plan, known = self._plan, self._plan.known_rows
        reader = self._reader()
        kept: list[Row] = []  # of an input that cannot be read twice
        replay = self._source.replayable and plan.pending
        keep = plan.pending and not replay
        count = 0

        def convert(raw: RawRow) -> Row | None:
            if raw.number >= known:
                return reader.read(raw)
            plan.check_row(raw)
            if keep and plan.runs(raw.number):
                kept.append(reader.read(raw))
            else:
                reader.read_id(raw)
            return None

        verified = not known
        async with aclosing(self._source.chunks(convert)) as chunks:
            async for chunk in chunks:
                count += len(chunk)
                new = [row for row in chunk if row is not None]
                if not verified and count >= known:
                    verified = True
                    if kept:
                        yield kept
                    if replay:
                        async with aclosing(self._again()) as earlier:
                            async for rows in earlier:
                                yield rows
                if new:
                    yield new
        plan.check_end(count)
        self._summary.total = count

    async def _again(self) -> AsyncGenerator[list[Row]]:
        """Read the rows that the journal knows once more, and yield those that run."""
        plan, known = self._plan, self._plan.known_rows
        reader = self._reader()

        def convert(raw: RawRow) -> tuple[int, Row | None]:
            if raw.number < known and plan.runs(raw.number):
                return raw.number, reader.read(raw)
            reader.read_id(raw)
            return raw.number, None

        async with aclosing(self._source.chunks(convert)) as chunks:
            async for chunk in chunks:
                if rows := [row for _, row in chunk if row is not None]:
                    yield rows
                if chunk[-1][0] >= known:
                    return


class RowQueue:
    """Rows that have been read and not started, without waiting for them.

    Args:
        rows: The rows.
        changed: Called when rows have arrived.

    Attributes:
        changed: As given.
        ended: Whether all rows have been taken.
    """

    def __init__(self, rows: AsyncGenerator[list[Row]], changed: Callable[[], None]) -> None:
        self.ended: bool = False
        self._rows = rows
        self.changed: Callable[[], None] = changed
        self._read: deque[Row] = deque()
        self._reading: asyncio.Task[list[Row]] | None = None

    def peek(self) -> Row | None:
        """Return the next row, which stays; None if none has been read yet, or at the end.

        Raises:
            Exception: The input failed.
        """
        if not self._read and not self.ended:
            if self._reading is None:
                self._reading = asyncio.create_task(self._next())
                self._reading.add_done_callback(lambda _: self.changed())
            elif self._reading.done():
                rows, self._reading = self._reading.result(), None
                self._read.extend(rows)
                self.ended = not rows
        return self._read[0] if self._read else None

    def models(self) -> Iterator[str | None]:
        """Return the models of the rows that have been read and not taken."""
        return (row.model for row in self._read)

    def take(self) -> None:
        """Remove the row that `peek` returned."""
        self._read.popleft()

    def __len__(self) -> int:
        """The rows that have been read; 1 more if the input has not ended."""
        return len(self._read) + (not self.ended)

    async def _next(self) -> list[Row]:
        async for rows in self._rows:
            return rows
        return []

    async def aclose(self) -> Exception | None:
        """Close the input; return the exception of the caller's iterable if it cannot be closed."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])
            if not self._reading.cancelled():
                self._reading.exception()  # marks it as retrieved
        try:
            await self._rows.aclose()
        except Exception as error:  # noqa: BLE001 - the results are saved all the same
            return error
        return None
