"""Text that strangers wrote, made safe to show; and the streams that it is shown on."""

from __future__ import annotations

import os
import sys
from typing import TextIO

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
"""C0, DEL and C1. Without an ESC or a CSI of one byte nothing begins a terminal's sequence."""


def clean(text: str) -> str:
    """Return *text* without the characters that a terminal obeys, but for line ends and tabs."""
    return text if text.isprintable() else text.translate(_CONTROLS)


def one_line(text: str) -> str:
    """Return *text*, safe, on one line."""
    return clean(" ".join(text.split()))


def unstyled(line: str) -> str:
    """Return a line that rich made without its colours."""
    import re

    return re.sub(r"\x1b\[[0-9;]*m", "", line)


def on_terminal(stream: TextIO | None) -> bool:
    """Whether a person reads *stream*, or types it; None is one that was closed."""
    return stream is not None and stream.isatty()


def draws(stream: TextIO) -> bool:
    """Whether *stream* is a terminal that can move its cursor.

    Windows' old console prints sequences unless somebody enabled them: there, only Windows
    Terminal and editors, which say who they are, count.
    """
    if not stream.isatty() or os.environ.get("TERM") == "dumb":
        return False
    known = ("WT_SESSION", "TERM_PROGRAM", "ANSICON", "TERM")
    return os.name != "nt" or any(os.environ.get(name) for name in known)


def prepare_streams() -> None:
    """Make writing never fail for want of a letter; what has no code there becomes ``?``."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by whoever started us
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def silence(stream: TextIO) -> None:
    """Let *stream* lead nowhere: its reader left, and Python would complain at exit."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    except (OSError, ValueError):
        return
