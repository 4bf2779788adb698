"""Values of incomplete JSON."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import IntEnum
from typing import Any, TypeAlias

import msgspec

__all__ = ["PartialJSON", "find_json", "find_spans"]

_MAX_DEPTH = 500
"""Levels of nested objects and lists; deeper text is not treated as JSON."""


_NOT_SPACE = re.compile(r"[^ \t\r\n]")


_STRING_MARK = re.compile(r'["\\]')


_WORD_END = re.compile(r"[^-+.0-9A-Za-z]")


_Container: TypeAlias = dict[str, Any] | list[Any]


class _Expected(IntEnum):
    """State of the parser between two tokens: the tokens that may follow, beside white space.

    ``{`` → KEY_OR_END, ``[`` → VALUE_OR_END, a key → COLON → VALUE; a value, ``}`` or ``]`` →
    COMMA_OR_END; ``,`` → KEY in an object, VALUE in a list. END is the closing bracket. Another
    token discards the value, and the search for an opening bracket continues there.
    """

    VALUE = 0
    VALUE_OR_END = 1
    KEY = 2
    KEY_OR_END = 3
    COLON = 4
    COMMA_OR_END = 5


# Members as globals: on Python 3.11, access through the class is a Python call.
_VALUE, _VALUE_OR_END, _KEY, _KEY_OR_END, _COLON, _COMMA_OR_END = _Expected


class PartialJSON:
    """Incremental parser of the first object or list in a text.

    An object or list is available from its opening bracket on, and grows. A string is available
    after its closing quote; a number, true, false and null after the next character. Text that
    turns out not to be JSON is discarded, and the search continues after it.

    Args:
        openers: Characters that the value may begin with: ``{``, ``[`` or both.
    """

    def __init__(self, openers: str = "{[") -> None:
        self.value: Any = None
        """The value so far, which grows in place; None before its opening bracket."""

        self.done = False
        """Whether the value is complete. Later text is ignored."""

        self.start = 0
        """Index of the opening bracket in the text given to `scan`."""

        self.grew = False
        """Whether the last `scan` changed the value."""

        self._opener = re.compile(f"[{re.escape(openers)}]")
        self._open: list[_Container] = []
        self._next: _Expected = _VALUE
        self._key = ""
        self._token: list[
            str
        ] = []  # chunks of the current string, number or word; empty between tokens
        self._quoted = False
        self._escaped = False  # the last chunk ended in an unescaped backslash

    def feed(self, text: str) -> bool:
        """Parse the next chunk; return True if the value grew."""
        self.scan(text, 0)
        return self.grew

    def scan(self, text: str, at: int) -> int:
        """Parse *text* from index *at* to the end of the value or text; return the end index."""
        self.grew = False
        while at < len(text) and not self.done:
            if self._token:
                at = self._read_string(text, at) if self._quoted else self._read_word(text, at)
            elif self._open:
                at = _find(_NOT_SPACE, text, at)
                if at < len(text):
                    at = self._read_mark(text, at)
            else:
                self.start = at = _find(self._opener, text, at)
                if at < len(text):
                    self._begin({} if text[at] == "{" else [])
                    at += 1
        return at

    def _read_mark(self, text: str, at: int) -> int:
        """Parse a bracket, comma, colon or the start of a token at *at*; return the next index."""
        mark, expected = text[at], self._next
        container = self._open[-1]
        closing = "}" if isinstance(container, dict) else "]"
        if mark == closing and expected in {_VALUE_OR_END, _KEY_OR_END, _COMMA_OR_END}:
            self._end()
        elif mark == "," and expected == _COMMA_OR_END:
            self._next = _KEY if closing == "}" else _VALUE
        elif mark == ":" and expected == _COLON:
            self._next = _VALUE
        elif mark == '"' and expected not in {_COLON, _COMMA_OR_END}:
            self._token, self._quoted = [mark], True
        elif expected not in {_VALUE, _VALUE_OR_END}:
            return self._discard(at)
        elif mark in "{[" and len(self._open) < _MAX_DEPTH:
            self._begin({} if mark == "{" else [])
        elif mark in "-0123456789tfn":
            self._token, self._quoted = [mark], False
        else:
            return self._discard(at)
        return at + 1

    def _read_string(self, text: str, at: int) -> int:
        """Continue a string up to its closing quote or the end of *text*."""
        start = at
        if self._escaped:
            self._escaped = False
            at += 1
        while (at := _find(_STRING_MARK, text, at)) < len(text) and text[at] == "\\":
            self._escaped = at + 1 == len(text)
            at += 1 if self._escaped else 2
        end = at + 1 if at < len(text) else at
        self._token.append(text[start:end])
        return end if at >= len(text) else self._end_token(end)

    def _read_word(self, text: str, at: int) -> int:
        """Continue a number or word up to its last character or the end of *text*."""
        end = _find(_WORD_END, text, at)
        self._token.append(text[at:end])
        return end if end == len(text) else self._end_token(end)

    def _end_token(self, at: int) -> int:
        """Decode the token that ends before *at* as a key or a value."""
        token, self._token = "".join(self._token), []
        try:
            value = msgspec.json.decode(token)
        except (msgspec.DecodeError, UnicodeError):  # an unpaired surrogate is a UnicodeError
            return self._discard(at)
        if self._next in {_KEY, _KEY_OR_END}:
            self._key = value
            self._next = _COLON
        else:
            self._add(value)
            self._next = _COMMA_OR_END
        return at

    def _add(self, value: Any) -> None:
        self.grew = True
        if not self._open:
            self.value = value
        elif isinstance(container := self._open[-1], dict):
            container[self._key] = value
        else:
            container.append(value)

    def _begin(self, container: _Container) -> None:
        self._add(container)
        self._open.append(container)
        self._next = _KEY_OR_END if isinstance(container, dict) else _VALUE_OR_END

    def _end(self) -> None:
        self._open.pop()
        self.done = not self._open
        self._next = _COMMA_OR_END

    def _discard(self, at: int) -> int:
        """Discard the value; the search continues at *at*."""
        self.value = None
        self._open.clear()
        return at


def find_json(text: str, openers: str = "{[") -> Iterator[str]:
    """Yield the complete objects and lists in *text*, in order."""
    for start, end in find_spans(text, openers):
        yield text[start:end]


def find_spans(text: str, openers: str = "{[") -> Iterator[tuple[int, int]]:
    """Yield the start and the end of each complete object and list in *text*, in order."""
    at = 0
    while at < len(text):
        reader = PartialJSON(openers)
        at = reader.scan(text, at)
        if reader.done:
            yield reader.start, at


def _find(pattern: re.Pattern[str], text: str, at: int) -> int:
    """Return the index of the next match of *pattern*, or the length of *text*."""
    found = pattern.search(text, at)
    return found.start() if found else len(text)
