"""`SharedPacer`: the pacer of one worker, whose requests a coordinator grants."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from math import inf
from typing import Any
from weakref import WeakSet

from acechat.batch.cluster.shared_limit import Ended, Found, Reply, Stop, WorkerReport
from acechat.batch.outage import RowHistory
from acechat.batch.pacing import Pacer
from acechat.batch.row_stream import RowQueue
from acechat.batch.verdict import Verdict
from acechat.errors import AceChatError, APIError
from acechat.types import ChatCompletion

__all__ = ["SharedPacer"]

_HEARTBEAT = 0.5
"""Seconds between two reports of a worker that waits for nothing: the run may have stopped."""

_STALE = 0.25
"""Seconds after which a grant that was not used is given back."""


class SharedPacer(Pacer):
    """The limits of the blocks of rows that one worker sends at the same time.

    Outages are found by each worker for itself. Everything else is granted by a coordinator, in
    reply to reports; while there is none, running requests go on, and no other starts.

    Args:
        worker: Name of the worker.
        most: The maximum of requests at a time of this worker.
        exchange: Sends a report to the coordinator, and returns its reply. If it fails, the run
            stops.
        clock: The clock of the runs: seconds.
        stopped: Called when the run stops.
    """

    def __init__(
        self,
        worker: str,
        most: int,
        exchange: Callable[[WorkerReport], Awaitable[Reply]],
        clock: Callable[[], float],
        stopped: Callable[[Stop], None],
    ) -> None:
        super().__init__(most, most, None)
        self._worker = worker
        self._exchange = exchange
        self._clock = clock
        self._stopped = stopped
        self._queues: WeakSet[RowQueue] = WeakSet()
        self._grants: deque[float] = deque()
        self._ended: list[Ended] = []
        self._asks = False
        self._due = asyncio.Event()
        self._found: Found | None = None
        self._stop: Stop | None = None
        self._announced = False
        self._idle = asyncio.Event()
        self._task = asyncio.create_task(self._report())

    @property
    def stop_reason(self) -> Stop | None:
        """Why the run stops; None if it does not."""
        return self._stop

    def watch(self, rows: RowQueue) -> None:
        """Call ``rows.changed`` whenever a row may start for another reason than the run's own."""
        self._queues.add(rows)

    def wait(self, now: float) -> float:
        """Return the seconds until a request may start: 0 for now, inf for an unknown time."""
        if wait := super().wait(now):
            return wait
        self._drop_stale(now)
        if self._grants:
            return max(0.0, self._grants[0] - now)
        if not self._asks:
            self._asks = True
            self._due.set()
        return inf

    def start(self, now: float) -> None:
        """Record that a request starts."""
        super().start(now)
        self._grants.popleft()

    def succeed(self, now: float, started: float, completion: ChatCompletion[Any] | None) -> None:
        """Record a completion; `end` follows."""
        super().succeed(now, started, completion)
        usage = completion.usage if completion is not None else None
        self._ended.append(Ended(now - started, accepted=True, usage=usage))

    def fail(
        self,
        now: float,
        started: float,
        row: int,  # noqa: ARG002 - unique in its block only
        history: RowHistory,
        error: AceChatError,
        verdict: Verdict,
    ) -> None:
        """Record a failed request, and count the attempt in *history*; `end` follows."""
        super().fail(now, started, id(history), history, error, verdict)
        refused = verdict.cause in {"limit", "overload"}
        wait = error.retry_after if isinstance(error, APIError) else None
        self._ended.append(Ended(now - started, refused=refused, retry_after=wait))
        if verdict.cause == "run":  # the other blocks would meet the same error
            self._announce(Stop(str(error), verdict.next_step))
            self._due.set()

    def end(self, now: float) -> None:
        """Record the end of a request, whatever its outcome."""
        super().end(now)
        self._due.set()
        self._wake()

    async def stop(self, stop: Stop) -> None:
        """Stop the run, of all workers, and wait until none of them has a request."""
        self._stop = self._stop or stop
        self._due.set()
        await self._idle.wait()

    async def aclose(self) -> None:
        """Send no more reports."""
        self._task.cancel()
        await asyncio.wait([self._task])

    def _wake(self) -> None:
        for queue in list(self._queues):
            queue.changed()

    def _drop_stale(self, now: float) -> None:
        while self._grants and self._grants[0] < now - _STALE:
            self._grants.popleft()

    async def _report(self) -> None:
        try:
            await self._keep_reporting()
        except Exception as error:  # noqa: BLE001 - without reports the run would wait for ever
            self._announce(Stop(f"the coordinator cannot be used: {error}"))
            self._idle.set()

    async def _keep_reporting(self) -> None:
        pause, again = 0.0, _HEARTBEAT
        while True:
            await asyncio.sleep(pause)
            asks = self._asks and not self._grants
            try:
                async with asyncio.timeout(max(again - pause, 0.0) if asks else _HEARTBEAT):
                    await self._due.wait()
            except TimeoutError:
                pass
            self._due.clear()
            ended, self._ended = self._ended, []
            reply = await self._exchange(self._next_report(tuple(ended)))
            pause, again = reply.pause, reply.again
            self._apply(reply)

    def _announce(self, stop: Stop) -> None:
        self._stop = stop
        if not self._announced:
            self._announced = True
            self._stopped(stop)

    def _next_report(self, ended: tuple[Ended, ...]) -> WorkerReport:
        self._drop_stale(self._clock())
        wanted = 0
        if self._asks and self._stop is None:
            room = self.limiter.maximum - self.limiter.running - len(self._grants)
            waiting = max(1, sum(len(queue) for queue in self._queues))
            wanted = max(0, min(room, waiting - len(self._grants)))
        held = self.limiter.running + len(self._grants)
        return WorkerReport(self._worker, held, wanted, ended, self._found, self._stop)

    def _apply(self, reply: Reply) -> None:
        now = self._clock()
        self._found = reply.found
        if reply.held:
            self.limiter.held_until = max(self.limiter.held_until, now + reply.held)
        if reply.stop is not None:
            self._announce(reply.stop)
            if reply.idle:
                self._idle.set()
        if reply.grants:
            self._asks = False
            self._grants.extend(now + each for each in reply.grants)
            self._wake()
