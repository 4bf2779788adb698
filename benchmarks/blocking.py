"""Cost of blocking calls and streams."""

from __future__ import annotations

from functools import partial

from benchmarks.driver import Benchmark, Case
from benchmarks.subjects import BLOCKING

_SUBJECTS = ["floor", "acechat", *BLOCKING]
_case = partial(Case, subjects=_SUBJECTS, floor="floor, blocking", ours="acechat, blocking")

BENCHMARK = Benchmark(
    "blocking",
    "Cost of blocking calls and streams",
    [
        _case(
            name="backlog",
            title="a chunk of a backlog, one HTTP chunk for each event",
            path="events/10000",
            work="streams",
        ),
        _case(
            name="live",
            title="a chunk of one stream, one write for each event, every 200 µs",
            path="paced,every=200/1000",
            work="streams",
        ),
        _case(
            name="calls",
            title="a plain call, one after the other",
            path="plain/40",
            work="calls",
            options={"total": 200},
        ),
    ],
)

if __name__ == "__main__":
    from benchmarks.__main__ import main

    main(["blocking"])
