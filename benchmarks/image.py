"""What does it cost to send a picture of 5 MB?"""

from __future__ import annotations

from benchmarks.driver import Case, Question
from benchmarks.subjects import ASYNC

_TOO_SLOW = {"litellm", "mistralai"}  # minutes, of which nobody learns anything
_WHO = [name for name in ASYNC if name != "floor: recv" and name not in _TOO_SLOW]

QUESTION = Question(
    "image",
    "What does it cost to send a picture of 5 MB?",
    [
        Case(
            name="image",
            title="3.75 MB of PNG, encoded and sent",
            path="whole/40",
            work="picture",
            options={"size": 3_750_000},
            subjects=_WHO,
            shown={
                "cpu": "µs of CPU",
                "copies": "copies of it at the peak",
                "grip": "longest grip on the loop, ms",
            },
            rounds=5,
        ),
    ],
)

if __name__ == "__main__":
    from benchmarks.__main__ import main

    main(["image"])
