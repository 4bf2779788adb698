"""How Markdown is drawn while it arrives: without flicker, each write a whole frame."""

from __future__ import annotations

import asyncio
import io
import re
import time

from acechat import Delta
from acechat.cli.terminal import rendering as _rendering
from acechat.cli.terminal.markdown import MarkdownWriter

FRAMES = 30
"""A second, at most."""


class Screen(io.StringIO):
    """A terminal of 80 by 24 that remembers what it was given at once."""

    def __init__(self):
        super().__init__()
        self.writes = []

    def write(self, text):
        if text:
            self.writes.append(text)
        return super().write(text)


def draw(pieces, pause):
    """Return what is written for *pieces*, with a *pause* after each, and how long it took."""
    assert _rendering  # so that no import delays the first drawing

    async def show():
        screen = Screen()
        writer = MarkdownWriter(screen, reasoning=False)
        began = time.monotonic()
        for piece in pieces:
            writer.show([Delta(content=piece)])
            await asyncio.sleep(pause)
        writer.close()
        return screen.writes, time.monotonic() - began

    return asyncio.run(show())


def test_a_line_that_is_finished_is_written_once():
    writes, _ = draw([f"* item {number:02}\n" for number in range(15)], pause=0.05)

    found = re.findall(r"item (\d\d)", "".join(writes))
    assert found == [f"{number:02}" for number in range(15)]
    assert len(writes) > 5  # it was drawn while it came


def test_nothing_is_blank_between_two_frames():
    words = [f"word{number} " for number in range(60)]
    writes, _ = draw([*words, "\n\n| a | b |\n| - | - |\n", "| 1 | 2 |\n", "\nend"], pause=0.02)

    redrawn = 0
    for written in writes:
        if up := re.match(r"\x1b\[(\d+)F", written):
            redrawn += 1
            assert written.count("\n") >= int(up[1]) or written.endswith("\x1b[J")
        assert not re.search(r"(?<![^\n])\x1b\[[0-9]*[KJ]|\x1b\[[12][KJ]", written)
    assert redrawn > 5


def test_what_comes_fast_is_drawn_thirty_times_a_second_at_most():
    writes, seconds = draw(["x "] * 300, pause=0.002)

    assert 3 < len(writes) <= seconds * FRAMES + 2
