"""How an answer is shown: as Markdown on a terminal, plain where it is piped."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO, TypeAlias

from acechat.types import Delta

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["MarkdownWriter", "printer"]

Show: TypeAlias = Callable[[Sequence[Delta]], None]


@contextmanager
def printer(*, reasoning: bool) -> Generator[Show]:
    """Return what shows the pieces of an answer on standard output."""
    if sys.stdout.isatty():
        from rich.console import Console

        writer = MarkdownWriter(Console(), reasoning=reasoning)
        try:
            yield writer.show
        finally:
            writer.close()
    else:
        plain = _PlainWriter(reasoning=reasoning)
        try:
            yield plain.show
        finally:
            plain.close()


class _PlainWriter:
    """Writes text as it comes; thoughts go to standard error."""

    def __init__(self, *, reasoning: bool) -> None:
        self._reasoning = reasoning
        self._unfinished: set[TextIO] = set()  # whose last line has no end yet

    def show(self, deltas: Sequence[Delta]) -> None:
        for delta in deltas:
            if self._reasoning and delta.reasoning_content:
                self._write(sys.stderr, delta.reasoning_content)
            if delta.content:
                self._write(sys.stdout, delta.content)

    def _write(self, stream: TextIO, text: str) -> None:
        stream.write(text)
        stream.flush()
        if text.endswith("\n"):
            self._unfinished.discard(stream)
        else:
            self._unfinished.add(stream)

    def close(self) -> None:
        for stream in self._unfinished:
            stream.write("\n")
            stream.flush()


class MarkdownWriter:
    """Renders Markdown while it arrives.

    A block that has ended is printed for good, so that it scrolls like any other output. Only the
    block that is still being written is drawn anew, as much of it as the screen can show.
    """

    def __init__(self, console: Console, *, reasoning: bool) -> None:
        self._console = console
        self._reasoning = reasoning
        self._thinking = False
        self._block = ""
        self._drawn = 0  # lines on the screen that the next drawing replaces
        self._begun = False

    def show(self, deltas: Sequence[Delta]) -> None:
        """Show the next pieces."""
        for delta in deltas:
            if self._reasoning and delta.reasoning_content:
                self._thinking = True
                self._console.print(
                    delta.reasoning_content, style="dim", end="", markup=False, highlight=False
                )
            if delta.content:
                if self._thinking:
                    self._thinking = False
                    self._console.print("\n")
                self._block += delta.content
        whole, self._block = split_blocks(self._block)
        if whole.strip():
            self._settle(whole)
        if self._block.strip():
            self._draw(self._rendered(self._block)[1 - self._console.height :])

    def close(self) -> None:
        """Print what is left, for good."""
        if self._block.strip():
            self._settle(self._block)
        elif self._thinking:
            self._console.print()

    def _settle(self, text: str) -> None:
        self._draw(self._rendered(text))
        self._drawn = 0
        self._begun = True

    def _rendered(self, text: str) -> list[str]:
        from rich.markdown import Markdown

        with self._console.capture() as capture:
            self._console.print(Markdown(text))
        lines = capture.get().splitlines(keepends=True)
        while lines and not lines[0].strip():  # rich begins a list with an empty line
            del lines[0]
        return ["\n", *lines] if self._begun else lines

    def _draw(self, lines: list[str]) -> None:
        # One write, over the old lines: nothing is blank in between. What is left below is cleared
        # last, for clearing from the top of the screen would push it into tmux's history.
        up = f"\x1b[{self._drawn}F" if self._drawn else ""
        self._console.file.write(up + "".join(f"\x1b[2K{line}" for line in lines) + "\x1b[J")
        self._console.file.flush()
        self._drawn = len(lines)


def split_blocks(text: str) -> tuple[str, str]:
    """Cut *text* after its last block that has ended: at an empty line outside of a code fence."""
    end = at = 0
    fence = ""
    for line in text.splitlines(keepends=True):
        at += len(line)
        mark = line.lstrip()[:3]
        if not fence and mark in {"```", "~~~"}:
            fence = mark
        elif fence and line.strip().startswith(fence):
            fence = ""
        elif not fence and line == "\n":
            end = at
    return text[:end], text[end:]
