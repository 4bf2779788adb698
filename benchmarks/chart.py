"""Results → an SVG for light and dark backgrounds."""

from __future__ import annotations

from html import escape

from benchmarks.bars import Cell, Results

_PANELS = [
    ("One streamed chunk of a backlog", "chunk", "events", "cpu", "µs of CPU"),
    ("One chunk of 200 live streams", "live", "live", "cpu", "µs of CPU"),
    ("One plain call", "call", "sequential", "cpu", "µs of CPU"),
    ("Memory of an open stream", "open_streams", "held", "kb", "KB"),
]
_SUBJECTS = [
    "floor",
    "acechat",
    "aiohttp + json",
    "httpx + json",
    "acedatacloud",
    "anthropic",
    "openai",
]
_WIDTH, _LINE, _HEAD, _LABEL, _VALUE = 400, 22, 56, 112, 100
_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #57606a }
.title { font-weight: 600; fill: #24292f }
.ours { font-weight: 600; fill: #24292f }
rect { fill: #afb8c1 }
rect.floor { fill: #d8dee4 }
rect.ours { fill: #1a7f5a }
@media (prefers-color-scheme: dark) {
  text { fill: #9198a1 } .title, .ours { fill: #f0f6fc }
  rect { fill: #59636e } rect.floor { fill: #3d444d } rect.ours { fill: #3fb984 }
}
"""


def figure(value: float | None) -> str:
    """Format *value* with three significant digits; None: no text."""
    if value is None:
        return ""
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def draw(results: Results) -> str:
    """Return the chart."""
    panels = [
        _panel(results, panel, number % 2 * (_WIDTH + 24), number // 2)
        for number, panel in enumerate(_PANELS)
    ]
    height = 2 * (_HEAD + _LINE * len(_SUBJECTS)) + 30
    note = (
        "Shorter is better. Floor: a bare event loop with typed decode, an ideal. "
        "More in the tables."
    )
    return "\n".join(
        [
            '<svg xmlns="http://www.w3.org/2000/svg" role="img"',
            f'  viewBox="0 0 {2 * _WIDTH + 24} {height}"',
            '  aria-label="Costs of acechat and its peers">',
            f"<style>{_STYLE}</style>",
            *panels,
            f'<text x="0" y="{height - 8}">{note}</text>',
            "</svg>\n",
        ]
    )


def _panel(results: Results, panel: tuple[str, str, str, str, str], left: int, row: int) -> str:
    title, benchmark, case, measure, unit = panel
    top = row * (_HEAD + _LINE * len(_SUBJECTS))
    values = {
        name: value
        for name in _SUBJECTS
        if (value := Cell(benchmark, case, name, measure).read(results)) is not None
    }
    if not values:
        return ""
    scale = (_WIDTH - _LABEL - _VALUE) / max(values.values())
    ours = values.get("acechat")
    drawn = [f'<text class="title" x="{left}" y="{top + 22}">{escape(title)}, {unit}</text>']
    for number, (name, value) in enumerate(values.items()):
        y = top + 36 + number * _LINE
        kind = {"acechat": "ours", "floor": "floor"}.get(name, "peer")
        width = max(value * scale, 2)
        label = figure(value)
        if ours and kind == "peer":
            label += f"  ({figure(value / ours)} ×)"
        drawn += [
            f'<text class="{kind}" x="{left}" y="{y + 13}">{escape(name)}</text>',
            f'<rect class="{kind}" x="{left + _LABEL}" y="{y}"',
            f'  width="{width:.0f}" height="16" rx="2"/>',
            f'<text class="{kind}" x="{left + _LABEL + width + 6:.0f}" y="{y + 13}">{label}</text>',
        ]
    return "\n".join(drawn)
