"""Memory of an open stream."""

from __future__ import annotations

from benchmarks.driver import Benchmark, Case
from benchmarks.subjects import MANY

_OFTEN = {"floor", "acechat", "openai"}
_SUBJECTS = [name for name in MANY if name != "floor: recv"]

BENCHMARK = Benchmark(
    "open_streams",
    "Memory of an open stream",
    [
        Case(
            name="held",
            title="1,000 started streams",
            path="held/3",
            work="held",
            options={"at_once": 1000},
            subjects=_SUBJECTS,
            one_round=tuple({*_SUBJECTS} - _OFTEN),
            shown={"kb": "KB", "cpu": "µs of CPU to open"},
            rounds=3,
            fresh=True,
        ),
    ],
)

if __name__ == "__main__":
    from benchmarks.__main__ import main

    main(["open_streams"])
