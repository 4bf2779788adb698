"""Short tracebacks for notebooks: the caller's frames, without those of acechat and asyncio."""

from __future__ import annotations

import linecache
import traceback

__all__ = ["short_traceback"]

_INTERNAL = {
    "acechat", "anyio", "asyncio", "concurrent", "contextlib", "IPython", "ipykernel", "threading",
}  # fmt: skip
"""Packages whose frames do not help the caller."""

_MOST_FRAMES = 20


def short_traceback(error: BaseException) -> list[str]:
    """Return the lines of a traceback of *error*: its frames outside of acechat, and its text."""
    frames: list[list[str]] = []
    for frame, number in traceback.walk_tb(error.__traceback__):
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package in _INTERNAL:
            continue
        code = frame.f_code
        where = f"cell, line {number}"
        if "ipykernel_" not in code.co_filename and code.co_filename[:1] != "<":
            where = f'File "{code.co_filename}", line {number}'
        inside = "" if code.co_name == "<module>" else f", in {code.co_name}"
        source = linecache.getline(code.co_filename, number, frame.f_globals).strip()
        frames.append([f"  {where}{inside}", *([f"    {source}"] if source else [])])
    lines = [line for frame_lines in frames[-_MOST_FRAMES:] for line in frame_lines]
    if lines:
        lines.insert(0, "Traceback (most recent call last):")
    shown = "".join(traceback.format_exception_only(error)).rstrip("\n")
    return [*lines, *map(_visible, shown.split("\n"))]


def _visible(line: str) -> str:
    """Return *line* without control characters: the service may have written a part of it."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in line)
