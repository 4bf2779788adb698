"""Plausible texts and numbers within the limits of a JSON Schema."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from acechat.emulator.content.pattern import text_matching

__all__ = ["number", "text"]

_FORMATS: dict[str, str] = {
    "date-time": "2026-01-{day:02}T09:30:00Z",
    "date": "2026-01-{day:02}",
    "time": "09:{day:02}:00Z",
    "duration": "P{day}D",
    "email": "ada{number}@example.com",
    "idn-email": "ada{number}@example.com",
    "hostname": "www{number}.example.com",
    "idn-hostname": "www{number}.example.com",
    "ipv4": "192.0.2.{day}",
    "ipv6": "2001:db8::{day}",
    "uri": "https://example.com/{number}",
    "url": "https://example.com/{number}",
    "uri-reference": "https://example.com/{number}",
    "iri": "https://example.com/{number}",
    "iri-reference": "https://example.com/{number}",
    "uri-template": "https://example.com/{{id}}/{number}",
    "uuid": "3f2504e0-4f89-41d3-9a0c-0305e82c{day:04}",
    "json-pointer": "/items/{day}",
    "relative-json-pointer": "{day}/items",
    "regex": "^[a-z]{{{day}}}$",
    "byte": "ZXhhbXBsZQ==",
}
"""Format -> text; ``{number}`` is empty for the first, ``{day}`` is 1 to 28."""

_TEXTS = {
    "address": "12 Main Street",
    "answer": "42",
    "author": "Ada Lovelace",
    "category": "general",
    "city": "Paris",
    "color": "blue",
    "colour": "blue",
    "comment": "It works as expected.",
    "company": "Example Ltd",
    "country": "France",
    "currency": "EUR",
    "date": "2026-01-16",
    "day": "Monday",
    "description": "A short description.",
    "email": "ada@example.com",
    "file": "report.txt",
    "first_name": "Ada",
    "id": "a1",
    "language": "English",
    "last_name": "Lovelace",
    "location": "Paris",
    "message": "Hello!",
    "name": "Ada Lovelace",
    "path": "/tmp/report.txt",  # noqa: S108 - a text
    "phone": "+33 1 23 45 67 89",
    "query": "weather in Paris",
    "reason": "It fits best.",
    "status": "ok",
    "street": "12 Main Street",
    "summary": "A short summary.",
    "text": "An example text.",
    "time": "09:30",
    "title": "An example",
    "unit": "celsius",
    "url": "https://example.com/",
    "username": "ada",
    "zip": "75001",
}
"""Name of a property, or its last word -> a text."""

_NUMBERS = {
    "age": 36,
    "amount": 20,
    "confidence": 0.9,
    "day": 16,
    "hour": 9,
    "latitude": 48.85,
    "longitude": 2.35,
    "minute": 30,
    "month": 1,
    "percent": 50,
    "price": 9.99,
    "probability": 0.9,
    "score": 0.9,
    "temperature": 21,
    "total": 20,
    "year": 2026,
}

_MAX_WRITTEN = 1e15
"""Beyond it, a float is an integer with other digits than those that are written."""

_WORD = re.compile(r"[a-z]+|[A-Z][a-z]*")


def _named(table: Mapping[str, Any], name: str) -> Any:
    """Return the entry of *name*, or of its last word, such as city in homeCity."""
    words = _WORD.findall(name)
    return table.get(name.lower(), table.get(words[-1].lower()) if words else None)


def text(rules: Mapping[str, Any], name: str, number: int, longest: int) -> str:
    """Return a text for the property *name* with at most *longest* characters.

    Args:
        rules: The schema, with ``patterns``, a list, and ``unchecked``, a slow pattern.
        name: The name of the property; ``""`` if there is none.
        number: 0 for the usual text; each other number gives another one.
        longest: Limit of the length; it prevails over ``minLength``.
    """
    least = min(int(rules.get("minLength", 0)), longest)
    most = min(int(rules.get("maxLength", longest)), longest)
    for pattern in rules.get("patterns", ()):
        found = text_matching(pattern, least, most, number)
        if found is not None and all(re.search(each, found) for each in rules["patterns"]):
            return found
    if "unchecked" in rules:
        found = text_matching(rules["unchecked"], least, most, number, search=False)
        if found is not None:
            return found
    form = _FORMATS.get(str(rules.get("format")))
    suffix = str(number + 1) if number else ""
    formatted = form.format(day=1 + (15 + number) % 28, number=suffix) if form else ""
    if form and least <= len(formatted) <= most:
        return formatted
    words = f"example {name}".rstrip()
    chosen = _named(_TEXTS, name) or words
    plain = f"{chosen} {suffix}".rstrip()
    if len(plain) > most:
        plain = (chosen[: max(0, most - len(suffix))] + suffix)[:most]
    padding = -(-(least - len(plain)) // 8) * " example"
    return (plain + padding)[: max(len(plain), least)]


def number(rules: Mapping[str, Any], name: str, distance: int, *, whole: bool) -> float:
    """Return a number for the property *name* within the limits of *rules*.

    Args:
        rules: The schema.
        name: The name of the property; ``""`` if there is none.
        distance: 0 for the usual number; each other number gives another one, if there is one.
        whole: Whether it must be an integer.
    """
    wanted = Fraction(_named(_NUMBERS, name) or (1 if whole else 1.5)) + distance
    step = _fraction(rules["multipleOf"]) if "multipleOf" in rules else None
    if whole:
        step = Fraction(1 if step is None else step.numerator)
    low, low_open = _bound(rules, "minimum", "exclusiveMinimum", max)
    high, high_open = _bound(rules, "maximum", "exclusiveMaximum", min)
    if step is None:
        return _plain(_between(wanted, (low, low_open), (high, high_open)))
    first = None if low is None else math.ceil(low / step)
    last = None if high is None else math.floor(high / step)
    if first is not None and low_open and first * step == low:
        first += 1
    if last is not None and high_open and last * step == high:
        last -= 1
    times = round(wanted / step) + (distance if step > 1 else 0)
    if last is not None and times > last:
        times = last - distance
    if first is not None and times < first:
        times = first + distance
    exact = (each * step for each in (times, *range(times + 1, times + 9)))
    # 0.3 is a multiple of 0.1, but 0.3 / 0.1 is not an integer.
    usable = [each for each in exact if whole or (_plain(each) / float(step)).is_integer()]
    return _plain(usable[0] if usable else times * step)


def _fraction(value: float) -> Fraction:
    """Return *value* as it is written: 0.1 is a tenth."""
    return Fraction(value) if abs(value) > _MAX_WRITTEN else Fraction(str(value))


def _bound(
    rules: Mapping[str, Any], inclusive: str, exclusive: str, choose: Any
) -> tuple[Fraction | None, bool]:
    """Return the tighter one of two limits, and whether it is excluded."""
    both = [
        (_fraction(rules[key]), key == exclusive) for key in (inclusive, exclusive) if key in rules
    ]
    if not both:
        return None, False
    tightest = choose(limit for limit, _ in both)
    return tightest, (tightest, True) in both


def _between(
    wanted: Fraction, low: tuple[Fraction | None, bool], high: tuple[Fraction | None, bool]
) -> Fraction:
    (least, least_open), (most, most_open) = low, high
    above = least is None or wanted > least or (wanted == least and not least_open)
    below = most is None or wanted < most or (wanted == most and not most_open)
    if above and below:
        return wanted
    if least is not None and most is not None:
        if not (least_open or most_open):
            return least if not above else most
        return (least + most) / 2
    limit, is_open, sign = (most, most_open, -1) if least is None else (least, least_open, 1)
    limit = limit or Fraction(0)
    return limit + sign * (1 + abs(limit) // 2**52 if is_open else 0)


def _plain(value: Fraction) -> float:
    return value.numerator if value.denominator == 1 else float(value)
