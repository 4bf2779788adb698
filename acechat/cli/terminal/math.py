r"""Math in Markdown: it passes unchanged; ``\(``, ``_`` and ``*`` have a meaning in both."""

from __future__ import annotations

import re

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline

__all__ = ["keep_math"]

_SPAN = re.compile(
    r"\\\((?:(?!\\\)).)+\\\)|\\\[(?:(?!\\\]).)+\\\]|\$\$(?:(?!\$\$).)+\$\$"
    # As in pandoc: $ touches the content, and no digit follows, so that prices stay text.
    r"|\$(?![\s$])(?:\\.|[^$\\\n])*(?<![\s\\])\$(?!\d)",
    re.DOTALL,
)
_OPENING = re.compile(r"(\$\$|\\\[)")
_CLOSING = {"$$": "$$", "\\[": "\\]"}
_MAX_SPAN = 4000
"""Characters in which the end of a formula is searched for."""


def keep_math(parser: MarkdownIt) -> None:
    """Make *parser* treat formulas as text."""
    parser.inline.ruler.before("escape", "math", _inline)
    parser.block.ruler.before("fence", "math", _block, {"alt": ["paragraph", "blockquote", "list"]})


def _inline(state: StateInline, silent: bool) -> bool:
    if state.src[state.pos] not in "$\\":
        return False
    match = _SPAN.match(state.src, state.pos, min(state.posMax, state.pos + _MAX_SPAN))
    if match is None:
        return False
    if not silent:
        state.push("text", "", 0).content = match[0]
    state.pos = match.end()
    return True


def _block(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Read a formula of several lines, which may look like lists or headings."""
    opening = _OPENING.match(state.src, state.bMarks[start] + state.tShift[start])
    if opening is None or state.is_code_block(start):
        return False
    closing = _CLOSING[opening[1]]
    for line in range(start, end):
        begin = state.bMarks[line] + state.tShift[line] + (2 if line == start else 0)
        if state.src[begin : state.eMarks[line]].rstrip().endswith(closing):
            break
    else:
        return False
    if not silent:
        state.push("paragraph_open", "p", 1).map = [start, line + 1]
        inline = state.push("inline", "", 0)
        inline.content = state.getLines(start, line + 1, state.blkIndent, keepLastLF=False).strip()
        inline.map, inline.children = [start, line + 1], []
        state.push("paragraph_close", "p", -1)
    state.line = line + 1
    return True
