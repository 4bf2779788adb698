"""Markdown that is drawn while it arrives."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import time
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, TextIO

from acechat import Delta
from acechat.cli.terminal.text import DIM, UNDIM, clean, unstyled

if TYPE_CHECKING:  # rich takes a third of the time in which the first character is to be seen
    from acechat.cli.terminal.rendering import Renderer

__all__ = ["MarkdownWriter", "split_blocks"]

_FRAME = 1 / 30
"""Seconds between two drawings, at least."""

_SHARE = 3
"""How much longer to wait than the last drawing took: at most a quarter of the time is drawn."""


class MarkdownWriter:
    """Renders Markdown while it arrives.

    A block that has ended is printed for good, so that it scrolls like any other output. Only the
    block that is still being written is drawn anew, from its first line that differs. What of it
    does not fit on the screen scrolls away once; if it turns out to look otherwise (a table's
    columns become wider), the block is printed again at its end: nothing is lost.
    """

    def __init__(self, file: TextIO, *, reasoning: bool) -> None:
        self._file = file
        self._reasoning = reasoning
        self._thinking = False
        self._block = ""
        self._drawn: list[str] = []  # lines on the screen that the next drawing may replace
        self._gone: list[str] = []  # lines of the block that scrolled off, without colours
        self._restless = False  # what scrolled off looks otherwise now
        self._begun = False
        self._timer: asyncio.TimerHandle | None = None
        self._next = 0.0
        self._failure: OSError | None = None

    @cached_property
    def _renderer(self) -> Renderer:
        from acechat.cli.terminal.rendering import Renderer

        return Renderer(self._file)

    def show(self, deltas: Sequence[Delta]) -> None:
        """Show the next pieces, now or within a frame."""
        if self._failure is not None:
            raise self._failure
        for delta in deltas:
            if self._reasoning and (thought := delta.reasoning_content):
                self._think(clean(thought))
            if text := delta.content or delta.refusal:
                if self._thinking:
                    self._thinking = False
                    self._file.write("\n\n")
                self._block += clean(text)
        if self._timer is not None or not self._block.strip():
            return
        if not self._begun and not self._drawn and self._show_at_once():
            self._timer = _loop().call_later(0, self._draw_in_time)
        elif (wait := self._next - time.monotonic()) > 0:
            self._timer = _loop().call_later(wait, self._draw_in_time)
        else:
            self._draw()

    def close(self) -> None:
        """Print what is left, for good."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._failure is not None:
            raise self._failure
        self._draw(last=True)
        if self._thinking:
            self._file.write("\n")
        self._file.flush()

    def _think(self, thought: str) -> None:
        self._thinking = True
        self._file.write(f"{DIM}{thought}{UNDIM}")
        self._file.flush()

    def _show_at_once(self) -> bool:
        """Show a first line as it is: its letters look the same once rich has been imported."""
        line = self._block
        if "rich.markdown" in sys.modules or not line.isascii() or not line.isprintable():
            return False
        if len(line) >= _size(self._file)[0] or not line[0].isalnum():
            return False
        self._write([line.rstrip()])
        return True

    def _draw_in_time(self) -> None:
        self._timer = None
        try:
            self._draw()
        except OSError as error:  # nobody would hear of it in a callback
            self._failure = error

    def _draw(self, *, last: bool = False) -> None:
        began = time.monotonic()
        *whole, self._block = split_blocks(self._block)
        for block in whole:
            self._put(self._render(block), final=True)
        if self._block.strip():
            self._put(self._render(self._block), final=last)
        now = time.monotonic()
        self._next = now + max(_FRAME, _SHARE * (now - began))

    def _render(self, text: str) -> list[str]:
        lines = self._renderer.render(text, _size(self._file)[0])
        return ["", *lines] if self._begun else lines

    def _put(self, lines: list[str], *, final: bool) -> None:
        gone = len(self._gone)
        if gone and [unstyled(line) for line in lines[:gone]] != self._gone:
            self._restless = True
        room = max(1, _size(self._file)[1] - 1)
        if final:
            self._write(lines if self._restless else lines[gone:])
            self._drawn, self._gone, self._restless, self._begun = [], [], False, True
        elif self._restless or self._block.lstrip()[:1] == "|":  # a table's columns still change
            self._write(lines[-room:])
        else:
            self._write(lines[gone:])
            if over := max(0, len(lines) - gone - room):
                self._gone += [unstyled(line) for line in lines[gone : gone + over]]
                del self._drawn[:over]

    def _write(self, lines: list[str]) -> None:
        """Put *lines* in place of what was drawn, in one write that leaves nothing blank."""
        width = _size(self._file)[0]
        same = _common(self._drawn, lines)
        up = sum(_rows(line, width) for line in self._drawn[same:])
        parts = [f"\x1b[{up}F" if up else ""]
        for line in lines[same:]:
            # At the right edge there is nothing to erase, and erasing would take the last letter.
            rest = "\x1b[K" if up and _cells(line) < width else ""
            parts.append(f"{line}{rest}\n")
        below = "\x1b[J" if up > sum(_rows(line, width) for line in lines[same:]) else ""
        self._file.write("".join(parts) + below)
        self._file.flush()
        self._drawn = lines


def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def _size(file: TextIO) -> tuple[int, int]:
    """Return columns and rows; some pseudo-terminals have none of either."""
    try:
        width, height = os.get_terminal_size(file.fileno())
    except (OSError, ValueError):
        width = height = 0
    return width or 80, height or 24


def _cells(line: str) -> int:
    if line.isascii() and "\x1b" not in line:
        return len(line)
    from rich.cells import cell_len

    return cell_len(unstyled(line))


def _rows(line: str, width: int) -> int:
    """Return how many rows a line takes that was drawn when the terminal was wider, perhaps."""
    return max(1, -(-_cells(line) // width))


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    for same, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return same
    return min(len(one), len(other))


def split_blocks(text: str) -> list[str]:
    """Cut *text* into its blocks; the last one goes on, perhaps.

    A block ends at an empty line outside of a code fence, when what follows begins at the margin:
    what is indented belongs to a list.
    """
    blocks, start, at = list[str](), 0, 0
    fence, empty = "", False
    for line in text.splitlines(keepends=True):
        if empty and not line[0].isspace() and text[start:at].strip():
            blocks.append(text[start:at])
            start = at
        at += len(line)
        mark = re.match(r"\s*(`{3,}|~{3,})(.*)", line)
        if mark and not fence:
            fence = mark[1]
        elif mark and mark[1].startswith(fence) and not mark[2].strip():
            fence = ""
        empty = not fence and not line.strip()
    return [*blocks, text[start:]]
