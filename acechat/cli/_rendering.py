"""Markdown → lines for a terminal, by rich."""

from __future__ import annotations

from typing import TextIO

from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import Heading, Markdown
from rich.text import Text

__all__ = ["Renderer"]

_PLAIN = str.maketrans({"•": "*", "▌": "|", "─": "-", "━": "="})


class _Heading(Heading):
    """A heading where one reads it: rich would centre it, and put the first one into a box."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        text: Text = self.text
        text.justify = "left"
        text.stylize("bold underline" if self.tag == "h1" else "bold")
        yield text


class _Markdown(Markdown):
    elements = Markdown.elements | {"heading_open": _Heading}


class Renderer:
    """Renders for one terminal: its colours, its letters."""

    def __init__(self, file: TextIO) -> None:
        self._console = Console(file=file, force_terminal=True, highlight=False)
        utf8 = self._console.encoding.lower().startswith("utf")
        self._letters: dict[int, str] = {} if utf8 else _PLAIN

    def render(self, text: str, width: int) -> list[str]:
        """Return the lines of *text*, coloured, without their ends.

        Links show where they lead: what a stranger wrote must not hide it.
        """
        markdown = _Markdown(text, code_theme="ansi_dark", hyperlinks=False)
        with self._console.capture() as capture:
            self._console.print(markdown, width=width)
        lines = [line.rstrip() for line in capture.get().translate(self._letters).split("\n")]
        while lines and not lines[-1]:
            lines.pop()
        while lines and not lines[0]:  # rich begins a list with an empty line
            del lines[0]
        return lines
