"""`SharedLimit`: one limit for the requests of many workers. No clock, no I/O."""

from __future__ import annotations

from math import ceil, inf

from msgspec import Struct

from acechat._policy.rate_limiter import RateLimiter
from acechat._policy.values import Budget, RateLimit
from acechat.batch.limiter import Limiter
from acechat.errors import BudgetExceededError
from acechat.types import TotalUsage, Usage

__all__ = ["Ended", "Found", "Reply", "SharedLimit", "Stop", "WorkerReport"]

_MOST = 2**31
"""Requests at a time of all workers; each worker has a maximum of its own."""

_INTERVAL = 0.002
"""Seconds between two reports of a worker, for each worker: 500 reports per second in total."""

_LEAST_INTERVAL = 0.01

_AHEAD = 0.02
"""Seconds for which requests are granted in advance, beyond the time of the next report."""

_LOST = 15.0
"""Seconds without a report after which the requests of a worker do not count any more."""

_WINDOW = 60.0
"""Window of the caps: a new coordinator does not know the requests in it."""

_RECHECK = 0.5
"""Most seconds until a worker that waits asks again."""


class Stop(Struct, frozen=True):
    """The reason for which a run stops, and the step after which it can go on."""

    reason: str
    next_step: str = ""


class Ended(Struct, frozen=True):
    """The end of a request."""

    seconds: float
    accepted: bool = False
    refused: bool = False
    """Whether the service refused it because of a limit or an overload."""

    retry_after: float | None = None
    usage: Usage | None = None


class Found(Struct, frozen=True):
    """The state of a limit from which a new coordinator continues."""

    concurrency: int
    rate: float | None
    usage: TotalUsage


class WorkerReport(Struct, frozen=True):
    """The message of a worker to the coordinator."""

    worker: str
    held: int
    """Its requests, and the grants that it has not used yet."""

    wanted: int = 0
    """Requests that it could start."""

    ended: tuple[Ended, ...] = ()
    found: Found | None = None
    """As in the last reply; None before the first."""

    stop: Stop | None = None


class Reply(Struct, frozen=True):
    """The response of the coordinator. All times are seconds from its receipt."""

    grants: tuple[float, ...]
    """The times at which requests may start."""

    held: float
    """Time before which nothing may start, as requested by the service."""

    pause: float
    """Least time until the next report."""

    again: float
    """Time of the next report of a worker that waits for grants."""

    found: Found
    stop: Stop | None = None
    idle: bool = False
    """Whether no worker has a request."""


class _Worker(Struct):
    held: int = 0
    granted: int = 0
    """Grants whose end is not reported yet."""

    waits: bool = False
    seen: float = 0.0


class SharedLimit:
    """Grants requests to workers, so that all together keep to one limit.

    Each worker reports its requests, and those that have ended; nothing that it reports depends on
    an earlier report, so lost messages and a lost coordinator do no harm.

    Args:
        adaptive: Whether the limit is found, by refusals and latency.
        rate_limit: The maximum of requests and tokens per minute; None for no limit.
        budget: The maximum that the run may spend; None for no limit.
    """

    def __init__(
        self,
        *,
        adaptive: bool = True,
        rate_limit: RateLimit | None = None,
        budget: Budget | None = None,
    ) -> None:
        self.limiter: Limiter = Limiter(_MOST, adaptive=adaptive)
        self._caps = RateLimiter(rate_limit) if rate_limit is not None else None
        self._budget = budget
        self._workers: dict[str, _Worker] = {}
        self._usage = TotalUsage()
        self._stop: Stop | None = None
        self._new = True

    def stop(self, stop: Stop) -> None:
        """Grant nothing more; the first reason counts."""
        self._stop = self._stop or stop

    def state(self, now: float) -> tuple[Found, Stop | None, int]:
        """Return the limit, why the run stops, and the number of requests."""
        return self._found(now), self._stop, self.limiter.running

    def exchange(self, now: float, report: WorkerReport) -> Reply:
        """Take the report of a worker, and grant it requests."""
        if self._new:
            self._new = False
            if report.found is not None:
                self._continue(now, report.found)
        worker = self._workers.setdefault(report.worker, _Worker())
        worker.seen = now
        for ended in report.ended:
            self._end(now, worker, ended)
        self._hold(now, worker, report.held)
        self._forget(now)
        if report.stop is not None:
            self.stop(report.stop)
        if self._budget is not None:
            try:
                self._budget.check(self._usage)
            except BudgetExceededError as error:
                self.stop(Stop(str(error), "raise the budget"))
        pause = max(_LEAST_INTERVAL, _INTERVAL * len(self._workers))
        wanted = 0 if self._stop is not None else report.wanted
        grants, wait = self._grant(now, worker, wanted, pause + _AHEAD)
        return Reply(
            grants=grants,
            held=max(0.0, self.limiter.held_until - now),
            pause=pause,
            again=min(max(wait, pause), _RECHECK),
            found=self._found(now),
            stop=self._stop,
            idle=not any(each.held for each in self._workers.values()),
        )

    def _continue(self, now: float, found: Found) -> None:
        """Take the place of a coordinator that has died."""
        self.limiter.adopt(now, found.concurrency, found.rate)
        self._usage = found.usage
        if self._caps is not None:
            self.limiter.held_until = now + _WINDOW

    def _end(self, now: float, worker: _Worker, ended: Ended) -> None:
        if ended.accepted:
            self.limiter.succeed(now, now - ended.seconds)
            self._usage = self._usage.plus(ended.usage)
        elif ended.refused:
            self.limiter.refuse(now, now - ended.seconds, ended.retry_after)
        self._return(now, worker, ended.usage)

    def _return(self, now: float, worker: _Worker, usage: Usage | None) -> None:
        """Give back a grant."""
        if worker.granted:  # else it was the grant of another coordinator
            worker.granted -= 1
            if self._caps is not None:
                self._caps.finish(now, usage.total_tokens if usage is not None else None)

    def _hold(self, now: float, worker: _Worker, held: int) -> None:
        """Set the number of requests of a worker."""
        self.limiter.running += held - worker.held
        worker.held = held
        while worker.granted > held:  # unused grants
            self._return(now, worker, None)

    def _forget(self, now: float) -> None:
        """Remove the workers that have been lost."""
        for name, worker in list(self._workers.items()):
            if worker.seen < now - _LOST:
                self._hold(now, worker, 0)
                del self._workers[name]

    def _grant(
        self, now: float, worker: _Worker, wanted: int, ahead: float
    ) -> tuple[tuple[float, ...], float]:
        """Return the grants, and the seconds until there may be more."""
        grants: list[float] = []
        at, wait = now, 0.0
        others = any(each.waits for each in self._workers.values() if each is not worker)
        share = ceil(self.limiter.concurrency(now) / len(self._workers)) if others else _MOST
        while len(grants) < wanted:
            wait = inf if worker.held >= share else self.limiter.wait(at)
            wait = wait or (self._caps.admit(at) if self._caps is not None else 0.0)
            if at + wait > now + ahead:
                break
            if wait:
                at += wait
                continue
            self.limiter.start(at)
            worker.held += 1
            worker.granted += 1
            grants.append(at - now)
        worker.waits = len(grants) < wanted
        return tuple(grants), 0.0 if wait == inf else at + wait - now

    def _found(self, now: float) -> Found:
        return Found(self.limiter.concurrency(now), self.limiter.rate(now), self._usage)
