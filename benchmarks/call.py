"""Cost of a plain call."""

from __future__ import annotations

from benchmarks.driver import Benchmark, Case
from benchmarks.subjects import ASYNC

_SUBJECTS = [name for name in ASYNC if name != "floor: recv"]

BENCHMARK = Benchmark(
    "call",
    "Cost of a plain call",
    [
        Case(
            name="sequential",
            title="one after the other",
            path="plain/40",
            work="calls",
            options={"total": 200},
            subjects=_SUBJECTS,
            rounds=7,
        ),
        Case(
            name="at_once",
            title="64 at once",
            path="plain/40",
            work="calls",
            options={"total": 512, "at_once": 64},
            subjects=_SUBJECTS,
            shown={"cpu": "µs of CPU", "per_second": "calls per second"},
        ),
        Case(
            name="long",
            title="a response of 200 KB",
            path="plain/200000",
            work="calls",
            options={"total": 50},
            subjects=_SUBJECTS,
        ),
        Case(
            name="image",
            title="a request of 1 MB: an image, encoded and sent",
            path="plain/40",
            work="calls",
            options={"total": 20, "image_size": 786_432},
            subjects=_SUBJECTS,
        ),
    ],
)

if __name__ == "__main__":
    from benchmarks.__main__ import main

    main(["call"])
