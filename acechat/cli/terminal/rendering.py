"""Convert Markdown to the lines of a terminal, using rich."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from importlib import import_module
from typing import Any, TextIO

from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import Heading, ListElement, Markdown, TableElement
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from acechat.cli.terminal.bounded import Bounded, DrawingStoppedError
from acechat.cli.terminal.math import keep_math
from acechat.cli.terminal.visible import visible

__all__ = ["Renderer", "plain_lines"]

_TIME = 0.5
"""Maximum seconds of processor time for one block. Then code is no longer highlighted, and after
another such block, all text is plain."""

_QUOTE, _BULLET, _NUMBER = 4, 3, 4
"""Columns that rich needs for the mark of a quotation, list item and numbered item; the last one
needs more for a number above 99."""

_CELL = 4
"""Minimum columns for text in a list, quotation or table: a wide character and two margins."""

_PLAIN = str.maketrans({"•": "*", "▌": "|", "─": "-", "━": "="})

_PARSER = MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"])
"""HTML is off, because rich omits HTML tokens: ``List<String>`` must stay text."""

_MAX_NESTING = 100
"""Levels of tokens; the parser omits deeper blocks, so `fits` rejects them."""

_PARSER.options["maxNesting"] = _MAX_NESTING

_PARSER.disable(
    "reference"
)  # a definition would hide its URL, and change lines that are already drawn


keep_math(_PARSER)


class _Heading(Heading):
    """A left-aligned heading; rich centers it and draws a box around h1."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        text: Text = self.text
        text.justify = "left"
        text.stylize("bold underline" if self.tag == "h1" else "bold")
        yield text


class _List(ListElement):
    """An ordered list with a fixed indent, whose numbers keep their dot or parenthesis.

    Rich indents all items anew with the tenth one, and shows bare numbers.
    """

    mark = "."

    @classmethod
    def create(cls, markdown: Markdown, token: Token) -> _List:  # noqa: ARG003 - given by rich
        """Create the list that *token* opens."""
        created = cls(token.type, int(token.attrs.get("start", 1)))
        created.mark = token.markup or "."
        return created

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self.list_type != "ordered_list_open":
            yield from super().__rich_console__(console, options)
            return
        for number, item in enumerate(
            self.items, 1 if self.list_start is None else self.list_start
        ):
            numeral = f"{number}{self.mark} "
            for segment in item.render_number(console, options, number, max(number, 10)):
                # The number stands in a segment of its own, aligned right, with a space after it.
                if isinstance(segment, Segment) and segment.text.strip() == str(number) and numeral:
                    yield Segment(numeral.rjust(len(segment.text)), segment.style)
                    numeral = ""
                else:
                    yield segment


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

    def __init__(self, markup: str, *, highlight: bool) -> None:
        super().__init__("", code_theme="ansi_dark", hyperlinks=False)
        self.markup = markup
        self.parsed = _PARSER.parse(markup)
        for token in self.parsed:
            token.content = visible(token.content)
            if token.type == "fence" and token.info:
                language = token.info.partition(" ")[0].lower()
                token.info = language if highlight and language in _languages() else "text"
            if token.children:
                token.children = list(_with_addresses(token.children))
                for child in token.children:  # an entity may name any character
                    child.content = visible(child.content)

    def fits(self, width: int) -> bool:
        """Return True if *width* columns have room for each block.

        The parser omits blocks below its limit of nesting, and rich those without any room.
        """
        used: list[int] = []  # columns of each list item and quotation around the token
        columns = 0
        for token in self.parsed:
            if token.type == "blockquote_open":
                used.append(_QUOTE)
            elif token.type == "list_item_open":
                used.append(max(_NUMBER, len(token.info) + 2) if token.info else _BULLET)
            elif token.type in {"blockquote_close", "list_item_close"}:
                used.pop()
            elif token.type in {"tr_open", "tr_close"}:
                columns = 0
            columns += token.type in {"th_open", "td_open"}
            inside = sum(used)
            if (inside or columns) and inside + max(columns, 1) * _CELL > width:
                return False
            if token.level >= _MAX_NESTING - 2:
                return False
        return True


@cache
def _languages() -> frozenset[str]:
    """Return the names of the languages that pygments knows without searching for plug-ins."""
    lexers: Any = import_module("pygments.lexers")  # it has no types
    return frozenset(name for lexer in lexers.get_all_lexers(plugins=False) for name in lexer[1])


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
    return visible(f'{token.attrs[name]} "{title}"' if title else str(token.attrs[name]))


class Renderer:
    """Renderer with the colors and the character set of one terminal."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._console = self._new_console()
        utf8 = self._console.encoding.lower().startswith("utf")
        self._replacements: dict[int, str] = {} if utf8 else _PLAIN
        self._highlight = [True, False]  # the first value that is fast enough is used; else plain
        self.interrupted: bool = False
        """True after a signal during a drawing; all further text is plain."""

    def interrupt(self) -> None:
        """Make all further text plain."""
        self.interrupted = True
        self._highlight = []

    def _new_console(self) -> Console:
        return Console(file=self._file, force_terminal=True, highlight=False)

    def render(self, text: str, width: int) -> list[str]:
        """Return the styled lines of *text* without line ends.

        Links are followed by their URL, so that untrusted text cannot hide it. Text is plain if it
        takes too long or has no room, so that nothing of it is lost.
        """
        while self._highlight:
            try:
                with Bounded(_TIME):
                    return self._rendered(text, width, highlight=self._highlight[0])
            except DrawingStoppedError as stopped:
                del self._highlight[0]
                if stopped.interrupted:
                    self.interrupt()
                self._console = self._new_console()  # the state of the old one is undefined
            except RecursionError:
                break
        return plain_lines(text.strip("\n"))

    def _rendered(self, text: str, width: int, *, highlight: bool) -> list[str]:
        markdown = _Markdown(text, highlight=highlight)
        if not markdown.fits(width):
            return plain_lines(text.strip("\n"))
        self._console.width = width
        with self._console.capture() as capture:
            self._console.print(markdown)
        lines = [line.rstrip() for line in capture.get().translate(self._replacements).split("\n")]
        while lines and not lines[-1]:
            lines.pop()
        while lines and not lines[0]:  # rich emits an empty line before a list
            del lines[0]
        return lines


def plain_lines(text: str) -> list[str]:
    """Return the lines of *text* unrendered; the terminal wraps them."""
    return [line.rstrip() for line in visible(text).expandtabs().split("\n")]
