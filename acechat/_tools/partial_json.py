"""Values of JSON that is still arriving."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, TypeAlias, cast

import msgspec

from acechat._wire.deltas import DeltaBatch

__all__ = ["KEY", "PartialJSON", "PartialOutput", "find_json"]

_DEEPEST = 500
"""Levels of objects and lists; what is deeper is none of ours."""


_NO_SPACE = re.compile(r"[^ \t\r\n]")


_QUOTE = re.compile(r'["\\]')


_NO_WORD = re.compile(r"[^-+.0-9A-Za-z]")


_Container: TypeAlias = dict[str, Any] | list[Any]


# What may come next, beside white space.
_VALUE, _VALUE_OR_END, _KEY, _KEY_OR_END, _COLON, _COMMA_OR_END = range(6)


class PartialJSON:
    """Finds the first object or list in a text, and builds it while it is being told.

    An object or a list is there as soon as it begins, and grows. A text is there when its closing
    quote has come; a number, true, false and null when the character after it has. What begins like
    JSON and turns out to be none is forgotten, and the search goes on where that was seen.

    Args:
        openers: What the value may begin with: ``{``, ``[`` or both.
    """

    def __init__(self, openers: str = "{[") -> None:
        self.value: Any = None
        """What has been told so far; it grows. None before it begins."""

        self.done = False
        """Whether the value is whole. What follows it is not looked at."""

        self.start = 0
        """Where the value begins, in the text that `scan` read then."""

        self._opener = re.compile(f"[{re.escape(openers)}]")
        self._open: list[_Container] = []
        self._next = _VALUE
        self._key = ""
        self._token: list[str] = []  # pieces of the text, number or word under way
        self._quoted = False
        self._escaped = False  # whether the last piece ended in a backslash that counts
        self._grew = False

    def feed(self, text: str) -> bool:
        """Take the next piece; return whether the value grew by it."""
        self._grew = False
        self.scan(text, 0)
        return self._grew

    def scan(self, text: str, at: int) -> int:
        """Read *text* from *at* to the end of the value, or its own; return where that is."""
        while at < len(text) and not self.done:
            if self._token:
                at = self._read_text(text, at) if self._quoted else self._read_word(text, at)
            elif self._open:
                at = _until(_NO_SPACE, text, at)
                if at < len(text):
                    at = self._read_mark(text, at)
            else:
                self.start = at = _until(self._opener, text, at)
                if at < len(text):
                    self._begin({} if text[at] == "{" else [])
                    at += 1
        return at

    def _read_mark(self, text: str, at: int) -> int:
        """Read what begins at *at*, which is no white space."""
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
            return self._forget(at)
        elif mark in "{[" and len(self._open) < _DEEPEST:
            self._begin({} if mark == "{" else [])
        elif mark in "-0123456789tfn":
            self._token, self._quoted = [mark], False
        else:
            return self._forget(at)
        return at + 1

    def _read_text(self, text: str, at: int) -> int:
        """Go on with a text, up to its quote or to the end of *text*."""
        start = at
        if self._escaped:
            self._escaped = False
            at += 1
        while (at := _until(_QUOTE, text, at)) < len(text) and text[at] == "\\":
            self._escaped = at + 1 == len(text)
            at += 1 if self._escaped else 2
        end = at + 1 if at < len(text) else at
        self._token.append(text[start:end])
        return end if at >= len(text) else self._take(end)

    def _read_word(self, text: str, at: int) -> int:
        """Go on with a number or a word, up to what ends it or to the end of *text*."""
        end = _until(_NO_WORD, text, at)
        self._token.append(text[at:end])
        return end if end == len(text) else self._take(end)

    def _take(self, at: int) -> int:
        """Take the token that ends at *at* as a key or a value."""
        token, self._token = "".join(self._token), []
        try:
            value = msgspec.json.decode(token)
        except (msgspec.DecodeError, UnicodeError):  # half of a surrogate pair is one
            return self._forget(at)
        if self._next in {_KEY, _KEY_OR_END}:
            self._key = value
            self._next = _COLON
        else:
            self._put(value)
            self._next = _COMMA_OR_END
        return at

    def _put(self, value: Any) -> None:
        self._grew = True
        if not self._open:
            self.value = value
        elif isinstance(container := self._open[-1], dict):
            container[self._key] = value
        else:
            container.append(value)

    def _begin(self, container: _Container) -> None:
        self._put(container)
        self._open.append(container)
        self._next = _KEY_OR_END if isinstance(container, dict) else _VALUE_OR_END

    def _end(self) -> None:
        self._open.pop()
        self.done = not self._open
        self._next = _COMMA_OR_END

    def _forget(self, at: int) -> int:
        """Give up the value; search again from *at*."""
        self.value = None
        self._open.clear()
        return at


def find_json(text: str, openers: str = "{[") -> Iterator[str]:
    """Yield what in *text* is a whole object or list, one after the other."""
    at = 0
    while at < len(text):
        reader = PartialJSON(openers)
        at = reader.scan(text, at)
        if reader.done:
            yield text[reader.start : at]


def _until(pattern: re.Pattern[str], text: str, at: int) -> int:
    """Return where *pattern* is next, the end of *text* if nowhere."""
    found = pattern.search(text, at)
    return found.start() if found else len(text)


KEY = "value"
"""Of the object around a list, a number, …: the arguments of a tool are an object."""


class PartialOutput:
    """The JSON of a streamed answer, while it is being told in its text or to a tool.

    Args:
        openers: What it may begin with.
        wrapped: Whether it stands under a key of an object that is not part of the form.
        bare: Whether an object may come without that key all the same.
    """

    def __init__(self, openers: str = "{[", *, wrapped: bool = False, bare: bool = False) -> None:
        self._json = PartialJSON(openers)
        self._wrapped = wrapped
        self._bare = bare

    def receive(self, batch: DeltaBatch) -> bool:
        """Take what a read of the network brought; return whether there is more to see."""
        grew = False
        for delta in batch.deltas:
            if delta.index:
                continue
            functions = [call.function for call in delta.tool_calls or ()]
            for text in (delta.content, *(told.arguments for told in functions if told)):
                if text:
                    grew = self._json.feed(text) or grew
        return grew and self.value is not None

    @property
    def value(self) -> Any:
        """What has been told so far: an object that grows; None for nothing yet."""
        value = self._json.value
        if not self._wrapped or not isinstance(value, dict):
            return value
        told = cast("dict[str, Any]", value)
        if self._bare and next(iter(told), KEY) != KEY:
            return told  # as `OutputSpec` does, too
        return told.get(KEY)
