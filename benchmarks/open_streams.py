"""How much memory does an open stream take?"""

from __future__ import annotations

from benchmarks.driver import Case, Question
from benchmarks.subjects import MANY

_OFTEN = {"floor", "acechat", "openai"}
_WHO = [name for name in MANY if name != "floor: recv"]

QUESTION = Question(
    "open_streams",
    "How much memory does an open stream take?",
    [
        Case(
            name="held",
            title="1,000 streams that have begun",
            path="held/3",
            work="held",
            options={"at_once": 1000},
            subjects=_WHO,
            seldom=tuple({*_WHO} - _OFTEN),
            shown={"kb": "KB", "cpu": "µs of CPU to open"},
            rounds=3,
            fresh=True,
        ),
    ],
)

if __name__ == "__main__":
    from benchmarks.__main__ import main

    main(["open_streams"])
