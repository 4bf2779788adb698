"""Convert Markdown to the lines of a terminal, using rich."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TextIO

from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import Heading, ListElement, Markdown, TableElement
from rich.table import Table
from rich.text import Text

__all__ = ["Renderer"]

_PLAIN = str.maketrans({"•": "*", "▌": "|", "─": "-", "━": "="})

_PARSER = MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"])
"""HTML is off, because rich omits HTML tokens: ``List<String>`` must stay text."""

_PARSER.disable(
    "reference"
)  # a definition would hide its URL, and change lines that are already drawn


class _Heading(Heading):
    """A left-aligned heading; rich centers it and draws a box around h1."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        text: Text = self.text
        text.justify = "left"
        text.stylize("bold underline" if self.tag == "h1" else "bold")
        yield text


class _List(ListElement):
    """An ordered list with a fixed indent; rich indents all items anew with the tenth one."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self.list_type != "ordered_list_open":
            yield from super().__rich_console__(console, options)
            return
        for number, item in enumerate(
            self.items, 1 if self.list_start is None else self.list_start
        ):
            yield from item.render_number(console, options, number, max(number, 10))


class _Table(TableElement):
    """A table that breaks a word longer than its column; rich truncates it."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for table in super().__rich_console__(console, options):
            if isinstance(table, Table):
                for column in table.columns:
                    column.overflow = "fold"
            yield table


class _Markdown(Markdown):
    elements = Markdown.elements | {
        "heading_open": _Heading,
        "ordered_list_open": _List,
        "table_open": _Table,
    }

    def __init__(self, markup: str) -> None:
        super().__init__("", code_theme="ansi_dark", hyperlinks=False)
        self.markup = markup
        self.parsed = _PARSER.parse(markup)
        for token in self.parsed:
            if token.children:
                token.children = list(_with_addresses(token.children))


def _with_addresses(tokens: Sequence[Token]) -> Iterator[Token]:
    """Convert images to links, and a link whose text is its URL to plain text.

    Rich shows only the alt text of an image, before the paragraph that contains it.
    """
    bare = False
    for index, token in enumerate(tokens):
        if token.type == "image":
            yield Token("link_open", "a", 1, attrs={"href": _address(token, "src")})
            yield from _with_addresses(token.children or ())
            yield Token("link_close", "a", -1)
        elif token.type == "link_open":
            token.attrs["href"] = href = _address(token, "href")
            label, *after = tokens[index + 1 : index + 3]
            alone = bool(after) and after[0].type == "link_close"
            bare = alone and href in {label.content, f"mailto:{label.content}"}
            if not bare:
                yield token
        elif token.type != "link_close" or not bare:
            yield token


def _address(token: Token, name: str) -> str:
    title = token.attrs.get("title")
    return f'{token.attrs[name]} "{title}"' if title else str(token.attrs[name])


class Renderer:
    """Renderer with the colors and the character set of one terminal."""

    def __init__(self, file: TextIO) -> None:
        self._console = Console(file=file, force_terminal=True, highlight=False)
        utf8 = self._console.encoding.lower().startswith("utf")
        self._replacements: dict[int, str] = {} if utf8 else _PLAIN

    def render(self, text: str, width: int) -> list[str]:
        """Return the styled lines of *text* without line ends.

        Links are followed by their URL, so that untrusted text cannot hide it.
        """
        with self._console.capture() as capture:
            self._console.print(_Markdown(text), width=width)
        lines = [line.rstrip() for line in capture.get().translate(self._replacements).split("\n")]
        while lines and not lines[-1]:
            lines.pop()
        while lines and not lines[0]:  # rich emits an empty line before a list
            del lines[0]
        return lines
