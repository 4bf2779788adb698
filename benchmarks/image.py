"""Cost of sending an image of 5 MB."""

from __future__ import annotations

from benchmarks.driver import Benchmark, Case
from benchmarks.subjects import ASYNC

_TOO_SLOW = {"litellm", "mistralai"}  # they would take minutes
_SUBJECTS = [name for name in ASYNC if name != "floor: recv" and name not in _TOO_SLOW]

BENCHMARK = Benchmark(
    "image",
    "Cost of sending an image of 5 MB",
    [
        Case(
            name="image",
            title="3.75 MB of PNG, encoded and sent",
            path="plain/40",
            work="image",
            options={"size": 3_750_000},
            subjects=_SUBJECTS,
            shown={
                "cpu": "µs of CPU",
                "copies": "copies at the peak",
                "blocked": "longest block of the loop, ms",
            },
            rounds=5,
        ),
    ],
)

if __name__ == "__main__":
    from benchmarks.__main__ import main

    main(["image"])
