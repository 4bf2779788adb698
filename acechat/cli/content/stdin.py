"""Standard input as a part of the prompt."""

from __future__ import annotations

import sys
import threading
from contextlib import suppress

import click

from acechat.cli.terminal.text import on_terminal
from acechat.cli.terminal.writer import note

__all__ = ["decoded", "read_stdin"]

_PATIENCE = 2.0
"""Seconds after which a notice explains the wait for the end of standard input."""


def read_stdin(*, explicit: bool) -> bytes:
    """Read standard input to its end.

    Args:
        explicit: Read it from a terminal, too.
    """
    if sys.stdin is None:  # closed by the parent process
        return b""
    if on_terminal(sys.stdin):
        if not explicit:
            return b""
        note("reading standard input; Ctrl-D ends it")
        return sys.stdin.buffer.read()
    # A parent process may leave its own pipe open, to which it never writes.
    timer = threading.Timer(
        _PATIENCE,
        note,
        ["waiting for the end of standard input (Ctrl-C stops; without input: < /dev/null)"],
    )
    timer.daemon = True
    timer.start()
    try:
        return sys.stdin.buffer.read()
    finally:
        timer.cancel()


def decoded(piped: bytes) -> str:
    """Return standard input as text.

    Raises:
        UsageError: It is not text.
    """
    for encoding in ("utf-8-sig", sys.stdin.encoding if sys.stdin else "utf-8"):
        with suppress(UnicodeDecodeError, LookupError):
            if "\0" not in (text := piped.decode(encoding)):
                return text.strip()
    raise click.UsageError(
        "standard input is not text. Next: send an image with --image - or --attach -"
    )
