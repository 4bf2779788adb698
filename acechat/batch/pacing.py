"""`Pacer`: when the next request may start, by all limits together. No clock."""

from __future__ import annotations

from typing import Any, Literal

from acechat._policy.rate_limiter import RateLimiter
from acechat._policy.values import RateLimit
from acechat.batch.limiter import Limiter
from acechat.batch.outage import OutageDetector, RowHistory
from acechat.batch.results import BatchProgress, BatchSummary
from acechat.batch.row_stream import RowQueue
from acechat.batch.verdict import Verdict
from acechat.errors import AceChatError, APIError
from acechat.types import ChatCompletion

__all__ = ["Pacer"]


class Pacer:
    """The adaptive limit, the caps of the caller, and the pauses of outages.

    All times are seconds of one monotonic clock.

    Args:
        concurrency: The number of requests at a time; ``"auto"`` to find it.
        max_concurrency: The maximum with ``"auto"``.
        rate_limit: The maximum of requests and tokens per minute; None for no limit.
    """

    def __init__(
        self,
        concurrency: int | Literal["auto"],
        max_concurrency: int,
        rate_limit: RateLimit | None,
    ) -> None:
        if isinstance(concurrency, int):
            self.limiter: Limiter = Limiter(concurrency, adaptive=False)
        else:
            self.limiter = Limiter(max_concurrency)
        self.outage: OutageDetector = OutageDetector()
        self._caps = RateLimiter(rate_limit) if rate_limit is not None else None

    def watch(self, rows: RowQueue) -> None:
        """Call ``rows.changed`` whenever a row may start for another reason than the run's own."""

    @property
    def down(self) -> bool:
        """Whether the service is down."""
        return self.outage.down_since is not None

    @property
    def running(self) -> int:
        """Number of requests at the moment."""
        return self.limiter.running

    def wait(self, now: float) -> float:
        """Return the seconds until a request may start: 0 for now, inf for an unknown time.

        `start` must follow a 0.
        """
        wait = max(self.outage.wait(now), self.limiter.wait(now))
        return wait or (self._caps.admit(now) if self._caps is not None else 0.0)

    def start(self, now: float) -> None:
        """Record that a request starts."""
        self.limiter.start(now)
        self.outage.probe()

    def succeed(self, now: float, started: float, completion: ChatCompletion[Any] | None) -> None:
        """Record a completion; `end` follows."""
        self.limiter.succeed(now, started)
        if self.outage.succeed(now, started):
            self.limiter.restart()
        if self._caps is not None:
            usage = completion.usage if completion is not None else None
            more = len(completion.response.attempts) if completion is not None else 0
            self._caps.finish(now, usage.total_tokens if usage else None, more)

    def fail(
        self,
        now: float,
        started: float,
        row: int,
        history: RowHistory,
        error: AceChatError,
        verdict: Verdict,
    ) -> None:
        """Record a failed request of *row*, and count the attempt in *history*; `end` follows."""
        cause = verdict.cause
        if self._caps is not None:
            self._caps.finish(now, None, max(len(error.attempts) - 1, 0))
        if cause in {"limit", "overload"}:
            retry_after = error.retry_after if isinstance(error, APIError) else None
            self.limiter.refuse(now, started, retry_after)
        if cause in {"overload", "service"}:
            self.outage.fail(now, started, row, history, overload=cause == "overload")
        elif cause == "temporary":
            history.counted += 1
        elif cause == "row" and isinstance(error, APIError):
            self.outage.succeed(now, started)  # the service works

    def end(self, now: float) -> None:
        """Record the end of a request, whatever its outcome."""
        self.limiter.end()
        self.outage.give_up(now)

    def progress(self, now: float, summary: BatchSummary, waiting: int) -> BatchProgress:
        """Return the state of a run.

        Args:
            now: The time.
            summary: The figures of the run.
            waiting: Rows that wait for another attempt.
        """
        return BatchProgress(
            summary=summary,
            running=self.limiter.running,
            waiting=waiting,
            concurrency=self.limiter.concurrency(now),
            rate=self.limiter.rate(now),
            paused=self.paused(now),
        )

    def paused(self, now: float) -> str:
        """Return why nothing is sent; empty if requests are."""
        if self.outage.down_since is not None:
            return f"the service has been down for {now - self.outage.down_since:.0f} s"
        if self.limiter.held_until > now:
            return f"the service asked to wait {self.limiter.held_until - now:.0f} s more"
        return ""
