"""Cost of acechat's features, compared with a plain call."""

from __future__ import annotations

from functools import partial

from benchmarks.driver import Benchmark, Case

_case = partial(Case, work="calls", options={"total": 200}, rounds=9, floor="")

BENCHMARK = Benchmark(
    "features",
    "Cost of features",
    [
        _case(
            name="watched",
            title="a call with an observer, a rate limit and a budget",
            path="plain/40",
            subjects=["acechat", "acechat, watched"],
        ),
        _case(
            name="typed",
            title="a call with output_type, a struct; without it, the same text",
            path="answer/40",
            subjects=["acechat", "acechat, output_type"],
        ),
        _case(
            name="run",
            title="a run of two turns with one tool, and its two calls by hand",
            path="tool/40",
            subjects=["acechat, two calls", "acechat, run"],
            ours="acechat, two calls",
        ),
    ],
)

if __name__ == "__main__":
    from benchmarks.__main__ import main

    main(["features"])
