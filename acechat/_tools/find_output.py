"""Find the JSON of an output in a response, which may contain reasoning, prose and code fences."""

from __future__ import annotations

import re
from collections.abc import Iterator

from acechat._tools.partial_json import find_spans

__all__ = ["REASONING_BEGIN", "REASONING_END", "candidates", "is_introduced"]

REASONING_END = re.compile(r"</(?:think|thinking|reasoning)>")
REASONING_BEGIN = re.compile(r"\s*<(?:think|thinking|reasoning)>")

_FENCE = re.compile(r"(`{3,}|~{3,})[ \t]*([\w+.-]*)[^\S\n]*\n?(.*?)(?:\1|\Z)", re.DOTALL)
_JSON_FENCES = {"", "json", "json5", "jsonc", "text", "txt", "plaintext"}

_INTRODUCTION = re.compile(r"(?:^|[:=]|\b(?:is|are))[ \t]*\Z", re.MULTILINE)
"""Text before a list that is a value. Others, such as "as in [1]", are citations."""

_END = re.compile(r"[ \t]*(?:[.!;]|```)*[ \t]*$", re.MULTILINE)
_CONTEXT = 16
"""Characters before a list that are compared with `_INTRODUCTION`."""


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
        elif is_introduced(answer[max(start - _CONTEXT, 0) : start]) and _END.match(answer, end):
            found.append((1, end, answer[start:end]))
    found.sort(key=lambda one: one[:2], reverse=True)
    for _, _, candidate in found:
        yield candidate


def is_introduced(before: str) -> bool:
    """Return True if a list after the text *before* is a value, not a citation."""
    return _INTRODUCTION.search(before) is not None


def _without_reasoning(text: str) -> str:
    """Return *text* without the reasoning that some models write at its beginning, in tags."""
    ends = [tag.end() for tag in REASONING_END.finditer(text)]
    if ends:
        return text[ends[-1] :]
    return "" if REASONING_BEGIN.match(text) else text
