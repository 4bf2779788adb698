"""What stays when the command is ended from outside: the terminal, and what had arrived."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from acechat.emulator import ok, pace, stall

COMMAND = f"{sys.executable} -m acechat"
KEYS = "stty -a | tr ' ;' '\\n' | grep -xE -e '-?(echo|icanon|icrnl)' | sort | tr '\\n' ' '"


@pytest.fixture
def talk(terminal, environment):
    """A conversation that waits for its first question; the terminal's keys are told at its end."""

    def begin(*arguments):
        words = " ".join(["chat", *arguments])
        terminal.open(command=f"{COMMAND} {words}; echo code $? keys $({KEYS})", width=100)
        terminal.wait_for("/help lists what you can do")
        time.sleep(0.3)  # until the line editor reads
        return terminal

    return begin


def client_of(terminal):
    shell = terminal.tmux("display-message", "-p", "#{pane_pid}").strip()
    return int(Path(f"/proc/{shell}/task/{shell}/children").read_text().split()[0])


def kept(home, wanted):
    """Wait until the newest conversation is kept as *wanted*; return what is."""
    end = time.monotonic() + 10
    found = []
    while found != wanted and time.monotonic() < end:
        time.sleep(0.05)
        for file in sorted((home / "state" / "conversations").glob("*.json")):
            found = [message["content"] for message in json.loads(file.read_text())["messages"]]
    return found


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (lambda terminal: terminal.say("/exit"), 0),
        (lambda terminal: terminal.press("C-d"), 0),
        (lambda terminal: os.kill(client_of(terminal), signal.SIGTERM), 143),
        (lambda terminal: os.kill(client_of(terminal), signal.SIGHUP), 129),
    ],
    ids=["/exit", "Ctrl-D", "SIGTERM", "SIGHUP"],
)
def test_the_terminal_is_as_it_was(talk, end, code):
    terminal = talk()

    end(terminal)

    screen = terminal.end()
    assert f"code {code} keys echo icanon icrnl" in screen
    assert "Traceback" not in screen


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_in_the_middle_of_an_answer_keeps_what_came(talk, environment, home, number, code):
    environment.script(stall(60, after=5, of=ok(["It ", "begins ", "well ", "and never ends"])))
    terminal = talk()
    terminal.say("Tell me a story")
    terminal.wait_for("It begins well")

    os.kill(client_of(terminal), number)

    screen = terminal.end()
    assert f"code {code} keys echo icanon icrnl" in screen
    assert "Traceback" not in screen
    assert "never retrieved" not in screen
    wanted = ["Tell me a story", "It begins well "]
    assert kept(home, wanted) == wanted


def test_a_terminal_that_is_closed_keeps_what_came(talk, environment, home):
    environment.script(pace(0.05, of=ok([f"word{number} " for number in range(600)])))
    terminal = talk()
    terminal.say("Count")
    terminal.wait_for("word9 ")
    client = client_of(terminal)

    terminal.tmux("kill-server")

    end = time.monotonic() + 10
    while Path(f"/proc/{client}").exists() and time.monotonic() < end:
        time.sleep(0.05)
    (file,) = (home / "state" / "conversations").glob("*.json")
    question, answer = json.loads(file.read_text())["messages"]
    assert question["content"] == "Count"
    assert answer["content"].startswith("word0 word1 word2 word3 word4 word5 word6 word7 word8 ")


@pytest.mark.parametrize("prompt", ["", "Count"])
def test_a_process_that_is_killed_has_kept_what_came(terminal, environment, home, prompt):
    environment.script(stall(60, after=5, of=ok(["It ", "begins ", "well ", "and never ends"])))
    terminal.open("chat", *[prompt] * bool(prompt))
    if not prompt:
        terminal.wait_for("/help lists what you can do")
        time.sleep(0.3)
        terminal.say("Count")
    terminal.wait_for("It begins well")

    assert kept(home, wanted := ["Count", "It begins well "]) == wanted
    os.kill(client_of(terminal), signal.SIGKILL)
    terminal.end()
    assert kept(home, wanted) == wanted


def test_a_question_whose_answer_was_stopped_is_asked_with_retry_next_time(
    talk, terminal, environment, home
):
    environment.script(stall(60, after=1))
    talk()
    terminal.say("Who am I?")
    end = time.monotonic() + 10
    while not environment.requests and time.monotonic() < end:
        time.sleep(0.05)
    os.kill(client_of(terminal), signal.SIGTERM)
    terminal.wait_for("code 143")
    terminal.tmux("kill-server")

    talk("--continue")

    terminal.wait_for("not answered yet (/retry asks again): Who am I?")


def test_a_program_that_is_ended_says_nothing_more(environment):
    environment.script(stall(20, after=3))
    process = subprocess.Popen(
        [sys.executable, "-m", "acechat", "chat", "Hello"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.read(3) == "You"

    process.send_signal(signal.SIGTERM)
    _, complaints = process.communicate(timeout=10)

    assert process.returncode == 143
    assert complaints == ""


def test_a_byte_that_is_no_text_does_not_end_a_conversation(talk, environment):
    terminal = talk()

    terminal.type("abc")
    terminal.press("-H", "fc")
    time.sleep(0.3)
    terminal.say("def")
    terminal.wait_for("You said")

    assert environment.requests[0].json["messages"][0]["content"] == "abc\ufffddef"
