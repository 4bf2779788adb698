"""Plots as inline SVG. Their labels are HTML: the drawing stretches, the text does not. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import floor, isnan, log10

from msgspec import Struct

from acechat.batch.report.timeline import Slot

__all__ = ["Series", "clock", "duration", "number", "plot"]

_HEIGHT = 100
_LARGE = 1000
"""Numbers from here on have no decimals."""

_MINUTE = 60


class Series(Struct, frozen=True):
    """A line of a plot."""

    label: str
    values: Sequence[float]
    """One for each slot; nan where there is none."""

    style: str
    """Class of its line: ``"a"``, ``"b"`` or ``"c"``."""


def plot(
    title: str,
    series: Sequence[Series],
    ticks: Sequence[str],
    *,
    unit: str = "",
    slots: Sequence[Slot] = (),
) -> str:
    """Return a plot of at least one value.

    Args:
        title: Its heading.
        series: The lines, all with the same number of values.
        ticks: Labels below, from the left end to the right.
        unit: Unit of the values.
        slots: The time, if that is on the axis: outages and starts are marked.
    """
    size = len(series[0].values)
    top = _ceiling(max((each for one in series for each in one.values if each > 0), default=1.0))
    marks = [
        f'<path class="down" d="M{at} 0h1v{_HEIGHT}h-1z"/>'
        for at, slot in enumerate(slots)
        if slot.down
    ]
    marks += [
        f'<path class="cut" d="M{at} 0v{_HEIGHT}"/>' for at, slot in enumerate(slots) if slot.cut
    ]
    lines = [
        f'<path class="line {one.style}" d="{_steps(one.values, top)}"/>'
        for one in reversed(series)
    ]
    legend = [f'<li class="{one.style}">{escape(one.label)}</li>' for one in series]
    if any(slot.down for slot in slots):
        legend.append('<li class="down">service down</li>')
    if any(slot.cut for slot in slots):
        legend.append('<li class="cut">new start</li>')
    labels = "".join(f"<span>{number(each)}</span>" for each in (top, top / 2, 0))
    return (
        f'<figure><figcaption><h2>{escape(title)}</h2><ul class="legend">{"".join(legend)}</ul>'
        f'</figcaption><div class="plot"><div class="values">{labels}</div>'
        f'<svg viewBox="0 0 {size} {_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(title)}, at most {number(_most(series))} {escape(unit)}">'
        f'<path class="grid" d="M0 0h{size}M0 {_HEIGHT // 2}h{size}M0 {_HEIGHT}h{size}"/>'
        f"{''.join(marks)}{''.join(lines)}</svg>"
        f'<div class="ticks">{"".join(f"<span>{escape(each)}</span>" for each in ticks)}</div>'
        "</div></figure>"
    )


def _most(series: Sequence[Series]) -> float:
    return max((each for one in series for each in one.values if not isnan(each)), default=0.0)


def _steps(values: Sequence[float], top: float) -> str:
    """Return the path of a line with one step for each value."""
    path, drawn = "", False
    for at, value in enumerate(values):
        if not isnan(value):
            y = f"{_HEIGHT - _HEIGHT * value / top:.4g}"
            path += f"V{y}H{at + 1}" if drawn else f"M{at} {y}H{at + 1}"
        drawn = not isnan(value)
    return path


def _ceiling(value: float) -> float:
    """Return the next number of the form 1, 2, 3 or 5 times a power of ten."""
    power = 10.0 ** floor(log10(value))
    return next((step * power for step in (1, 2, 3, 5) if value <= step * power), 10 * power)


def number(value: float) -> str:
    """Return *value* with at most three significant digits."""
    if value >= _LARGE or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def clock(seconds: float) -> str:
    """Return a time since the start: ``"1.5 s"``, ``"2:05"``, ``"3:10:00"``."""
    if seconds < _MINUTE:
        return duration(seconds)
    minutes, rest = divmod(round(seconds), _MINUTE)
    hours, minutes = divmod(minutes, _MINUTE)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def duration(seconds: float) -> str:
    """Return a duration in a short form: ``"1.5 s"``, ``"2 min 5 s"``, ``"3 h 10 min"``."""
    if seconds < 1:
        return f"{number(round(seconds * 1000, 1))} ms" if seconds else "0 s"
    if seconds < _MINUTE:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), _MINUTE)
    hours, minutes = divmod(minutes, _MINUTE)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s"
