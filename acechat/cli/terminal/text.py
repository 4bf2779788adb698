"""Removal of control characters from untrusted text; properties of the standard streams."""

from __future__ import annotations

import os
import sys
from typing import TextIO

from acechat.cli.terminal.visible import visible

__all__ = [
    "DIM",
    "UNDIM",
    "clean",
    "draws",
    "on_terminal",
    "one_line",
    "prepare_streams",
    "silence",
    "unstyled",
]

DIM, UNDIM = "\x1b[2m", "\x1b[22m"

_CONTROLS = dict.fromkeys(
    code for code in [*range(32), *range(127, 160)] if chr(code) not in "\n\t"
)
"""C0, DEL and C1. No control sequence of a terminal begins without ESC or the one-byte CSI."""


def clean(text: str) -> str:
    """Return *text* without control characters, except line ends and tabs."""
    return text if text.isprintable() else text.translate(_CONTROLS)


def one_line(text: str) -> str:
    """Return *text* on one line, without control characters; hidden characters are escaped."""
    return visible(clean(" ".join(text.split())))


def unstyled(line: str) -> str:
    """Return *line* without SGR sequences (colors and styles)."""
    import re

    return re.sub(r"\x1b\[[0-9;]*m", "", line)


def on_terminal(stream: TextIO | None) -> bool:
    """Return True if *stream* is a terminal; None is a closed stream."""
    return stream is not None and stream.isatty()


def draws(stream: TextIO) -> bool:
    """Return True if *stream* is a terminal that can move its cursor.

    The old Windows console prints control sequences as text unless they are enabled: on Windows,
    only terminals that set one of the variables below count.
    """
    if not stream.isatty() or os.environ.get("TERM") == "dumb":
        return False
    known = ("WT_SESSION", "TERM_PROGRAM", "ANSICON", "TERM")
    return os.name != "nt" or any(os.environ.get(name) for name in known)


def prepare_streams() -> None:
    """Replace characters that the encoding of stdout or stderr lacks by ``?``."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the parent process
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def silence(stream: TextIO) -> None:
    """Redirect *stream* to the null device; without a reader, Python's flush at exit would fail."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    except (OSError, ValueError):
        return
