"""Results → one small chart of each growth, with logarithmic axes: a straight line is linear."""

from __future__ import annotations

import math
from html import escape
from itertools import groupby
from typing import Any

from benchmarks.bars import Results
from benchmarks.chart import figure

_COLOURS = {"acechat": "ours", "floor": "floor"}
_WIDTH, _HEIGHT, _GAP = 400, 190, 24
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 116, 34, 34
_STYLE = """
text { font: 12px system-ui, sans-serif; fill: #57606a }
.title { font-weight: 600; fill: #24292f }
text.ours { font-weight: 600; fill: #1a7f5a }
path { fill: none; stroke-width: 1.5; stroke: #8c959f }
path.ours { stroke: #1a7f5a; stroke-width: 2.5 } path.floor { stroke-dasharray: 4 3 }
path.axis { stroke: #d0d7de; stroke-width: 1 }
@media (prefers-color-scheme: dark) {
  text { fill: #9198a1 } .title { fill: #f0f6fc } text.ours { fill: #3fb984 }
  path.ours { stroke: #3fb984 } path.axis { stroke: #3d444d }
}
"""

Point = tuple[float, float]


def draw_growth(results: Results) -> str:
    """Return the charts of all groups of the benchmark ``growth`` with 3 sizes or more."""
    cases = results["benchmarks"].get("growth", {}).get("cases", {})
    groups = [
        (group, [*members])
        for group, members in groupby(cases.values(), lambda case: str(case["group"]))
    ]
    drawn = [(group, members) for group, members in groups if len(members) >= 3]
    panels = [
        _panel(group, members, number % 2 * (_WIDTH + _GAP), number // 2 * (_HEIGHT + _GAP))
        for number, (group, members) in enumerate(drawn)
    ]
    height = math.ceil(len(drawn) / 2) * (_HEIGHT + _GAP)
    return "\n".join(
        [
            '<svg xmlns="http://www.w3.org/2000/svg" role="img"',
            f'  viewBox="0 0 {2 * _WIDTH + _GAP} {height}"',
            '  aria-label="How costs grow">',
            f"<style>{_STYLE}</style>",
            *panels,
            "</svg>\n",
        ]
    )


def _panel(group: str, cases: list[dict[str, Any]], left: int, top: int) -> str:
    unit = next(iter(cases[0]["shown"].items()))
    lines: dict[str, list[Point]] = {}
    for case in cases:
        at = float(str(case["at"]).replace(",", ""))
        for name, row in case["rows"].items():
            if unit[0] in row:
                lines.setdefault(name, []).append((at, float(row[unit[0]])))
    if not lines:
        return ""
    xs, ys = zip(*[point for points in lines.values() for point in points], strict=True)
    across = _Scale(xs, left + _LEFT, left + _WIDTH - _RIGHT)
    up = _Scale(ys, top + _HEIGHT - _BOTTOM, top + _TOP)
    bottom, right = top + _HEIGHT - _BOTTOM, left + _WIDTH - _RIGHT
    drawn = [
        f'<text class="title" x="{left}" y="{top + 14}">{escape(group)}</text>',
        f'<path class="axis" d="M{left + _LEFT} {top + _TOP}V{bottom}H{right}"/>',
        *_ends(xs, lambda x: f'x="{across(x):.0f}" y="{bottom + 16}" text-anchor="middle"'),
        *_ends(ys, lambda y: f'x="{left + _LEFT - 6}" y="{up(y) + 4:.0f}" text-anchor="end"'),
    ]
    taken: list[float] = []
    for name, points in sorted(lines.items(), key=lambda line: -line[1][-1][1]):
        kind = _COLOURS.get(name, "peer")
        route = "L".join(f"{across(x):.0f} {up(y):.1f}" for x, y in points)
        y = up(points[-1][1]) + 4
        y = max([y, *(other + 13 for other in taken)])  # the labels must not overlap
        taken.append(y)
        drawn += [
            f'<path class="{kind}" d="M{route}"/>',
            f'<text class="{kind}" x="{right + 6}" y="{y:.0f}">{escape(name)}</text>',
        ]
    note = f'<text x="{left}" y="{top + _HEIGHT - 2}">{escape(unit[1])}</text>'
    return "\n".join([*drawn, note])


def _ends(values: tuple[float, ...], place: Any) -> list[str]:
    return [f"<text {place(value)}>{figure(value)}</text>" for value in (min(values), max(values))]


class _Scale:
    """Maps values to coordinates, logarithmically."""

    def __init__(self, values: tuple[float, ...], start: float, end: float) -> None:
        self._low = math.log(min(values))
        self._range = (math.log(max(values)) - self._low) or 1.0
        self._start, self._end = start, end

    def __call__(self, value: float) -> float:
        share = (math.log(value) - self._low) / self._range
        return self._start + share * (self._end - self._start)
