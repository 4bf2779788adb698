"""`acechat chat PROMPT` in a real terminal: its screen, scroll-back included."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

import pytest

from acechat.emulator import cut, ok, pace, stall

COMMAND = f"{sys.executable} -m acechat"
STORY = "# A title\n\nSome **bold** text.\n\n* one\n* two\n\n```python\nx = 1\n```\n\nThe *end*.\n"


def lines(screen):
    return [line.rstrip() for line in screen.split("\n")]


def test_markdown_is_rendered(terminal, environment):
    environment.script(ok([STORY]))

    screen = terminal.open("chat", "Hello").end()

    shown = lines(screen)
    shown = shown[: shown.index("exit code 0")]
    assert [line.strip() for line in shown if line] == [
        "A title", "Some bold text.", "• one", "• two", "x = 1", "The end.",
    ]  # fmt: skip


def test_markdown_in_one_character_deltas_looks_the_same(terminal, environment):
    environment.script(ok([STORY]), pace(0.004, of=ok(list(STORY))))

    terminal.open(command=f"{COMMAND} chat Hello; echo half; {COMMAND} chat Hello")
    complete, _, by_character = terminal.end().partition("half\n")

    assert by_character.partition("exit code")[0].rstrip() == complete.rstrip()


def test_a_response_longer_than_the_screen_is_complete(terminal, environment):
    items = "".join(f"* item {number}\n" for number in range(100))
    environment.script(pace(0.002, of=ok(["Some text.\n\n", *items.splitlines(keepends=True)])))

    screen = terminal.open("chat", "Hello").end()

    found = [int(number) for number in re.findall(r"item (\d+)", screen)]
    assert found == list(range(100))


def test_lines_scroll_off_before_the_block_is_complete(terminal, environment):
    code = [f"line_{number} = {number}\n" for number in range(60)]
    environment.script(stall(60, after=62, of=ok(["```python\n", *code, "end\n", "```\n"])))

    terminal.open("chat", "Hello")
    screen = terminal.wait_for("line_58 ")

    found = [int(number) for number in re.findall(r"line_(\d+) ", screen)]
    assert found[:40] == list(range(40))


def test_a_table_that_becomes_wider_is_complete_at_its_end(terminal, environment):
    rows = [f"| {number} | {'x' * (number % 30)} |\n" for number in range(40)]
    environment.script(pace(0.002, of=ok(["| a | b |\n| - | - |\n", *rows, "\nend\n"])))

    screen = terminal.open("chat", "Hello", width=50).end()

    assert [int(number) for number in re.findall(r"(?m)^ *(\d+)\b", screen)] == list(range(40))


@pytest.mark.parametrize("width", [5, 12, 20])
def test_a_narrow_terminal_shows_all_words_once(terminal, environment, width):
    words = [f"w{number} " for number in range(30)]
    environment.script(pace(0.004, of=ok([*words, "\n\n```\n", "c = 1\n", "```\n\n", "fin"])))

    screen = terminal.open("chat", "Hello", width=width, height=10).end()

    assert re.findall(r"w(\d+)", screen) == [str(number) for number in range(30)]
    assert screen.count("fin") == 1


def test_a_terminal_that_becomes_narrower_shows_all_words(terminal, environment):
    words = [f"word{number} " for number in range(40)]
    environment.script(pace(0.05, of=ok(words)))

    terminal.open("chat", "Hello", width=70)
    terminal.wait_for("word12")
    terminal.resize(31, 20)
    terminal.end()

    # tmux reports the new size after it has wrapped the lines: old ones may be left above.
    words = re.findall(r"word(\d+)", terminal.screen(unwrapped=True))
    assert words[-40:] == [str(number) for number in range(40)]


def test_wide_characters_take_two_columns(terminal, environment):
    text = "".join(chr(0x4E00 + number) for number in range(100))
    environment.script(pace(0.004, of=ok(list(text))))

    screen = terminal.open("chat", "Hello", width=31).end()

    assert "".join(re.findall("[一-鿿]", screen)) == text


def test_the_scroll_back_has_no_duplicates(terminal, environment):
    environment.script(ok(["old"]), pace(0.004, of=ok(list(STORY * 6))))

    terminal.open(command=f"seq 30; {COMMAND} chat Hello; {COMMAND} chat Hello")
    screen = terminal.end()

    assert screen.count("The end.") == screen.count("A title") == 6
    assert lines(screen)[:30][-1] == "30"


def test_a_link_shows_its_url(terminal, environment):
    environment.script(ok(["[your bank](https://evil.example)"]))

    screen = terminal.open("chat", "Hello").end()

    assert "your bank (https://evil.example)" in screen


@pytest.mark.parametrize(
    "controls", ["\x1b]0;pwned\x07", "&#27;]0;pwned&#7;", "\x9b5mX", "&#x9b;5mX"]
)
def test_control_characters_of_a_response_are_removed(terminal, environment, controls):
    environment.script(
        ok([f"before {controls} after\n\n```\n{controls}\n```\n[x](http://a/{controls})"])
    )

    terminal.open("chat", "Hello")
    screen = terminal.end()

    assert "before" in screen
    assert "after" in screen
    assert terminal.tmux("display-message", "-p", "#{pane_title}").strip() != "pwned"
    assert "\x1b[5m" not in terminal.screen(styled=True)


def test_reasoning_is_dimmed_and_precedes_the_text(terminal, environment):
    environment.script(ok("4", reasoning="two and two"))

    terminal.open("chat", "2 + 2?", "--reasoning")
    terminal.end()

    reasoning, empty, text, *_ = terminal.screen(styled=True).split("\n")
    assert reasoning.startswith("\x1b[2mtwo and two")
    assert empty == ""
    assert re.fullmatch(r"(\x1b\[(0|39|49)m)*4", text)


def test_no_color_turns_colors_off(terminal, environment):
    environment.script(ok([STORY]))

    terminal.open("chat", "Hello", env={"NO_COLOR": "1"})
    terminal.end()

    assert not re.search(r"\x1b\[[0-9;]*(3[0-7]|4[0-7]|9[0-7])", terminal.screen(styled=True))


def test_a_dumb_terminal_gets_plain_text(terminal, environment):
    environment.script(ok([STORY]))

    screen = terminal.open("chat", "Hello", env={"TERM": "dumb"}).end()

    assert "# A title" in screen
    assert "**bold**" in screen


def test_reasoning_and_text_are_on_separate_lines_on_a_dumb_terminal(terminal, environment):
    environment.script(ok("4", reasoning="two and two"))

    screen = terminal.open("chat", "2 + 2?", "--reasoning", env={"TERM": "dumb"}).end()

    assert lines(screen)[:2] == ["two and two", "4"]


def test_bullets_become_stars_without_unicode(terminal, environment):
    environment.script(ok(["* one\n* two é\n"]))

    screen = terminal.open("chat", "Hello", env={"PYTHONIOENCODING": "ascii"}).end()

    assert [line.strip() for line in lines(screen)[:2]] == ["* one", "* two ?"]


def test_ctrl_c_keeps_the_partial_response(terminal, environment):
    environment.script(stall(30, after=5, of=ok(["some ", "text ", "that ", "never comes"])))

    terminal.open("chat", "Hello")
    terminal.wait_for("some text")
    terminal.press("C-c")
    screen = terminal.end()

    assert "some text" in screen
    assert "exit code 130" in screen
    assert "Traceback" not in screen


def test_a_truncated_response_is_shown_with_its_error(terminal, environment):
    environment.script(cut(after=4, of=ok(["**one** ", "two ", "three"])))

    screen = terminal.open("chat", "Hello", width=200).end()

    assert lines(screen)[0] == "one two"
    assert "acechat: the stream ended after 4 events" in screen
    assert "exit code 1" in screen


def test_the_seconds_are_counted_until_the_first_text(terminal, environment):
    environment.script(stall(3, after=1))

    terminal.open("chat", "Hello")
    terminal.wait_for("... 1 s")
    screen = terminal.end()

    assert "..." not in screen
    assert lines(screen)[0] == 'You said: "Hello" (1 message)'


def test_a_closed_terminal_ends_the_command(terminal, environment):
    environment.script(stall(60, after=4))
    terminal.open("chat", "Hello")
    terminal.wait_for("You said")
    number = terminal.tmux("display-message", "-p", "#{pane_pid}").strip()

    terminal.tmux("kill-server")

    end = time.monotonic() + 10
    while running(number):
        assert time.monotonic() < end
        time.sleep(0.05)


def running(number):
    try:
        return Path(f"/proc/{number}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False
