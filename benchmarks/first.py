"""Time to the first text."""

from __future__ import annotations

from benchmarks.driver import Benchmark, Case
from benchmarks.subjects import ASYNC

BENCHMARK = Benchmark(
    "first",
    "Time to the first text",
    [
        Case(
            name="first",
            title="one stream after the other, on a kept connection",
            path="paced,every=2000/3",
            work="streams",
            options={"total": 50},
            subjects=[name for name in ASYNC if name != "floor: recv"],
            shown={"first_p50": "p50 ms", "first_p99": "p99 ms", "cpu": "µs of CPU per chunk"},
        ),
    ],
)

if __name__ == "__main__":
    from benchmarks.__main__ import main

    main(["first"])
