"""Split Markdown into the blocks that are drawn one by one."""

from __future__ import annotations

import re

__all__ = ["MAX_CHARS", "MAX_LINES", "BlockSplitter", "end_of_head", "split_blocks"]

MAX_LINES, MAX_CHARS = 400, 16_000
"""Limits of the part of a block that is rendered: 0.2 s of processor time for any Markdown."""


class BlockSplitter:
    """Finds the first line of each Markdown block, line by line.

    A block ends at an empty line outside of a code fence if the next line is not indented; indented
    lines belong to a list item.
    """

    def __init__(self) -> None:
        self._fence = ""
        self._empty = False  # the last line
        self._any_text = False  # in the block

    def begins_block(self, line: str) -> bool:
        """Return True if *line*, the next one, begins another block."""
        begins = self._empty and self._any_text and not line[0].isspace()
        mark = re.match(r"\s*(`{3,}|~{3,})(.*)", line)
        if mark and not self._fence:
            self._fence = mark[1]
        elif mark and mark[1].startswith(self._fence) and not mark[2].strip():
            self._fence = ""
        blank = not line.strip()
        self._empty = blank and not self._fence
        self._any_text = not blank or (self._any_text and not begins)
        return begins


def split_blocks(text: str) -> list[str]:
    """Split *text* into Markdown blocks; the last one may be incomplete."""
    blocks, start, at = list[str](), 0, 0
    splitter = BlockSplitter()
    for line in text.splitlines(keepends=True):
        if splitter.begins_block(line):
            blocks.append(text[start:at])
            start = at
        at += len(line)
    return [*blocks, text[start:]]


def end_of_head(block: str) -> int:
    """Return the index up to which *block* is rendered, within the limits."""
    end = len(block)
    if block.count("\n") > MAX_LINES:
        end = sum(map(len, block.splitlines(keepends=True)[:MAX_LINES]))
    if end <= MAX_CHARS:
        return end
    ends = (block.rfind(mark, 0, MAX_CHARS) + 1 for mark in "\n ")
    return next(filter(None, ends), MAX_CHARS)
