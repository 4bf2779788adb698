"""Text that matches a regular expression."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any, cast

__all__ = ["is_slow", "text_matching"]

_SAMPLES = "aA0 _-.!\né"
"""Characters of each class, of which one is chosen for a negated set."""

_CATEGORIES = {
    "DIGIT": r"\d",
    "NOT_DIGIT": r"\D",
    "SPACE": r"\s",
    "NOT_SPACE": r"\S",
    "WORD": r"\w",
    "NOT_WORD": r"\W",
}
_MEMBERS = {
    "DIGIT": "0123456789",
    "NOT_DIGIT": "abcdefgh",
    "SPACE": " \t",
    "NOT_SPACE": "abcdefgh",
    "WORD": "abcdefgh",
    "NOT_WORD": "-.!",
}
_SEEDS = 4

_MAX_REPETITIONS = 4
"""Unlimited repetitions in a row, each of which may multiply the time by the length of the text."""

_MAX_STEPS = 20_000
"""Steps of the shortest match, empty repetitions included."""


def text_matching(
    pattern: str, least: int, most: int, variant: int = 0, *, search: bool = True
) -> str | None:
    """Return text of *least* to *most* characters in which *pattern* is found; None if unknown.

    Each *variant* gives another text, if sets of characters in the pattern permit it.

    Args:
        pattern: The expression.
        least: The smallest length.
        most: The largest length.
        variant: The number of the text.
        search: Whether the text is checked; without it, look-around is ignored.
    """
    compiled, tree = re.compile(pattern), _parsed(pattern)
    shortest = len(_Builder(0, 0, most + 1, variant).text(tree))
    if shortest > most:
        return None
    for extra in (0, 1, 2, max(0, least - shortest), *(2**each for each in range(2, 12))):
        for seed in range(_SEEDS):
            builder = _Builder(extra, seed, most + 1, variant)
            text = builder.text(tree)
            unused = [text + str(builder.variant)] if builder.variant and search else []
            longer = [text + "x" * (least - len(text))] if search else []
            for padded in (*unused, text, *longer):
                if least <= len(padded) <= most and (not search or compiled.search(padded)):
                    return padded
        if extra > most:
            break
    return None


def _parsed(pattern: str) -> Any:
    # Not public, but without it a parser of expressions would have to be written.
    return import_module("re._parser").parse(pattern)


def is_slow(pattern: str) -> bool:
    """Return whether a search for *pattern* may take exponential time, or gigabytes.

    So may one with repetitions within repetitions, with alternatives within them, with many
    repetitions, or with large numbers of them.
    """
    traits = _Traits()
    traits.read(_parsed(pattern), repeated=False)
    return traits.slow or traits.repetitions > _MAX_REPETITIONS or traits.steps > _MAX_STEPS


class _Traits:
    """The traits of a parsed expression that make a search slow."""

    def __init__(self) -> None:
        self.slow = False
        self.repetitions = 0
        self.steps = 0

    def read(self, argument: Any, *, repeated: bool) -> None:
        """Read an argument of an operation: a sequence, or others within a tuple."""
        if hasattr(argument, "data"):
            for operation, inner in argument:
                self._read_operation(str(operation), inner, repeated=repeated)
        elif isinstance(argument, tuple | list):
            for inner in cast("list[Any]", argument):
                self.read(inner, repeated=repeated)

    def _read_operation(self, operation: str, argument: Any, *, repeated: bool) -> None:
        self.steps += 1
        if not operation.endswith("_REPEAT"):
            self.slow |= repeated and operation == "BRANCH"
            self.read(argument, repeated=repeated)
            return
        least, most, inner = argument
        varies = int(most) > int(least)
        self.slow |= repeated and varies
        self.repetitions += varies and int(most) > 1
        before = self.steps
        self.read(inner, repeated=repeated or int(most) > 1)
        self.steps = before + (self.steps - before) * max(1, int(least))


class _Builder:
    """Text of at most about *left* characters, made of a parsed expression.

    Args:
        extra: Repetitions beyond the lowest number.
        seed: Number of the choice in sets and between branches.
        left: The limit.
        variant: Number of the text; its digits choose members of sets.
    """

    def __init__(self, extra: int, seed: int, left: int, variant: int) -> None:
        self._extra = extra
        self._seed = seed
        self._left = left
        self.variant = variant
        self._groups: dict[int, str] = {}

    def text(self, tree: Any) -> str:
        return "".join(self._part(str(operation), argument) for operation, argument in tree)

    def _part(self, operation: str, argument: Any) -> str:
        if self._left <= 0:
            return ""
        match operation:
            case "LITERAL":
                return self._one(chr(argument))
            case "NOT_LITERAL":
                return self._one(next(each for each in _SAMPLES if ord(each) != argument))
            case "ANY":
                return self._one("x")
            case "IN":
                return self._one(self._member(argument))
            case "BRANCH":
                branches = argument[1]
                return self.text(branches[self._seed % len(branches)])
            case "SUBPATTERN":
                text = self.text(argument[-1])
                self._groups[argument[0] or 0] = text
                return text
            case "ATOMIC_GROUP":
                return self.text(argument)
            case "GROUPREF":
                return self._groups.get(argument, "")
            case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
                return self._repeated(*argument)
            case _:  # positions and look-around, which the search checks
                return ""

    def _one(self, character: str) -> str:
        self._left -= 1
        return character

    def _repeated(self, least: int, most: int, tree: Any) -> str:
        parts: list[str] = []
        for _ in range(min(int(least) + self._extra, int(most))):
            text = self.text(tree)
            if not text or self._left <= 0:
                break
            parts.append(text)
        return "".join(parts)

    def _member(self, items: Any) -> str:
        """Return a character of a set; another for each position, if *seed* is not 0."""
        kinds = [(str(kind), argument) for kind, argument in items]
        if kinds[0][0] == "NEGATE":
            tests = [re.compile(_as_set(*each)) for each in kinds[1:]]
            allowed = [each for each in _SAMPLES if not any(test.match(each) for test in tests)]
            return allowed[0] if allowed else "\N{BULLET}"
        kind, argument = kinds[(self._seed * self._left) % len(kinds)]
        if kind == "LITERAL":
            return chr(argument)
        if kind == "RANGE":
            low, high = argument
            return chr(low + self._digit(high - low + 1))
        members = _MEMBERS[str(argument).removeprefix("CATEGORY_")]
        return members[self._digit(len(members))]

    def _digit(self, base: int) -> int:
        self.variant, digit = divmod(self.variant, base)
        return digit


def _as_set(kind: str, argument: Any) -> str:
    if kind == "LITERAL":
        return re.escape(chr(argument))
    if kind == "RANGE":
        low, high = argument
        return f"[{re.escape(chr(low))}-{re.escape(chr(high))}]"
    return _CATEGORIES[str(argument).removeprefix("CATEGORY_")]
