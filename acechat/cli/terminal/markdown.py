"""Incremental rendering of Markdown on a terminal."""

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

if TYPE_CHECKING:  # importing rich takes a third of the time to the first character
    from acechat.cli.terminal.rendering import Renderer

__all__ = ["MarkdownWriter", "split_blocks"]

_FRAME = 1 / 30
"""Minimum seconds between two frames."""

_IDLE_RATIO = 3
"""Pause after a frame, in times of its duration: drawing takes at most a quarter of the time."""


class MarkdownWriter:
    """Renders Markdown while it arrives.

    A complete block is printed once and scrolls like any other output. Only the last, incomplete
    block is redrawn, from its first line that changed. Its lines that do not fit on the screen
    scroll off; if one of them changes later (the columns of a table become wider), the complete
    block is printed again at its end.
    """

    def __init__(self, file: TextIO, *, reasoning: bool) -> None:
        self._file = file
        self._reasoning = reasoning
        self._in_reasoning = False
        self._block = ""
        self._drawn: list[str] = []  # lines on the screen that the next drawing may replace
        self._scrolled_off: list[str] = []  # lines of the block, unstyled
        self._stale = False  # a line that scrolled off has changed
        self._any_block = False
        self._timer: asyncio.TimerHandle | None = None
        self._next = 0.0
        self._failure: OSError | None = None

    @cached_property
    def _renderer(self) -> Renderer:
        from acechat.cli.terminal.rendering import Renderer

        return Renderer(self._file)

    def show(self, deltas: Sequence[Delta]) -> None:
        """Draw the next deltas, at once or within one frame.

        Raises:
            OSError: The terminal was closed.
        """
        if self._failure is not None:
            raise self._failure
        for delta in deltas:
            if self._reasoning and (text := delta.reasoning_content):
                self._show_reasoning(clean(text))
            if text := delta.content or delta.refusal:
                if self._in_reasoning:
                    self._in_reasoning = False
                    self._file.write("\n\n")
                self._block += clean(text)
        if self._timer is not None or not self._block.strip():
            return
        if not self._any_block and not self._drawn and self._show_unrendered():
            self._timer = _loop().call_later(0, self._draw_later)
        elif (wait := self._next - time.monotonic()) > 0:
            self._timer = _loop().call_later(wait, self._draw_later)
        else:
            self._draw()

    def close(self) -> None:
        """Print the last block.

        Raises:
            OSError: The terminal was closed.
        """
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._failure is not None:
            raise self._failure
        self._draw(last=True)
        if self._in_reasoning:
            self._file.write("\n")
        self._file.flush()

    def _show_reasoning(self, text: str) -> None:
        self._in_reasoning = True
        self._file.write(f"{DIM}{text}{UNDIM}")
        self._file.flush()

    def _show_unrendered(self) -> bool:
        """Write a plain first line before rich is imported, which renders it identically."""
        line = self._block
        if "rich.markdown" in sys.modules or not line.isascii() or not line.isprintable():
            return False
        if len(line) >= _size(self._file)[0] or not line[0].isalnum():
            return False
        self._write([line.rstrip()])
        return True

    def _draw_later(self) -> None:
        self._timer = None
        try:
            self._draw()
        except OSError as error:  # raised by the next show() or close()
            self._failure = error

    def _draw(self, *, last: bool = False) -> None:
        started = time.monotonic()
        *complete, self._block = split_blocks(self._block)
        for block in complete:
            self._put(self._render(block), final=True)
        if self._block.strip():
            self._put(self._render(self._block), final=last)
        now = time.monotonic()
        self._next = now + max(_FRAME, _IDLE_RATIO * (now - started))

    def _render(self, text: str) -> list[str]:
        lines = self._renderer.render(text, _size(self._file)[0])
        return ["", *lines] if self._any_block else lines

    def _put(self, lines: list[str], *, final: bool) -> None:
        skip = len(self._scrolled_off)
        if skip and [unstyled(line) for line in lines[:skip]] != self._scrolled_off:
            self._stale = True
        rows = max(1, _size(self._file)[1] - 1)
        if final:
            self._write(lines if self._stale else lines[skip:])
            self._drawn, self._scrolled_off, self._stale, self._any_block = [], [], False, True
        elif (
            self._stale or self._block.lstrip()[:1] == "|"
        ):  # the columns of a table may still change
            self._write(lines[-rows:])
        else:
            self._write(lines[skip:])
            if over := max(0, len(lines) - skip - rows):
                self._scrolled_off += [unstyled(line) for line in lines[skip : skip + over]]
                del self._drawn[:over]

    def _write(self, lines: list[str]) -> None:
        """Replace the drawn lines by *lines* in a single write, which does not flicker."""
        width = _size(self._file)[0]
        same = _common(self._drawn, lines)
        up = sum(_rows(line, width) for line in self._drawn[same:])
        parts = [f"\x1b[{up}F" if up else ""]
        for line in lines[same:]:
            # In a full line there is nothing to erase, and erasing would remove its last character.
            rest = "\x1b[K" if up and _cells(line) < width else ""
            parts.append(f"{line}{rest}\n")
        below = "\x1b[J" if up > sum(_rows(line, width) for line in lines[same:]) else ""
        self._file.write("".join(parts) + below)
        self._file.flush()
        self._drawn = lines


def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def _size(file: TextIO) -> tuple[int, int]:
    """Return columns and rows; 80 x 24 for pseudo-terminals without a size."""
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
    """Return the number of rows of a line, which may have been drawn on a wider terminal."""
    return max(1, -(-_cells(line) // width))


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    for same, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return same
    return min(len(one), len(other))


def split_blocks(text: str) -> list[str]:
    """Split *text* into Markdown blocks; the last one may be incomplete.

    A block ends at an empty line outside of a code fence if the next line is not indented; indented
    lines belong to a list item.
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
