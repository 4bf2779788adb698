"""How long does the first text take?"""

from __future__ import annotations

from benchmarks.driver import Case, Question
from benchmarks.subjects import ASYNC

QUESTION = Question(
    "first",
    "How long does the first text take?",
    [
        Case(
            name="first",
            title="one stream after the other, on a connection that was used before",
            path="paced,every=2000/3",
            work="streams",
            options={"total": 50},
            subjects=[name for name in ASYNC if name != "floor: recv"],
            shown={"first_p50": "p50 ms", "first_p99": "p99 ms", "cpu": "µs of CPU a chunk"},
        ),
    ],
)

if __name__ == "__main__":
    from benchmarks.__main__ import main

    main(["first"])
