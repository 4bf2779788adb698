"""The goals of acechat: ratios of figures of one run, not absolute times."""

from __future__ import annotations

from typing import Any, NamedTuple

Results = dict[str, Any]


class Cell(NamedTuple):
    """A figure of the results."""

    benchmark: str
    case: str
    subject: str
    measure: str = "cpu"

    def read(self, results: Results) -> float | None:
        """Return the figure; None if it was not measured."""
        cases = results["benchmarks"].get(self.benchmark, {}).get("cases", {})
        row = cases.get(self.case, {}).get("rows", {}).get(self.subject, {})
        value = row.get(self.measure)
        return None if value is None else float(value)


def _by_hand(cell: Cell | None) -> Cell | None:
    return cell and cell._replace(subject=cell.subject.replace("acechat", "aiohttp + msgspec"))


class Bar(NamedTuple):
    """*top* over *bottom*, or *top* alone, is *most* at most or *least* at least."""

    title: str
    top: Cell
    bottom: Cell | None = None
    most: float | None = None
    least: float | None = None

    def figure(self, results: Results) -> float | None:
        """Return the measured ratio or figure; None if it was not measured."""
        top = self.top.read(results)
        if self.bottom is None or top is None:
            return top
        bottom = self.bottom.read(results)
        return top / bottom if bottom else None

    def by_hand(self, results: Results) -> float | None:
        """Return the figure of aiohttp and msgspec in place of acechat; None if not measured."""
        top, bottom = map(_by_hand, (self.top, self.bottom))
        same = (top, bottom) == (self.top, self.bottom)
        return None if same or top is None else Bar("", top, bottom).figure(results)

    def met(self, results: Results) -> bool | None:
        """Return whether the goal was reached; None if it was not measured."""
        figure = self.figure(results)
        if figure is None:
            return None
        if self.most is not None:
            return figure <= self.most
        return self.least is not None and figure >= self.least

    @property
    def limit(self) -> str:
        return f"≤ {self.most:g}" if self.most is not None else f"≥ {self.least:g}"


def _case(
    title: str,
    benchmark: str,
    case: str,
    most: dict[str, float],
    least: dict[str, float],
    *,
    measure: str = "cpu",
    ours: str = "acechat",
) -> list[Bar]:
    """Return the bars of one case: acechat over the floors, and the peers over acechat."""
    us = Cell(benchmark, case, ours, measure)
    return [
        *[
            Bar(f"{title}: × {name}", us, Cell(benchmark, case, name, measure), most=limit)
            for name, limit in most.items()
        ],
        *[
            Bar(f"{title}: {name} / acechat", Cell(benchmark, case, name, measure), us, least=limit)
            for name, limit in least.items()
        ],
    ]


_AT_ONCE = Cell("call", "at_once", "acechat", "per_second")

_ROWS = Cell("rows", "rows", "acechat", "per_second")

BARS = [
    *_case(
        "chunk, one HTTP chunk for each event",
        "chunk",
        "events",
        {"floor": 1.5},
        {"openai": 35, "acedatacloud": 5},
    ),
    *_case(
        "chunk, HTTP chunks of 64 KB",
        "chunk",
        "blocks",
        {"floor": 1.3},
        {"openai": 50, "acedatacloud": 3},
    ),
    *_case("200 live streams", "live", "live", {"floor": 1.5}, {"openai": 4}),
    Bar("200 live streams: × ideal", Cell("live", "live", "acechat", "times_ideal"), most=1.3),
    Bar(
        "200 live streams: openai, × ideal", Cell("live", "live", "openai", "times_ideal"), least=4
    ),
    *_case(
        "first text of 200 streams started at once, p99",
        "live",
        "live",
        {},
        {"openai": 20},
        measure="first_p99",
    ),
    *_case(
        "first text of one stream while 200 run, p99",
        "live",
        "arriving",
        {},
        {"openai": 20},
        measure="first_p99",
    ),
    *_case(
        "200 live streams, uvloop",
        "live",
        "uvloop",
        {"floor, uvloop": 1.8},
        {"openai, uvloop": 6},
        ours="acechat, uvloop",
    ),
    *_case("call", "call", "sequential", {"floor": 3.0, "aiohttp + msgspec": 1.3}, {"openai": 6}),
    *_case("64 calls at once", "call", "at_once", {"floor": 4.0, "aiohttp + msgspec": 1.3}, {}),
    Bar(
        "64 calls at once: calls per second, × openai",
        _AT_ONCE,
        _AT_ONCE._replace(subject="openai"),
        least=12,
    ),
    *_case("response of 200 KB", "call", "long", {"floor": 1.4}, {"openai": 2.5}),
    *_case("request of 1 MB", "call", "image", {"floor": 1.4}, {"openai": 5}),
    *_case(
        "first text, time", "first", "first", {"floor": 2.3}, {"openai": 2.5}, measure="first_p50"
    ),
    *_case(
        "blocking chunk, backlog",
        "blocking",
        "backlog",
        {"floor, blocking": 1.9},
        {"openai, blocking": 35},
        ours="acechat, blocking",
    ),
    *_case(
        "blocking chunk, live",
        "blocking",
        "live",
        {"floor, blocking": 2.2},
        {"openai, blocking": 2.8},
        ours="acechat, blocking",
    ),
    *_case(
        "blocking chunk, live, with uvloop",
        "blocking",
        "live",
        {"floor, blocking": 2.2},
        {"openai, blocking": 2.8},
        ours="acechat[speed], blocking",
    ),
    *_case(
        "blocking call",
        "blocking",
        "calls",
        {"acechat": 2.2},
        {"openai, blocking": 3},
        ours="acechat, blocking",
    ),
    *_case("memory of an open stream", "open_streams", "held", {}, {"openai": 2.5}, measure="kb"),
    Bar("import: aiohttp and anyio", Cell("imports", "import", "acechat", "heavy"), most=0),
    *_case("import", "imports", "import", {}, {"openai": 8}, measure="cpu_ms"),
    *_case("import and first client", "imports", "first", {}, {"openai": 2.5}, measure="cpu_ms"),
    Bar(
        "growth: chunk of a stream of 10⁶, × one of 10⁴",
        Cell("growth", "length-1000000", "acechat"),
        Cell("growth", "length-10000", "acechat"),
        most=1.2,
    ),
    # 64 and 4096 characters of text are 334 and 4366 bytes of event: 13 times as many.
    Bar(
        "growth: 13 × the bytes, one by one",
        Cell("growth", "bytes-4096", "acechat"),
        Cell("growth", "bytes-64", "acechat"),
        most=13 * 1.2,
    ),
    Bar(
        "growth: 8 × the event, in writes of 1 KiB",
        Cell("growth", "huge-8", "acechat"),
        Cell("growth", "huge-1", "acechat"),
        most=8 * 1.2,
    ),
    # In addition, for any size: 128 KiB of flight recorder, 97 KiB in the transport, and the
    # 256 KiB that asyncio reads into.
    Bar(
        "image of 5 MB: copies at the peak",
        Cell("image", "image", "acechat", "copies"),
        most=2.1,
    ),
    Bar("image of 5 MB: ms of blocked loop", Cell("image", "image", "acechat", "blocked"), most=10),
    *_case(
        "live chunk, one write for each event",
        "chunk",
        "writes",
        {"aiohttp + msgspec": 1.0, "floor": 1.35},
        {},
    ),
    *_case(
        "a call with an observer, a rate limit and a budget",
        "features",
        "watched",
        {"acechat": 1.1},
        {},
        ours="acechat, watched",
    ),
    *_case(
        "a call with output_type",
        "features",
        "typed",
        {"acechat": 1.15},
        {},
        ours="acechat, output_type",
    ),
    *_case(
        "a run of two turns",
        "features",
        "run",
        {"acechat, two calls": 1.05},
        {},
        ours="acechat, run",
    ),
    Bar(
        "bulk run: rows per second, × a bare load generator",
        _ROWS,
        _ROWS._replace(subject="floor"),
        least=0.85,
    ),
    Bar("bulk run: MB at the peak", _ROWS._replace(measure="mb"), most=150),
    *_case(
        "command line, time to the first request",
        "command",
        "first",
        {},
        {"llm, command line": 4},
        measure="first_ms",
        ours="acechat, command line",
    ),
    # The next step for figures that have met an older bar.
    *_case("200 live streams, next", "live", "live", {"floor": 1.12}, {}),
    *_case(
        "first text of 200 streams started at once, p99, next",
        "live",
        "live",
        {"floor": 1.1},
        {},
        measure="first_p99",
    ),
    *_case("request of 1 MB, next", "call", "image", {"floor": 1.1}, {}),
    *_case(
        "blocking chunk, live, next",
        "blocking",
        "live",
        {"floor, blocking": 2.0},
        {},
        ours="acechat, blocking",
    ),
    *_case(
        "blocking chunk, live, with uvloop, next",
        "blocking",
        "live",
        {"floor, blocking": 1.6},
        {},
        ours="acechat[speed], blocking",
    ),
    *_case(
        "memory of an open stream, next", "open_streams", "held", {}, {"openai": 3.3}, measure="kb"
    ),
    *_case(
        "import and first client, next", "imports", "first", {}, {"openai": 3.5}, measure="cpu_ms"
    ),
]
"""Absolute are only the copies, the waiting time of other tasks, and the memory of a bulk run."""
