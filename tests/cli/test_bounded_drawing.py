"""Drawing of any text takes linear time, loses nothing, and ends at once by Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
import signal
import subprocess
import sys
import threading
import time

import pytest

from acechat import Delta
from acechat.cli.terminal.blocks import end_of_head
from acechat.cli.terminal.bounded import Bounded, DrawingStoppedError
from acechat.cli.terminal.markdown import MarkdownWriter
from acechat.cli.terminal.rendering import Renderer
from acechat.cli.terminal.text import unstyled


def new_renderer():
    return Renderer(io.TextIOWrapper(io.BytesIO(), "utf-8"))


def lines(text, width=80):
    return [unstyled(line) for line in new_renderer().render(text, width)]


# ---- nothing is lost

NESTED = {
    "quotations": lambda depth: "> " * depth + "word",
    "quotations with code": lambda depth: f"{'> ' * depth}```\n{'> ' * depth}word",
    "list": lambda depth: "".join(f"{'  ' * level}* word\n" for level in range(depth)),
    "numbers": lambda depth: "".join(f"{'   ' * level}1. word\n" for level in range(depth)),
    "long numbers": lambda depth: "".join(
        f"{' ' * 11 * level}123456789. word\n" for level in range(depth)
    ),
    "list on one line": lambda depth: "* " * depth + "word",
    "quotations and lists": lambda depth: "> * " * depth + "word",
    "table": lambda depth: f"|{'word|' * depth}\n|{'-|' * depth}\n|{'word|' * depth}",
    "table in a quotation": lambda depth: "\n".join(
        f"> {line}" for line in NESTED["table"](depth).split("\n")
    ),
    "emphasis": lambda depth: "*a **b " * depth + "word" + "** *" * depth,
    "links": lambda depth: "[" * depth + "word" + "](x)" * depth,
    "images": lambda depth: "![" * depth + "word" + "](x)" * depth,
}


@pytest.mark.parametrize("width", [24, 40, 80, 300])
@pytest.mark.parametrize("kind", NESTED)
def test_no_word_of_a_deep_block_is_lost(kind, width):
    for depth in [*range(1, 30), 48, 49, 50, 98, 99, 100, 101, 150, 1_000]:
        text = NESTED[kind](depth)
        shown = "".join(lines(text, width))

        # a narrow column breaks words
        letters = re.sub("[^word]", "", shown)
        assert letters.count("w") >= text.count("word"), (depth, width)
        assert letters.count("d") >= text.count("word"), (depth, width)


class Screen(io.StringIO):
    """Keeps what is on a terminal of 80 x 24 that has scrolled: drawings are replaced."""

    def __init__(self):
        super().__init__()
        self.frames = []

    def write(self, text):
        self.frames.append(text)
        return len(text)

    @property
    def rows(self):
        found = []
        for frame in self.frames:
            if up := re.match(r"\x1b\[(\d+)F", frame):
                del found[len(found) - int(up[1]) :]
            for line in re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", frame).split("\n")[:-1]:
                found += [line[at : at + 80] for at in range(0, len(line) or 1, 80)]
        return found


def draw(text, size):
    """Return the screen after *text* arrived in deltas of *size*."""

    async def show():
        screen = Screen()
        writer = MarkdownWriter(screen, reasoning=False)
        for at in range(0, len(text), size):
            writer.show([Delta(content=text[at : at + size])])
            if not at % (50 * size):
                await asyncio.sleep(0)
        writer.close()
        return screen

    return asyncio.run(show())


LONG = {
    "table": ("| a | b |\n| - | - |\n", "| {0} | x{0}y |\n"),
    "code": ("```python\n", "x{0}y = {0}\n"),
    "list": ("", "* x{0}y\n"),
    "paragraph": ("", "x{0}y "),
    "one line of code": ("```\n", "x{0}y "),
}


@pytest.mark.parametrize("size", [7, 300, 10**6])
@pytest.mark.parametrize("kind", LONG)
def test_a_too_long_block_is_complete(kind, size):
    begin, each = LONG[kind]
    text = begin + "".join(each.format(number) for number in range(4_000))
    end = "\n```\n\nafter\n" if "code" in kind else "\n\nafter\n"

    rows = draw(text + end, size).rows

    found = re.findall(r"x(\d+)y", "".join("".join(rows).split()))
    assert [int(number) for number in found] == list(range(4_000))
    assert rows[-1].strip() == "after"


# ---- linear time


UNITS = ["[", "*a", "_a ", "`a", "![](", "<a", "> ", "[a](", "*_", "&", "\\", "~~a", "- ", "1. ",
         "|", "|a|b|\n", "\n|", "``", "#", "http://a ", "a\n\n", "```\n", "\n\n\n", "\n    ",
         "* a\n", "* a\n\n", "\u202e", "👩\u200d", "é\ufe0f", "    x"]  # fmt: skip


def seconds(work):
    began = time.process_time()
    work()
    return time.process_time() - began


@pytest.mark.parametrize("unit", UNITS, ids=ascii)
def test_drawing_takes_linear_time(unit):
    """Twice the text takes about twice as long; what is outside of the linear part is fixed."""

    def took(size):
        text = unit * (size // len(unit))
        return seconds(lambda: draw(text, 4_000))

    draw(unit * 100, 4_000)
    # a block longer than the limit is mostly plain: it takes a longer text to see its cost
    size = 4_000 if unit.endswith("\n\n") and unit.strip() else 100_000
    for _ in range(3):  # load on the machine can only increase the ratio
        ratio = took(2 * size) / took(size)
        if ratio <= 2.3:
            return
    pytest.fail(f"twice the text takes {ratio:.1f} times as long")


@pytest.mark.parametrize("unit", UNITS, ids=ascii)
def test_no_frame_takes_long(unit):
    """It is 0.02 to 0.16 s of processor time."""
    text = unit * (20_000 // len(unit))
    drawn = new_renderer()

    head = text[: end_of_head(text)]
    assert min(seconds(lambda: drawn.render(head, 100)) for _ in range(2)) < 0.4


CODE = {
    "autoit": " " * 15_000 + "x",  # quadratic in pygments: minutes
    "python": '"""' * 5_000,
    "no-such-language": "x " * 7_000,
}


@pytest.mark.parametrize("language", CODE)
def test_code_is_shown_without_colors_if_its_highlighting_takes_long(language):
    began = time.process_time()
    shown = "".join(lines(f"```{language}\n{CODE[language]}\n```"))

    assert "".join(shown.split()) == "".join(CODE[language].split())
    assert time.process_time() - began < 1.5


def test_a_slow_block_turns_highlighting_off_and_a_second_one_markdown(monkeypatch):
    drawn = new_renderer()
    again = re.compile("(a+)+$")
    pause = [lambda: again.match("a" * 40 + "b")]
    original = Renderer._rendered

    def slow(self, text, width, *, highlight):
        if "slow" in text:
            pause[0]()
        return original(self, text, width, highlight=highlight)

    monkeypatch.setattr(Renderer, "_rendered", slow)
    monkeypatch.setattr("acechat.cli.terminal.rendering._TIME", 0.05)

    assert [unstyled(line) for line in drawn.render("**a**", 80)] == ["a"]
    assert drawn.render("**slow**", 80) == ["**slow**"]
    assert drawn.render("**a**", 80) == ["**a**"]


# ---- Ctrl-C


def swallow():
    while True:
        with contextlib.suppress(Exception):
            while True:
                pass


STUCK = {
    "Python": lambda: [None for _ in iter(int, 1)],
    "a regular expression": lambda: re.match("(a+)+$", "a" * 60 + "b"),
    "swallowed exceptions": swallow,
    "waiting": lambda: time.sleep(30),
}


PRESS = """
import os, signal, time
time.sleep(0.5)
print(time.monotonic(), flush=True)
os.kill(os.getppid(), signal.SIGINT)
"""


@pytest.mark.parametrize("kind", STUCK)
def test_ctrl_c_stops_drawing_within_200_ms_and_cancels_the_task(kind):
    stopped = []

    async def drawing():
        with pytest.raises(DrawingStoppedError) as caught, Bounded(30):
            STUCK[kind]()
        stopped.append((time.monotonic(), caught.value.interrupted))
        await asyncio.sleep(10)

    before = signal.getsignal(signal.SIGINT)
    # another process: a regular expression holds the lock of the interpreter
    with subprocess.Popen([sys.executable, "-c", PRESS], stdout=subprocess.PIPE) as presser:
        with pytest.raises(KeyboardInterrupt):
            asyncio.run(drawing())
        pressed = float(presser.stdout.read())

    ((at, interrupted),) = stopped
    assert interrupted
    assert at - pressed < 0.2
    assert signal.getsignal(signal.SIGINT) is before
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0, 0)


def test_a_limit_of_processor_time_stops_drawing_without_ctrl_c():
    with pytest.raises(DrawingStoppedError) as caught, Bounded(0.05):
        STUCK["a regular expression"]()

    assert not caught.value.interrupted


def test_drawing_in_another_thread_is_not_bounded():
    done = []

    def draws():
        with Bounded(0.01):
            done.append("drawn")

    thread = threading.Thread(target=draws)
    thread.start()
    thread.join()
    assert done == ["drawn"]


def test_the_text_of_an_interrupted_block_is_plain(monkeypatch):
    def interrupted(self, text, width, *, highlight):
        signal.raise_signal(signal.SIGINT)
        pytest.fail("Ctrl-C had no effect")

    async def show():
        screen = Screen()
        writer = MarkdownWriter(screen, reasoning=False)
        with monkeypatch.context() as patch:
            patch.setattr(Renderer, "_rendered", interrupted)
            writer.show([Delta(content="**one**")])
        with pytest.raises(asyncio.CancelledError):
            await asyncio.sleep(1)
        writer.show([Delta(content=" " + "x" * 100_000)])
        writer.close()
        return screen.rows

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(kept(show(), rows := []))

    assert rows[0] == "**one**"
    assert rows[1] == "x" * 80
    assert "more characters were received" in rows[-1]


async def kept(work, rows):
    """Keep the result of *work* although its task was cancelled."""
    rows += await work
    raise asyncio.CancelledError
