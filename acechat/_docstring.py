"""What a function's docstring tells a model, if it is written in Google's style."""

from __future__ import annotations

import inspect
import re
from typing import Any

__all__ = ["describe"]

_SECTION = re.compile(
    r"^(Args|Arguments|Parameters|Returns|Yields|Raises|Examples?|Notes?|Attributes)[ ]*:[ ]*$",
    re.MULTILINE,
)
_ARGUMENTS = {"Args", "Arguments", "Parameters"}
_ENTRY = re.compile(r"(\w+)[ ]*(?:\([^)]*\))?[ ]*:[ ]*(.*)")


def describe(function: Any) -> tuple[str, dict[str, str]]:
    """Return the text before the first section, and what ``Args:`` says about each parameter."""
    if not (inspect.isroutine(function) or inspect.isclass(function)):
        function = function.__call__ if callable(function) else function
    text = inspect.getdoc(function) or ""
    head, *rest = _SECTION.split(text)
    for title, body in zip(rest[::2], rest[1::2], strict=True):
        if title in _ARGUMENTS:
            return head.strip(), _entries(body)
    return head.strip(), {}


def _entries(body: str) -> dict[str, str]:
    lines = [line for line in body.splitlines() if line.strip()]
    depth = min((_depth(line) for line in lines), default=0)
    entries: dict[str, list[str]] = {}
    text: list[str] = []
    for line in lines:
        entry = _ENTRY.match(line.strip())
        if _depth(line) == depth and entry:
            text = entries.setdefault(entry[1], [])
            line = entry[2]  # noqa: PLW2901 - what it says after its name
        text.append(line.strip())
    return {name: " ".join(filter(None, texts)) for name, texts in entries.items()}


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())
