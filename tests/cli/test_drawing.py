"""Incremental drawing of Markdown: each write is a complete frame, without flicker."""

from __future__ import annotations

import asyncio
import io
import re
import time

from acechat import Delta
from acechat.cli.terminal import rendering as _rendering
from acechat.cli.terminal.markdown import MarkdownWriter

FRAMES = 30
"""Maximum frames per second."""


class Screen(io.StringIO):
    """A terminal of 80 x 24 that records each write."""

    def __init__(self):
        super().__init__()
        self.writes = []

    def write(self, text):
        if text:
            self.writes.append(text)
        return super().write(text)


def draw(chunks, pause):
    """Return the writes for *chunks*, with a *pause* after each, and the duration."""
    assert _rendering  # so that no import delays the first drawing

    async def show():
        screen = Screen()
        writer = MarkdownWriter(screen, reasoning=False)
        started = time.monotonic()
        for chunk in chunks:
            writer.show([Delta(content=chunk)])
            await asyncio.sleep(pause)
        writer.close()
        return screen.writes, time.monotonic() - started

    return asyncio.run(show())


def test_a_complete_line_is_written_once():
    writes, _ = draw([f"* item {number:02}\n" for number in range(15)], pause=0.05)

    found = re.findall(r"item (\d\d)", "".join(writes))
    assert found == [f"{number:02}" for number in range(15)]
    assert len(writes) > 5  # it was drawn incrementally


def test_no_frame_blanks_the_screen():
    words = [f"word{number} " for number in range(60)]
    writes, _ = draw([*words, "\n\n| a | b |\n| - | - |\n", "| 1 | 2 |\n", "\nend"], pause=0.02)

    redrawn = 0
    for frame in writes:
        if up := re.match(r"\x1b\[(\d+)F", frame):
            redrawn += 1
            assert frame.count("\n") >= int(up[1]) or frame.endswith("\x1b[J")
        assert not re.search(r"(?<![^\n])\x1b\[[0-9]*[KJ]|\x1b\[[12][KJ]", frame)
    assert redrawn > 5


def test_at_most_thirty_frames_are_drawn_per_second():
    writes, seconds = draw(["x "] * 300, pause=0.002)

    assert 3 < len(writes) <= seconds * FRAMES + 2
