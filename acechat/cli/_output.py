"""How an answer is shown: as Markdown on a terminal, plain where it is piped."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

from acechat.types import Delta

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live

__all__ = ["MarkdownWriter", "printer"]

Show: TypeAlias = Callable[[Delta], None]


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
        self._last = {sys.stdout: "\n", sys.stderr: "\n"}

    def show(self, delta: Delta) -> None:
        if self._reasoning and delta.reasoning_content:
            self._write(sys.stderr, delta.reasoning_content)
        if delta.content:
            self._write(sys.stdout, delta.content)

    def _write(self, file: object, text: str) -> None:
        stream = sys.stderr if file is sys.stderr else sys.stdout
        stream.write(text)
        stream.flush()
        self._last[stream] = text[-1]

    def close(self) -> None:
        for stream, last in self._last.items():
            if last != "\n":
                stream.write("\n")
                stream.flush()


class MarkdownWriter:
    """Renders Markdown while it arrives.

    A block that has ended is printed for good, so that it scrolls like any other output; only the
    block that is still being written is drawn anew.
    """

    def __init__(self, console: Console, *, reasoning: bool) -> None:
        self._console = console
        self._reasoning = reasoning
        self._thinking = False
        self._block = ""
        self._live: Live | None = None

    def show(self, delta: Delta) -> None:
        """Show the next piece."""
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
            if whole:
                self._settle(whole)
            self._draw()

    def close(self) -> None:
        """Print what is left, for good."""
        if self._block:
            self._settle(self._block)
            self._block = ""
        elif self._thinking:
            self._console.print()

    def _draw(self) -> None:
        from rich.live import Live
        from rich.markdown import Markdown

        if not self._block.strip():
            return
        if self._live is None:
            self._live = Live(console=self._console, transient=True, auto_refresh=False)
            self._live.start()
        self._live.update(Markdown(self._block), refresh=True)

    def _settle(self, text: str) -> None:
        from rich.markdown import Markdown

        if self._live is not None:
            self._live.stop()
            self._live = None
        self._console.print(Markdown(text))
        if self._block:
            self._console.print()


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
