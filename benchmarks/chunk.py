"""Cost of a streamed chunk."""

from __future__ import annotations

from benchmarks.driver import Benchmark, Case
from benchmarks.subjects import ASYNC

_COUNT = 10_000

BENCHMARK = Benchmark(
    "chunk",
    "Cost of a streamed chunk",
    [
        Case(
            name="events",
            title="backlog, one HTTP chunk for each event",
            path=f"events/{_COUNT}",
            work="streams",
            subjects=ASYNC,
        ),
        Case(
            name="blocks",
            title="backlog, HTTP chunks of 64 KB",
            path=f"blocks/{_COUNT}",
            work="streams",
            subjects=ASYNC,
        ),
        Case(
            name="splits",
            title="backlog, HTTP chunks of random size (1 to 600 bytes)",
            path="events,split=any/5000",
            work="streams",
            subjects=ASYNC,
        ),
        Case(
            name="writes",
            title="one stream, one write for each event, every 200 µs",
            path="paced,every=200/1000",
            work="streams",
            subjects=ASYNC,
        ),
    ],
)

if __name__ == "__main__":
    from benchmarks.__main__ import main

    main(["chunk"])
