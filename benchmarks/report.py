"""Results → tables, the verdict on each bar, and a chart: no figure is written by hand.

``python -m benchmarks.report`` writes the results of results.json into docs/benchmarks.md, between
the markers, and draws docs/benchmarks.svg and docs/growth.svg.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks.bars import BARS, Bar, Cell, Results
from benchmarks.chart import draw, figure
from benchmarks.growth_chart import draw_growth
from benchmarks.subjects import SUBJECTS

_HERE = Path(__file__).parent
RESULTS = _HERE / "results.json"
PAGE = _HERE.parent / "docs" / "benchmarks.md"
GROWTH = _HERE.parent / "docs" / "growth.svg"
CHART = _HERE.parent / "docs" / "benchmarks.svg"

Row = Sequence[str]

_NO_MERIT = {"busy", "server", "modules"}
"""Measures that explain others and are not compared."""


def _table(rows: Iterable[Row]) -> str:
    """Return a Markdown table with even columns; the first row is its head."""
    written = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*written, strict=True)]
    lines = [
        "| "
        + " | ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        + " |"
        for row in written
    ]
    ruler = "|".join(
        "-" * (width + 1) + (":" if number else "-") for number, width in enumerate(widths)
    )
    return "\n".join([lines[0], f"|{ruler}|", *lines[1:]])


def _over(top: float | None, bottom: float | None) -> float | None:
    return top / bottom if top is not None and bottom else None


def _case(case: dict[str, Any]) -> str:
    """Return the table of one case, the cheapest first."""
    shown: dict[str, str] = case["shown"]
    main = next(iter(shown))
    upwards = main != "per_second"
    rows: dict[str, dict[str, Any]] = case["rows"]
    floor, ours = (rows.get(case[key], {}).get(main) for key in ("floor", "ours"))
    head = ["", *shown.values(), *(["× floor"] if floor is not None else []), "× acechat"]
    ranked = sorted(rows, key=lambda name: rows[name].get(main, 1e99) * (1 if upwards else -1))
    table: list[Row] = [head]
    for name in ranked:
        row = rows[name]
        if "failed" in row:
            table.append([name, "failed", *[""] * (len(head) - 2)])
            continue
        ratios = [figure(_over(row[main], floor))] if floor is not None else []
        measured = [figure(row.get(measure)) for measure in shown]
        label = f"**{name}**" if name == case["ours"] else name
        table.append([label, *measured, *ratios, figure(_over(row[main], ours))])
    failures = [f"{name} failed: {row['failed']}" for name, row in rows.items() if "failed" in row]
    return "\n\n".join([f"{case['title']}:", _table(table), *failures])


def _growth(cases: list[dict[str, Any]]) -> str:
    """Return one table with *cases* of one group as rows."""
    main = next(iter(cases[0]["shown"]))
    names = list(dict.fromkeys(name for case in cases for name in case["rows"]))
    table: list[Row] = [["", *names]]
    for case in cases:
        rows = case["rows"]
        figures = [
            "failed" if "failed" in rows.get(name, {}) else figure(rows.get(name, {}).get(main))
            for name in names
        ]
        table.append([case["at"], *figures])
    failures = {
        f"{name} failed: {row['failed']}"
        for case in cases
        for name, row in case["rows"].items()
        if "failed" in row
    }
    return "\n\n".join([f"{cases[0]['group']}:", _table(table), *sorted(failures)])


def tables(results: Results) -> str:
    """Return the tables of all benchmarks."""

    def parts() -> Iterator[str]:
        for benchmark in results["benchmarks"].values():
            yield f"### {benchmark['title']}"
            for group, cases in groupby(benchmark["cases"].values(), lambda case: case["group"]):
                if group:
                    yield _growth([*cases])
                else:
                    yield from map(_case, cases)

    return "\n\n".join(parts())


def _verdict(bar: Bar, results: Results) -> str:
    return {True: "met", False: "**missed**", None: "not measured"}[bar.met(results)]


def _exact(value: float | None) -> str:
    """Format with four digits instead of three: a bar may be missed narrowly."""
    return "" if value is None else f"{value:.4g}"


def verdicts(results: Results) -> str:
    """Return the table of the bars with their verdicts."""
    rows = [
        [
            bar.title,
            bar.limit,
            _exact(bar.figure(results)),
            _verdict(bar, results),
            _exact(bar.by_hand(results)),
        ]
        for bar in BARS
    ]
    met = sum(bar.met(results) is True for bar in BARS)
    measured = sum(bar.met(results) is not None for bar in BARS)
    table = _table([["", "bar", "measured", "", "aiohttp + msgspec"], *rows])
    return f"{met} of {measured} bars met.\n\n{table}"


def losses(results: Results) -> str:
    """Return the measures in which a peer was better than acechat."""

    def lost() -> Iterator[str]:
        for benchmark in results["benchmarks"].values():
            for case in benchmark["cases"].values():
                ours = case["rows"].get(case["ours"], {})
                rivals = {
                    name: row
                    for name, row in case["rows"].items()
                    if not name.startswith(("floor", "acechat"))
                }
                for measure, unit in case["shown"].items():
                    if measure in _NO_MERIT or measure not in ours:
                        continue
                    better = [
                        f"{name} {figure(row[measure])}"
                        for name, row in rivals.items()
                        if measure in row and _better(measure, row[measure], ours[measure])
                    ]
                    if better:
                        figures = f"acechat {figure(ours[measure])}, {', '.join(better)}"
                        yield f"* {benchmark['title']}: {case['title']}, {unit}: {figures}"

    return "\n".join(lost()) or "None in this run."


def _better(measure: str, theirs: float, ours: float) -> bool:
    return theirs > ours if measure == "per_second" else theirs < ours


_CORE = ["acechat", "aiohttp + msgspec", "openai"]
_RATE = 50
"""Tokens per second of a fast model."""


def core(results: Results) -> str:
    """Return the table of what one core serves."""

    def row(name: str) -> Row:
        chunk = Cell("live", "core", name).read(results)
        return [
            name,
            figure(chunk and 1e6 / (_RATE * chunk)),
            figure(Cell("call", "at_once", name, "per_second").read(results)),
            figure(Cell("rows", "rows", name, "per_second").read(results)),
        ]

    head = ["", "streams of 50 tokens/s", "calls per second", "rows per second of a bulk run"]
    rows = [row(name) for name in _CORE]
    return _table([head, *rows]) if any(any(each[1:]) for each in rows) else "Not measured."


_GAINS = [
    ("a chunk of a backlog, µs of CPU", Cell("chunk", "events", "acechat")),
    ("a live chunk, one write each, µs of CPU", Cell("chunk", "writes", "acechat")),
    ("a chunk of 200 live streams, µs of CPU", Cell("live", "live", "acechat")),
    ("a call, µs of CPU", Cell("call", "sequential", "acechat")),
    ("a call with an image of 768 KB, µs of CPU", Cell("call", "image", "acechat")),
    ("time to the first text, ms", Cell("first", "first", "acechat", "first_p50")),
    ("the same, 200 streams at once, p99, ms", Cell("live", "live", "acechat", "first_p99")),
    ("an open stream, KB", Cell("open_streams", "held", "acechat", "kb")),
    ("import and first client, ms of CPU", Cell("imports", "first", "acechat", "cpu_ms")),
]


def gains(results: Results) -> str:
    """Return the table of the main figures beside openai, and aiohttp and msgspec by hand."""
    others = ["openai", "aiohttp + msgspec"]
    rows: list[Row] = [["", "acechat", *[part for name in others for part in (name, "×")]]]
    for title, cell in _GAINS:
        ours = cell.read(results)
        theirs = [cell._replace(subject=name).read(results) for name in others]
        shown = [part for value in theirs for part in (figure(value), figure(_over(value, ours)))]
        rows.append([title, figure(ours), *shown])
    return _table(rows)


def conditions(results: Results) -> str:
    """Return the machine and the versions of the run."""
    machine = results["machine"]
    pinned = ", clients pinned to one core, the server to another" if machine["pinned"] else ""
    if machine.get("realtime"):
        pinned += ", at real-time priority"
    if load := machine.get("load"):
        pinned += f", beside other work (load {load})" if load > 2 else ""
    names = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    notes = [f"{name}: {subject.note}" for name, subject in SUBJECTS.items() if subject.note]
    missing = [f"{name} is missing: {why}" for name, why in results["missing"].items()]
    where = (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}, "
        f"Python {machine['python']}{pinned}; {results['minutes']} minutes."
    )
    return "\n\n".join([f"{where} {names}.", "; ".join(notes) + ".", *missing])


def written(page: str, results: Results) -> str:
    """Return *page* with the parts between its markers made from *results*."""
    parts = {
        "gains": gains(results),
        "core": core(results),
        "conditions": conditions(results),
        "bars": verdicts(results),
        "losses": losses(results),
        "tables": tables(results),
    }
    for name, text in parts.items():
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        before, found, rest = page.partition(begin)
        _, ended, after = rest.partition(end)
        if not found or not ended:
            raise ValueError(f"the page has no markers <!-- {name} --> and <!-- end of {name} -->")
        page = f"{before}{begin}\n\n{text}\n\n{end}{after}"
    return page


def write(results: Results) -> None:
    """Write the page and the charts."""
    PAGE.write_text(written(PAGE.read_text(), results))
    CHART.write_text(draw(results))
    GROWTH.write_text(draw_growth(results))


if __name__ == "__main__":
    write(json.loads(RESULTS.read_text()))
