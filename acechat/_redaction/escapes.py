"""Escape sequences of JSON, Python, URLs and HTML for printable ASCII characters."""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import lru_cache

__all__ = ["ESCAPE_MARKS", "MAX_ESCAPE", "TRUNCATED_ESCAPE", "Unescaped", "has_escapes"]

_ENTITIES = {b"amp": b"&", b"lt": b"<", b"gt": b">", b"quot": b'"', b"apos": b"'", b"sol": b"/",
             b"plus": b"+", b"equals": b"=", b"colon": b":"}  # fmt: skip

# Repetitions are bounded: unbounded ones would cost the square of a row of backslashes.
_ESCAPE = re.compile(
    rb"""(?<!\\) \\{1,8} (?: u00([2-7][0-9a-fA-F]) | x([2-7][0-9a-fA-F]) | ([/"']) )
       | % (?:25){0,4} ([2-7][0-9a-fA-F])
       | & (?:amp;){0,2} (?: \#[xX]0{0,4}([2-7][0-9a-fA-F]); | \#0{0,4}([0-9]{2,3});
                           | (amp|lt|gt|quot|apos|sol|plus|equals|colon); )""",
    re.VERBOSE,
)
TRUNCATED_ESCAPE = re.compile(rb"(?:\\{1,8}(?:u0{0,2}[2-7]?|x[2-7]?)?|%(?:25)*[2-7]?|&[#\w;]*)\Z")
MAX_ESCAPE = 24
"""Bytes of a truncated escape sequence that are searched for."""

ESCAPE_MARKS = (b"\\u00", b"\\x", b"%", b"&#", b"&amp;#")
"""Data in which letters and digits are escaped contains one of these."""


def has_escapes(data: bytes) -> bool:
    """Return True if *data* contains an escape sequence."""
    return _ESCAPE.search(data) is not None


class Unescaped:
    """Data with its escape sequences of printable ASCII characters replaced by these."""

    def __init__(self, data: bytes) -> None:
        self._escaped = data
        self.data: bytes = _ESCAPE.sub(_character_of, data)

    def original(self, spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Convert *spans* of `data` to those of the escaped data."""
        if not spans:
            return spans
        at: list[int] = []  # of each character that was escaped
        before: list[int] = []  # start and end of its sequence
        after: list[int] = []
        removed = 0
        for match in _ESCAPE.finditer(self._escaped):
            start, end = match.span()
            at.append(start - removed)
            before.append(start)
            after.append(end)
            removed += end - start - len(_character_of(match))

        def start_of(position: int) -> int:
            number = bisect_right(at, position) - 1
            if number < 0:
                return position
            if at[number] == position:
                return before[number]
            return after[number] + position - at[number] - 1

        def end_of(position: int) -> int:
            number = bisect_right(at, position) - 1
            if number >= 0 and at[number] == position:
                return after[number]
            return start_of(position) + 1

        return [(start_of(start), end_of(end - 1)) for start, end in spans]


def _character_of(match: re.Match[bytes]) -> bytes:
    return _character(match[0])


@lru_cache(4096)
def _character(sequence: bytes) -> bytes:
    """Return the character of an escape sequence."""
    match = _ESCAPE.fullmatch(sequence)
    assert match is not None  # noqa: S101 - it was found with the same pattern
    kind = match.lastindex or 0
    text = match[kind]
    if kind == 3:  # noqa: PLR2004 - the groups of _ESCAPE
        return text
    if kind == 7:  # noqa: PLR2004 - as above
        return _ENTITIES[text]
    code = int(text, 10 if kind == 6 else 16)  # noqa: PLR2004 - as above
    return b"%c" % code if code < 128 else b"?"  # noqa: PLR2004 - ASCII
