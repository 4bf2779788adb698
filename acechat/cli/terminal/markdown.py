"""Incremental rendering of Markdown on a terminal."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections import deque
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, TextIO

from acechat import Delta
from acechat.cli.terminal.blocks import MAX_CHARS, BlockSplitter, end_of_head, split_blocks
from acechat.cli.terminal.suspend import Resumed
from acechat.cli.terminal.text import DIM, UNDIM, clean, unstyled
from acechat.cli.terminal.visible import VisibleText

if TYPE_CHECKING:  # importing rich takes a third of the time to the first character
    from acechat.cli.terminal.rendering import Renderer

__all__ = ["MarkdownWriter"]

_MAX_FRAME = 16_000
"""Characters that one frame adds."""

_MAX_FRAME_TIME = 0.1
"""Seconds after which a frame draws no further block."""

_MAX_INDENT = 80
"""Characters of white space that are kept before the first one of a block."""

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

    A block is rendered up to `end_of_head`, and its rest is printed line by line as it is: each
    frame costs a bounded time.
    """

    def __init__(self, file: TextIO, *, reasoning: bool) -> None:
        self._file = file
        self._reasoning = reasoning
        self._in_reasoning = False
        self._shown_reasoning = VisibleText()
        self._arrived: deque[str] = deque()  # text that was not split into blocks yet
        self._block = ""  # the last, incomplete block
        self._long: BlockSplitter | None = None  # set within the rest of a too long block
        self._drawn: list[str] = []  # lines on the screen that the next drawing may replace
        self._scrolled_off: list[str] = []  # lines of the block, unstyled
        self._stale = False  # a line that scrolled off has changed
        self._any_block = False
        self._timer: asyncio.TimerHandle | None = None
        self._next = 0.0
        self._failure: OSError | None = None
        self._resumed = Resumed()

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
                self._show_reasoning(self._shown_reasoning.feed(clean(text)))
            if text := delta.content or delta.refusal:
                self._end_reasoning("\n\n")
                self._arrived.append(clean(text))
        if self._timer is not None or not any(map(str.strip, (self._block, *self._arrived))):
            return
        if not self._any_block and not self._drawn and self._show_unrendered():
            self._timer = _loop().call_later(0, self._draw_later)
        elif (wait := self._next - time.monotonic()) > 0:
            self._timer = _loop().call_later(wait, self._draw_later)
        else:
            self._draw_later()
            if self._failure is not None:
                raise self._failure

    def close(self) -> None:
        """Print the last block.

        Raises:
            OSError: The terminal was closed.
        """
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        try:
            if self._failure is not None:
                raise self._failure
            self._draw_rest()
            self._end_reasoning("\n")
            self._file.flush()
        finally:
            self._resumed.close()

    def _draw_rest(self) -> None:
        requests = _cancellations()
        while self._arrived and not self._renderer.interrupted:
            self._draw()
            if _cancellations() > requests:  # Ctrl-C between two blocks
                self._renderer.interrupt()
        self._draw(last=True)
        more = sum(map(len, self._arrived))
        self._arrived.clear()
        if more:
            self._write([f"... ({more:,} more characters were received)"])

    def _show_reasoning(self, text: str) -> None:
        self._in_reasoning = True
        self._file.write(f"{DIM}{text}{UNDIM}")
        self._file.flush()

    def _end_reasoning(self, end: str) -> None:
        if self._in_reasoning:
            self._in_reasoning = False
            if rest := self._shown_reasoning.close():
                self._show_reasoning(rest)
                self._in_reasoning = False
            self._file.write(end)

    def _show_unrendered(self) -> bool:
        """Write a plain first line before rich is imported, which renders it identically."""
        line = "".join(self._arrived)
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
        else:
            if self._arrived:
                self._timer = _loop().call_later(self._next - time.monotonic(), self._draw_later)

    def _draw(self, *, last: bool = False) -> None:
        started = time.monotonic()
        if self._resumed.take():
            self._drawn, self._scrolled_off, self._stale = [], [], False
        text = self._block + self._next_text()
        if self._long is not None:
            text = self._put_plainly(self._long, text, last=last)
        if self._long is None:
            text = self._put_blocks(split_blocks(text), started, last=last)
        self._block = text
        now = time.monotonic()
        self._next = now + max(_FRAME, _IDLE_RATIO * (now - started))

    def _next_text(self) -> str:
        """Take text for one frame."""
        size = 0
        texts: list[str] = []
        while self._arrived and size < _MAX_FRAME:
            texts.append(self._arrived.popleft())
            size += len(texts[-1])
        text = "".join(texts)
        if size > 2 * _MAX_FRAME:
            self._arrived.appendleft(text[_MAX_FRAME:])
            text = text[:_MAX_FRAME]
        return text

    def _put_blocks(self, blocks: list[str], started: float, *, last: bool) -> str:
        """Draw *blocks*; return the last one, if it is incomplete."""
        *complete, text = blocks
        for number, block in enumerate(complete):
            if time.monotonic() - started > _MAX_FRAME_TIME and not last:
                self._arrived.appendleft("".join(blocks[number:]))
                return ""
            self._put_block(block, final=True)
        return self._put_block(text, final=last)

    def _put_block(self, block: str, *, final: bool) -> str:
        """Draw *block*, complete if *final*; return the text that must be drawn again."""
        if not block.strip():  # only the indentation of its next line matters
            return block[block.rfind("\n") + 1 :][-_MAX_INDENT:]
        head = block[: end_of_head(block)]
        rest = block[len(head) :]
        self._put(head, final=final or bool(rest))
        if not rest:
            return block
        splitter = BlockSplitter()
        for line in head.splitlines(keepends=True):
            splitter.begins_block(line)
        return self._put_plainly(splitter, rest, last=final)

    def _put_plainly(self, splitter: BlockSplitter, text: str, *, last: bool) -> str:
        """Print the rest of a too long block; return the text after its end, or its last line."""
        from acechat.cli.terminal.rendering import plain_lines

        at = 0
        self._long = None if last else splitter
        for line in text.splitlines(keepends=True):
            if line[-1] != "\n" and len(line) < MAX_CHARS and not last:
                break
            if splitter.begins_block(line):
                self._long = None
                break
            at += len(line)
        complete, rest = text[:at], text[at:]
        if complete:
            self._write(plain_lines(complete.removesuffix("\n")))
            self._drawn = []
        if rest and self._long is not None:
            self._write(plain_lines(rest))
        return rest

    def _render(self, text: str) -> list[str]:
        lines = self._renderer.render(text, _size(self._file)[0])
        return ["", *lines] if self._any_block else lines

    def _put(self, text: str, *, final: bool) -> None:
        lines = self._render(text)
        skip = len(self._scrolled_off)
        if skip and [unstyled(line) for line in lines[:skip]] != self._scrolled_off:
            self._stale = True
        rows = max(1, _size(self._file)[1] - 1)
        if final:
            self._write(lines if self._stale else lines[skip:])
            self._drawn, self._scrolled_off, self._stale, self._any_block = [], [], False, True
        elif self._stale or text.lstrip()[:1] == "|":  # the columns of a table may still change
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


def _cancellations() -> int:
    """Return the number of requests to cancel the current task; 0 outside of tasks."""
    task = asyncio.current_task()
    return task.cancelling() if task is not None else 0


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
