"""What does one plain call cost?"""

from __future__ import annotations

from benchmarks.driver import Case, Question
from benchmarks.subjects import ASYNC

_WHO = [name for name in ASYNC if name != "floor: recv"]

QUESTION = Question(
    "call",
    "What does one plain call cost?",
    [
        Case(
            name="sequential",
            title="one after the other",
            path="whole/40",
            work="calls",
            options={"total": 200},
            subjects=_WHO,
            rounds=7,
        ),
        Case(
            name="at_once",
            title="64 at once",
            path="whole/40",
            work="calls",
            options={"total": 512, "at_once": 64},
            subjects=_WHO,
            shown={"cpu": "µs of CPU", "per_second": "calls a second"},
        ),
        Case(
            name="long",
            title="an answer of 200 KB",
            path="whole/200000",
            work="calls",
            options={"total": 50},
            subjects=_WHO,
        ),
        Case(
            name="picture",
            title="a request of 1 MB: a picture, encoded and sent",
            path="whole/40",
            work="calls",
            options={"total": 20, "picture": 786_432},
            subjects=_WHO,
        ),
    ],
)

if __name__ == "__main__":
    from benchmarks.__main__ import main

    main(["call"])
