"""The page of a report: one HTML document without scripts, which loads nothing. No I/O."""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from html import escape
from itertools import accumulate

from msgspec import Struct

from acechat.batch.report.plots import Series, clock, duration, number, plot
from acechat.batch.report.quantiles import bucket_end, quantiles
from acechat.batch.report.timeline import Slot, Timeline
from acechat.batch.results import BatchSummary

__all__ = ["Report", "render"]

_STYLE = """
:root { color-scheme: light dark; --text: #1f2328; --dim: #59636e; --back: #fff; --edge: #d1d9e0;
  --a: #0969da; --b: #bc4c00; --c: #8250df; --down: #ffd8d3 }
@media (prefers-color-scheme: dark) { :root { --text: #f0f6fc; --dim: #9198a1; --back: #0d1117;
  --edge: #3d444d; --a: #4493f8; --b: #f0883e; --c: #ab7df8; --down: #67241f } }
body { margin: 0; color: var(--text); background: var(--back);
  font: 15px/1.5 system-ui, sans-serif }
main { max-width: 60rem; margin: auto; padding: 1rem }
h1 { font-size: 1.4rem; overflow-wrap: anywhere } h2 { font-size: 1rem; margin: 0 }
p, dt, th, .values, .ticks, .legend { color: var(--dim) } p { overflow-wrap: anywhere }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(8rem, 1fr)); gap: .5rem }
dl div { border: 1px solid var(--edge); border-radius: 6px; padding: .4rem .6rem }
dt { font-size: .8rem } dd { margin: 0; overflow-wrap: anywhere;
  font-variant-numeric: tabular-nums }
figure { margin: 1.5rem 0 } figcaption { display: flex; flex-wrap: wrap; gap: .2rem 1rem }
.legend { display: flex; flex-wrap: wrap; gap: 0 1rem; margin: 0; padding: 0; list-style: none }
.legend li::before { content: ""; display: inline-block; width: 1.4em; margin-right: .4em;
  vertical-align: middle; border-top: 2px solid var(--line) }
.a { --line: var(--a) } .b { --line: var(--b) } .c { --line: var(--c) } .cut { --line: var(--dim) }
.legend .b::before { border-top-style: dashed } .legend .c::before { border-top-style: dotted }
.legend .down::before { border-top: .8em solid var(--down) }
.legend .cut::before { border: 0; border-left: 1px dashed var(--dim); width: 0; height: 1em }
.plot { display: grid; grid-template-columns: 3.5rem 1fr; font-size: .8rem; margin-top: .8rem }
.values { display: flex; flex-direction: column; justify-content: space-between; text-align: right;
  padding-right: .5rem; margin: -.6rem 0 } .ticks { grid-column: 2; display: flex;
  justify-content: space-between; padding-top: .3rem; white-space: nowrap }
svg { width: 100%; height: 9rem; display: block; overflow: visible }
path { fill: none; stroke-width: 1.5px; vector-effect: non-scaling-stroke }
.line { stroke: var(--line) } .line.b { stroke-dasharray: 5 3 } .line.c { stroke-dasharray: 2 2 }
.grid { stroke: var(--edge); stroke-width: 1px } path.down { fill: var(--down);
  shape-rendering: crispEdges }
path.cut { stroke: var(--dim); stroke-dasharray: 3 3; stroke-width: 1px }
.table { overflow-x: auto }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1.5rem }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem .3rem 0;
  overflow-wrap: anywhere; border-top: 1px solid var(--edge) }
td { min-width: 4.5rem } th { font-weight: normal }
"""

_SHARES = (0.5, 0.9, 0.99)
_TICKS = 4
_LONGEST_TEXT = 300


class Report(Struct, frozen=True, kw_only=True):
    """Everything that the page shows."""

    name: str
    """Name of the output."""

    summary: BatchSummary
    timeline: Timeline
    now: float
    """Time of the report, in seconds since 1970."""


def render(report: Report) -> str:
    """Return the page."""
    slots = report.timeline.slots()
    name = _text(report.name)
    digest = b64encode(sha256(_STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>Batch report: {name}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>Batch report: <bdi>{name}</bdi></h1>\n<p>{_times(slots, report.now)}</p>\n"
        f"{_figures(report, slots)}\n{_plots(report, slots)}\n{_errors(report.summary)}\n"
        f"{_longest(report.timeline)}\n</main>\n</body>\n</html>\n"
    )


def _text(text: str) -> str:
    """Return *text* as HTML: shortened, without invisible characters."""
    short = text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"
    return escape("".join(map(_visible, short)))


def _visible(character: str) -> str:
    if character.isprintable():
        return character
    return " " if character.isspace() else "\ufffd"


def _times(slots: list[Slot], now: float) -> str:
    made = f"Report of {_clock(now)}."
    if not slots:
        return f"{made} No request has been recorded with its time."
    return (
        f"{made} Requests from {_clock(slots[0].first)} to {_clock(slots[-1].last)}. Latencies are "
        "those of completed rows' last requests, exact to 2 %."
    )


def _clock(time: float) -> str:
    try:
        return f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, ValueError, OSError):
        return "an unknown time"


def _figures(report: Report, slots: list[Slot]) -> str:
    summary, usage = report.summary, report.summary.usage
    seconds = sum(slot.seconds for slot in slots)
    finished = sum(slot.done + slot.failed for slot in slots)
    down = sum(slot.down for slot in slots)
    rows = {"done": summary.done, "failed": summary.failed, "unknown": summary.unknown}
    if summary.total is not None:
        rows["not sent"] = max(0, summary.total - sum(rows.values()))
    figures = {f"rows {name}": f"{count:,}" for name, count in rows.items()}
    figures["tokens"] = f"{usage.total_tokens:,}"
    if usage.cost is not None:
        figures["cost"] = f"{usage.cost:f} {usage.currency or 'credits'}"
    figures["duration"] = duration(seconds)
    figures["starts"] = f"{sum(slot.starts for slot in slots):,}"
    if seconds:
        figures["rows per second"] = number(finished / seconds)
    for name, latency in zip(_SHARES, quantiles(_latencies(slots), _SHARES), strict=True):
        if latency == latency:  # noqa: PLR0124 - not nan
            figures[f"latency p{name * 100:.0f}"] = duration(latency)
    figures["requests refused"] = f"{sum(slot.refused for slot in slots):,}"
    figures["requests failed"] = f"{sum(slot.broken for slot in slots):,}"
    figures["outages"] = f"{report.timeline.outages:,}" + (f", {duration(down)}" if down else "")
    items = [
        f"<div><dt>{_text(name)}</dt><dd>{_text(each)}</dd></div>" for name, each in figures.items()
    ]
    return f"<dl>{''.join(items)}</dl>"


def _latencies(slots: list[Slot]) -> Counter[int]:
    counts: Counter[int] = Counter()
    for slot in slots:
        counts.update(slot.latencies)
    return counts


def _plots(report: Report, slots: list[Slot]) -> str:
    if not slots:
        return ""
    width = report.timeline.width
    ticks = [clock(len(slots) * width * at / _TICKS) for at in range(_TICKS + 1)]

    def rates(name: str) -> list[float]:
        # a slot that is covered in part, the first or last of a start, has less than its width
        return [getattr(each, name) / max(each.seconds, width / 2) for each in slots]

    def over_time(title: str, unit: str, *series: Series) -> str:
        return plot(title, series, ticks, unit=unit, slots=slots)

    by_share = zip(*(quantiles(each.latencies, _SHARES) for each in slots), strict=True)
    latencies = [
        Series(f"p{share * 100:.0f}", list(values), style)
        for share, values, style in zip(_SHARES, by_share, "abc", strict=True)
    ]
    usage = report.summary.usage
    title = "Tokens" if usage.cost is None else f"Cost ({usage.currency or 'credits'})"
    spent = accumulate((each.tokens if usage.cost is None else each.cost) for each in slots)
    return "\n".join(
        [
            over_time(
                "Rows per second",
                "rows per second",
                Series("done", rates("done"), "a"),
                Series("failed", rates("failed"), "b"),
            ),
            over_time("Requests at a time", "requests", Series("mean", rates("busy"), "a")),
            over_time("Latency (seconds)", "seconds", *latencies),
            _distribution(_latencies(slots)),
            over_time(
                "Refused and failed requests per second",
                "requests per second",
                Series("refused", rates("refused"), "a"),
                Series("failed", rates("broken"), "b"),
            ),
            over_time(title, "", Series("sum", list(spent), "a")),
        ]
    )


def _distribution(counts: Counter[int]) -> str:
    if not counts:
        return ""
    first, last = min(counts), max(counts)
    values = [float(counts[each]) for each in range(first, last + 1)]
    ends = [first - 1 + (last + 1 - first) * at / _TICKS for at in range(_TICKS + 1)]
    ticks = [duration(bucket_end(each)) for each in ends]
    return plot("Rows by latency", [Series("done", values, "a")], ticks, unit="rows")


def _errors(summary: BatchSummary) -> str:
    counted = sorted(summary.errors.items(), key=lambda item: -item[1].rows)
    rows = [
        (
            code,
            f"{each.rows:,}",
            each.message,
            ", ".join(each.custom_ids),
            ", ".join(each.trace_ids),
        )
        for code, each in counted
    ]
    return _table("Errors", ("code", "rows", "first message", "ids", "trace ids"), rows)


def _longest(timeline: Timeline) -> str:
    rows = [
        (each.custom_id, f"{each.row:,}", duration(each.seconds), each.error or "done")
        for each in sorted(timeline.longest, reverse=True)
    ]
    return _table("Longest rows", ("id", "row", "last request", "result"), rows)


def _table(title: str, head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    if not rows:
        return ""
    names = "".join(f'<th scope="col">{name}</th>' for name in head)
    lines = [
        f"<tr>{''.join(f'<td><bdi>{_text(each)}</bdi></td>' for each in row)}</tr>" for row in rows
    ]
    return (
        f'<h2>{title}</h2><div class="table"><table><thead><tr>{names}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )
