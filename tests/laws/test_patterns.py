"""No regular expression of the package takes more than linear time.

Each is applied to strings of up to 16,000 characters that repeat one, two or three of the
characters it names. A pattern whose time grows with the square takes over 100 ms for those.
"""

from __future__ import annotations

import importlib
import itertools
import pkgutil
import re
import time
from pathlib import Path
from re import _constants, _parser

import pytest

import acechat

BEGIN, END = 2_000, 16_000
"""Characters of the shortest and of the longest strings."""

SUSPICIOUS = 2e-6
"""Seconds per character; a string of twice the length is tried for patterns that take longer."""

LIMIT = 0.05
"""Seconds of CPU time for one string."""

CANDIDATES = 20

OF_SYNTAX = {
    _constants.CATEGORY_DIGIT: "5",
    _constants.CATEGORY_SPACE: " ",
    _constants.CATEGORY_WORD: "w",
}


def find_patterns():
    """Return the patterns of all modules, by module and name."""
    found = {}
    for info in pkgutil.walk_packages(acechat.__path__, "acechat."):
        if info.name.endswith("__main__"):
            continue
        try:
            module = importlib.import_module(info.name)
        except ModuleNotFoundError as error:
            if "acechat" in (error.name or ""):
                raise
            continue  # an extra that is not installed here
        for name, value in vars(module).items():
            several = value.values() if isinstance(value, dict) else value
            values = several if isinstance(several, list | tuple | dict) else [value]
            for pattern in values:
                if isinstance(pattern, re.Pattern) and pattern not in found:
                    found[pattern] = module.__name__, name
    return found


def characters_of(pattern):
    """Return up to 16 characters that *pattern* names."""
    text, flags = pattern.pattern, pattern.flags
    if isinstance(text, bytes):
        text, flags = text.decode("latin-1"), flags & ~re.UNICODE
    named = set()

    def walk(tree):
        for kind, value in tree:
            if kind in {_constants.LITERAL, _constants.NOT_LITERAL}:
                named.add(chr(value))
            elif kind is _constants.RANGE:
                named.update(map(chr, value))
            elif kind is _constants.CATEGORY:
                named.add(OF_SYNTAX.get(value, "!"))
            elif kind is _constants.ANY:
                named.add("x")
            elif kind in {_constants.IN, _constants.ATOMIC_GROUP}:
                walk(value)
            elif kind is _constants.BRANCH:
                for branch in value[1]:
                    walk(branch)
            elif isinstance(value, tuple) and isinstance(value[-1], _parser.SubPattern):
                walk(value[-1])

    walk(_parser.parse(text, flags))
    return sorted(named)[:16]


def methods_of(module, name):
    """Return the methods of the pattern *name* that its module calls."""
    source = Path(importlib.import_module(module).__file__).read_text()
    return set(re.findall(rf"\b{name}\.(match|fullmatch|search|sub|split|find)", source))


def seconds(pattern, text, methods):
    """Return the CPU seconds of *pattern* for *text*."""
    data = text.encode("latin-1", "replace") if isinstance(pattern.pattern, bytes) else text
    began = time.process_time()
    if methods and methods <= {"match", "fullmatch"}:
        for method in methods:
            getattr(pattern, method)(data)
    else:
        for _ in pattern.finditer(data):
            pass
    return time.process_time() - began


def slowest(pattern, methods):
    """Return the most seconds that a string took, and its repeated part."""
    characters = characters_of(pattern)
    parts = itertools.chain(
        itertools.product(characters),
        itertools.product(characters, repeat=2),
        itertools.product(characters[:7], repeat=3),
    )
    texts = [("".join(part), end) for part in parts for end in ("", "\0")]
    size, worst = BEGIN, (0.0, "", "")
    while texts and size <= END:
        taken = [
            (seconds(pattern, text * (size // len(text)) + end, methods), text, end)
            for text, end in texts
        ]
        worst = max(taken)
        if worst[0] > LIMIT:
            break
        suspicious = sorted([each for each in taken if each[0] > SUSPICIOUS * size])
        texts = [(text, end) for _, text, end in suspicious[-CANDIDATES:]]
        size *= 2
    return worst[0], worst[1]


PATTERNS = find_patterns()


@pytest.mark.parametrize("pattern", PATTERNS, ids=[".".join(at) for at in PATTERNS.values()])
def test_a_pattern_takes_linear_time(pattern):
    taken, text = slowest(pattern, methods_of(*PATTERNS[pattern]))
    assert taken < LIMIT, f"{pattern.pattern!r} takes {taken:.3f} s where {text!r} is repeated"


@pytest.mark.parametrize("slow", [r"\d+ of", r"\s*$"])
def test_slow_patterns_are_found(slow):
    taken, _ = slowest(re.compile(slow), {"search"})
    assert taken > LIMIT
