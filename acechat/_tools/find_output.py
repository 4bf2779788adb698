"""Find the JSON of an output in a response, which may contain reasoning, prose and code fences.

`candidates` reads a complete response, `PartialOutput` one that is still arriving.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any, cast

from acechat._tools.partial_json import PartialJSON, find_spans
from acechat._wire.deltas import DeltaBatch

__all__ = ["KEY", "PartialOutput", "candidates"]

_REASONING_END = re.compile(r"</(?:think|thinking|reasoning)>")
_REASONING_BEGIN = re.compile(r"\s*<(?:think|thinking|reasoning)>")

_FENCE = re.compile(r"(`{3,}|~{3,})[ \t]*([\w+.-]*)[^\S\n]*\n?(.*?)(?:\1|\Z)", re.DOTALL)
_JSON_FENCES = {"", "json", "json5", "jsonc", "text", "txt", "plaintext"}

_INTRODUCTION = re.compile(r"(?:^|[:=]|\b(?:is|are))[ \t]*\Z", re.MULTILINE)
"""Text before a list that is a value. Others, such as "as in [1]", are citations."""

_END = re.compile(r"[ \t]*(?:(?:[.!;]|```)+[ \t]*)?$", re.MULTILINE)
_CONTEXT = 16
"""Characters before a list that `_INTRODUCTION` is searched in; no tag of reasoning is longer."""


def candidates(text: str, openers: str) -> Iterator[str]:
    """Yield the texts that may be the output, the most probable first.

    A later one wins over an earlier one, which may be a draft or a form. Objects and code fences
    win over lists, because brackets are common in prose. ``{}`` and ``[]`` in prose, and lists
    within a sentence, are no candidates.

    Args:
        text: The response.
        openers: Characters that the JSON may begin with.
    """
    answer = _without_reasoning(text)
    if answer != text:
        yield answer
    found: list[tuple[int, int, str]] = []
    for fence in _FENCE.finditer(answer):
        rank = 2 if fence[2].lower() in _JSON_FENCES else 0
        found.append((rank, fence.end(3), fence[3]))
    for start, end in find_spans(answer, openers):
        if answer[start + 1 : end - 1].isspace() or end == start + 2:
            continue
        if answer[start] == "{":
            found.append((2, end, answer[start:end]))
        elif _is_introduced(answer[max(start - _CONTEXT, 0) : start]) and _END.match(answer, end):
            found.append((1, end, answer[start:end]))
    found.sort(key=lambda one: one[:2], reverse=True)
    for _, _, candidate in found:
        yield candidate


def _is_introduced(before: str) -> bool:
    """Return True if a list after the text *before* is a value, not a citation."""
    return _INTRODUCTION.search(before) is not None


def _without_reasoning(text: str) -> str:
    """Return *text* without the reasoning that some models write at its beginning, in tags."""
    ends = [tag.end() for tag in _REASONING_END.finditer(text)]
    if ends:
        return text[ends[-1] :]
    return "" if _REASONING_BEGIN.match(text) else text


KEY = "value"
"""Property that wraps a value that is not an object: tool arguments must be an object."""

_TAGS = ("<think>", "<thinking>", "<reasoning>")


class PartialOutput:
    """The partial output of a streamed response, read from its text or its tool arguments.

    As in the complete response, a later value replaces an earlier one.

    Args:
        openers: Characters that the JSON may begin with.
        wrapped: Whether the value is the property `KEY` of a wrapper object.
        bare: Whether an object without the wrapper is accepted, too.
        keys: Keys of which an object has at least one; None if it may have any.
    """

    def __init__(
        self,
        openers: str = "{[",
        *,
        wrapped: bool = False,
        bare: bool = False,
        keys: Collection[str] | None = None,
    ) -> None:
        self._text = _Candidates(openers, keys)
        self._arguments = _Candidates(openers, None)
        self._wrapped = wrapped
        self._bare = bare

    def receive(self, batch: DeltaBatch) -> bool:
        """Parse the deltas of one network read; return True if `value` grew."""
        grew = False
        for delta in batch.deltas:
            if delta.index:
                continue
            if delta.content:
                grew = self._text.feed(delta.content) or grew
            for call in delta.tool_calls or ():
                if call.function and call.function.arguments:
                    grew = self._arguments.feed(call.function.arguments) or grew
        return grew and self.value is not None

    @property
    def value(self) -> Any:
        """The output so far, which grows in place; None before it begins."""
        value = self._arguments.value
        if value is None:
            value = self._text.value
        if not self._wrapped or not isinstance(value, dict):
            return value
        wrapper = cast("dict[str, Any]", value)
        if self._bare and next(iter(wrapper), KEY) != KEY:
            return wrapper  # no wrapper, which `OutputSpec` accepts, too
        return wrapper.get(KEY)


class _Candidates:
    """The values in a text that arrives in chunks; `value` is the last that may be meant.

    The criteria are those of `candidates`, which has the complete text.
    """

    def __init__(self, openers: str, keys: Collection[str] | None) -> None:
        self.value: Any = None
        self._openers = openers
        self._keys = keys
        self._json = PartialJSON(openers)
        self._current: Any = None  # the value of the parser, accepted or not
        self._introduced = False
        self._complete: Any = None  # the last accepted value that has ended
        self._before = ""  # the end of the text before the current chunk
        self._beginning: str | None = ""  # text that may be a tag of reasoning; None after it
        self._in_reasoning = False

    def feed(self, chunk: str) -> bool:
        """Parse the next chunk; return True if the value grew or was replaced."""
        if self._beginning is not None:
            chunk = self._after_reasoning(self._beginning + chunk)
        at, grew = 0, False
        while at < len(chunk):
            if self._json.done:
                self._json = PartialJSON(self._openers)
            at = self._json.scan(chunk, at)
            grew = self._take(chunk) or grew
        self._before = (self._before + chunk)[-_CONTEXT:]
        return grew

    def _take(self, chunk: str) -> bool:
        """Set `value` to that of the parser if it may be meant; return True if it is, and grew."""
        parser = self._json
        if parser.value is not self._current:
            self._current = parser.value
            self._introduced = _is_introduced((self._before + chunk[: parser.start])[-_CONTEXT:])
        accepted = self._current is not None and self._accepts(self._current)
        self.value = self._current if accepted else self._complete
        if accepted and parser.done:
            self._complete = self._current
        return accepted and parser.grew

    def _accepts(self, value: Any) -> bool:
        if not value:
            return self._complete is None  # it may become the value, or is a decoy such as {}
        if isinstance(value, dict):
            keys = cast("dict[str, Any]", value).keys()
            return self._keys is None or not keys.isdisjoint(self._keys)
        return self._introduced and not isinstance(self._complete, dict)

    def _after_reasoning(self, text: str) -> str:
        """Return the part of *text* after reasoning in tags; keep a tag that is incomplete."""
        if not self._in_reasoning:
            text = text.lstrip()
            begin = _REASONING_BEGIN.match(text)
            if begin is None:
                may_begin = any(tag.startswith(text) for tag in _TAGS)
                self._beginning = text if may_begin else None
                return "" if may_begin else text
            self._in_reasoning = True
        end = _REASONING_END.search(text)
        if end is None:
            self._beginning = text[-_CONTEXT:]
            return ""
        self._beginning = None
        return text[end.end() :]
