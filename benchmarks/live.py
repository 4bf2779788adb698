"""200 streams with 100 chunks per second each."""

from __future__ import annotations

from benchmarks.driver import Benchmark, Case
from benchmarks.subjects import MANY, UVLOOP

_STREAMS = {"at_once": 200, "total": 200}
_SHOWN = {
    "cpu": "µs of CPU",
    "times_ideal": "× ideal time",
    "busy": "share of a core",
    "first_p50": "first text, p50 ms",
    "first_p99": "p99 ms",
    "server": "server, share of a core",
}

BENCHMARK = Benchmark(
    "live",
    "200 streams with 100 chunks per second each",
    [
        Case(
            name="live",
            title="the event loop of the standard library",
            path="live/100",
            work="streams",
            options=_STREAMS,
            subjects=MANY,
            shown=_SHOWN,
            ideal=1.0,
            warm=False,
        ),
        Case(
            name="arriving",
            title="the same, one stream started every 5 ms",
            path="live/100",
            work="streams",
            options={"total": 400, "apart": 5000},
            subjects=MANY,
            shown=_SHOWN,
            ideal=3.0,
            warm=False,
            rounds=3,
        ),
        Case(
            name="uvloop",
            title="uvloop",
            path="live/100",
            work="streams",
            options=_STREAMS,
            subjects=UVLOOP,
            shown=_SHOWN,
            ideal=1.0,
            warm=False,
            floor="floor, uvloop",
            ours="acechat, uvloop",
        ),
        Case(
            name="core",
            title="1,000 streams with 50 chunks per second each",
            path="live,every=20000/100",
            work="streams",
            options={"at_once": 1000, "total": 1000},
            subjects=["floor", "acechat", "aiohttp + msgspec", "openai"],
            one_round=("openai",),
            shown=_SHOWN,
            rounds=3,
            ideal=2.0,
            warm=False,
        ),
    ],
)

if __name__ == "__main__":
    from benchmarks.__main__ import main

    main(["live"])
