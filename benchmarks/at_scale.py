"""Plan of a run of 10**8 prompts: the figures of docs/bulk-at-scale.md.

``python -m benchmarks.at_scale`` prints them; ``--help`` lists the assumptions, each of which is an
option. No request is sent. The first table simulates workers and a service on a clock of its own,
with the limiter that acechat uses; the second one is arithmetic on its result and on the
assumptions. Both are the same on every machine.
"""

from __future__ import annotations

import argparse
import random
from collections import deque
from dataclasses import dataclass, fields
from heapq import heappop, heappush
from math import ceil
from typing import Any

from acechat.batch.cluster.shared_limit import Ended, Found, SharedLimit, WorkerReport
from acechat.batch.limiter import Limiter
from acechat.batch.storage.journal import RECORD_SIZE

DAY = 86_400
SIMULATED, SETTLED = 120.0, 60.0
"""Seconds that are simulated, and those from which on requests are counted."""


@dataclass
class Plan:
    """The assumptions."""

    rows: int = 100_000_000
    prompt_tokens: int = 400
    completion_tokens: int = 200
    input_price: float = 3.0  # per million tokens
    output_price: float = 15.0
    requests_per_second: int = 200  # that the service permits
    latency: float = 4.0  # seconds, mean
    concurrency: int = 256  # of a worker
    rows_per_block: int = 2000
    output_bytes: int = 1500  # of a line
    id_bytes: int = 16
    server_errors: float = 0.004  # share of requests: the public status history from June 2026 on
    attempts: int = 3
    outage_minutes: float = 30  # the longest one since June 2026
    outages_per_month: float = 6
    worker_days: float = 20  # between two losses of one worker: spot machines


class Service:
    """Permits a number of requests in any second, and refuses others."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.recent: deque[float] = deque()

    def accepts(self, now: float) -> bool:
        while self.recent and self.recent[0] <= now - 1:
            self.recent.popleft()
        if len(self.recent) < self.limit:
            self.recent.append(now)
            return True
        return False


def simulate(plan: Plan, workers: int, *, shared: bool) -> tuple[float, float]:
    """Return the accepted requests per second, and the share of refused ones."""
    rng = random.Random(1)
    service = Service(plan.requests_per_second)
    limits = [SharedLimit()] if shared else [SharedLimit() for _ in range(workers)]
    if not shared:
        for each in limits:
            each.limiter = Limiter(plan.concurrency)
    held, ended = [0] * workers, [list[Ended]() for _ in range(workers)]
    found: list[Found | None] = [None] * workers
    accepted = refused = 0
    # (time, order, kind, worker, start of the request)
    events: list[tuple[float, int, str, int, float]] = []
    order = 0

    def push(at: float, kind: str, worker: int, start: float = 0.0) -> None:
        nonlocal order
        order += 1
        heappush(events, (at, order, kind, worker, start))

    for worker in range(workers):
        push(worker * 0.003, "report", worker)
    while events[0][0] < SIMULATED:
        now, _, kind, worker, start = heappop(events)
        if kind == "report":
            wanted = plan.concurrency - held[worker]
            report = WorkerReport(
                str(worker), held[worker], wanted, tuple(ended[worker]), found[worker]
            )
            ended[worker].clear()
            reply = limits[0 if shared else worker].exchange(now, report)
            found[worker] = reply.found
            held[worker] += len(reply.grants)
            for grant in reply.grants:
                push(now + grant, "start", worker)
            push(now + reply.pause, "report", worker)
        elif kind == "start":
            fits = service.accepts(now)
            if now >= SETTLED:
                accepted += fits
                refused += not fits
            if fits:
                latency = plan.latency * rng.lognormvariate(-0.125, 0.5)  # of mean 1
                push(now + latency, "accepted", worker, now)
            else:
                push(now + 0.05, "refused", worker, now)
        else:
            held[worker] -= 1
            fits = kind == "accepted"
            ended[worker].append(Ended(now - start, accepted=fits, refused=not fits))
    return accepted / (SIMULATED - SETTLED), refused / max(1, accepted + refused)


def table(rows: list[tuple[str, ...]]) -> str:
    head, *rest = rows
    lines = [head, tuple("---" for _ in head), *rest]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def limits_table(plan: Plan) -> str:
    """Return the table of workers with and without a shared limit."""
    rows = [("workers", "shared limit: accepted per second", "refused", "each its own", "refused")]
    for workers in (1, 4, 16, 64):
        figures = [simulate(plan, workers, shared=shared) for shared in (True, False)]
        rows.append((str(workers), *(text for pair in figures for text in shown(*pair))))
    return table(rows)


def shown(rate: float, refused: float) -> tuple[str, str]:
    return f"{rate:.0f}", f"{refused:.1%}"


def duration(seconds: float) -> str:
    return f"{seconds / DAY:,.1f} days" if seconds >= 2 * DAY else f"{seconds / 3600:,.1f} hours"


def size(number: float) -> str:
    units = ["bytes", "KB", "MB", "GB", "TB"]
    while number >= 1000 and len(units) > 1:
        number /= 1000
        units.pop(0)
    return f"{number:,.1f} {units[0]}"


def plan_table(plan: Plan) -> str:
    """Return the table of the plan."""
    at_once = plan.requests_per_second * plan.latency
    workers = ceil(at_once / plan.concurrency)
    rate, refused = simulate(plan, workers, shared=True)
    down = plan.outages_per_month * plan.outage_minutes / (30 * 24 * 60)
    seconds = plan.rows / rate / (1 - down)
    tokens = plan.prompt_tokens * plan.input_price + plan.completion_tokens * plan.output_price
    price = plan.rows * tokens / 1e6
    lost = workers * seconds / DAY / plan.worker_days
    unknown = lost * at_once / workers
    blocks = ceil(plan.rows / plan.rows_per_block)
    naive = down * plan.rows
    figures: list[tuple[str, str, str]] = [
        ("requests at a time", f"{at_once:,.0f}", "rate × latency"),
        ("workers", f"{workers:,}", f"each up to {plan.concurrency} requests at a time"),
        ("rate", f"{rate:,.0f} rows/s", "simulated, of the permitted rate"),
        ("refused requests", f"{refused:.1%}", "simulated; they are not charged"),
        ("pauses", f"{down:.2%} of the time", "outages per month × their length"),
        ("duration", duration(seconds), "rows ÷ rate, with the pauses"),
        ("price", f"{price:,.0f}", "tokens × prices"),
        ("1 % of the rows, as a trial", f"{price / 100:,.0f}", f"{duration(seconds / 100)}"),
        (
            "rows that fail in the end",
            f"{plan.rows * plan.server_errors**plan.attempts:,.0f}",
            "share of 5xx to the power of the attempts; `--retry-failed` sends them again",
        ),
        (
            "rows lost in outages without pauses",
            f"{naive:,.0f}",
            "all attempts of a row end within seconds",
        ),
        ("workers lost", f"{lost:,.1f}", "spot machines"),
        (
            "unknown rows",
            f"{unknown:,.0f}",
            f"in flight on lost workers; sent again, they cost {unknown * tokens / 1e6:,.2f}",
        ),
        ("blocks", f"{blocks:,}", f"of {plan.rows_per_block:,} rows; two files each"),
        (
            "journals",
            size(plan.rows * (2 * RECORD_SIZE + plan.id_bytes + 3)),
            "two records and the id of a row",
        ),
        ("outputs", size(plan.rows * plan.output_bytes), "lines of JSON"),
        ("finished ids in memory, for a restart", size(plan.rows * 16), "on each machine, shared"),
    ]
    return table([("figure", "value", "from"), *figures])


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    defaults: dict[str, Any] = {field.name: field.default for field in fields(Plan)}
    for name, default in defaults.items():
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=type(default), default=default, help=f"default {default}")
    plan = Plan(**vars(parser.parse_args(arguments)))
    print(limits_table(plan))
    print()
    print(plan_table(plan))


if __name__ == "__main__":
    main()
