"""Signals and closed terminals: the terminal is restored, and the partial response is saved."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from acechat.cli.library.store import Store
from acechat.emulator import ok, pace, stall

COMMAND = f"{sys.executable} -m acechat"
KEYS = "stty -a | tr ' ;' '\\n' | grep -xE -e '-?(echo|icanon|icrnl)' | sort | tr '\\n' ' '"


@pytest.fixture
def chat(terminal, environment):
    """Start a conversation; at its end, the mode of the terminal is printed."""

    def start(*arguments):
        command = " ".join(["chat", *arguments])
        terminal.open(command=f"{COMMAND} {command}; echo code $? keys $({KEYS})", width=100)
        terminal.wait_for("/help lists the commands")
        time.sleep(0.3)  # until the line editor reads
        return terminal

    return start


def client_of(terminal):
    shell = terminal.tmux("display-message", "-p", "#{pane_pid}").strip()
    return int(Path(f"/proc/{shell}/task/{shell}/children").read_text().split()[0])


def saved(home, expected):
    """Wait until the newest saved conversation is *expected*; return the last one seen."""
    end = time.monotonic() + 10
    found = []
    while found != expected and time.monotonic() < end:
        time.sleep(0.05)
        for entry in Store(home / "state").latest():
            found = [message["content"] for message in entry.messages]
    return found


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (lambda terminal: terminal.enter("/exit"), 0),
        (lambda terminal: terminal.press("C-d"), 0),
        (lambda terminal: os.kill(client_of(terminal), signal.SIGTERM), 143),
        (lambda terminal: os.kill(client_of(terminal), signal.SIGHUP), 129),
    ],
    ids=["/exit", "Ctrl-D", "SIGTERM", "SIGHUP"],
)
def test_the_terminal_is_restored(chat, end, code):
    terminal = chat()

    end(terminal)

    screen = terminal.end()
    assert f"code {code} keys echo icanon icrnl" in screen
    assert "Traceback" not in screen


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_during_a_response_saves_its_text(chat, environment, home, number, code):
    environment.script(stall(60, after=5, of=ok(["It ", "begins ", "well ", "and never ends"])))
    terminal = chat()
    terminal.enter("Tell me a story")
    terminal.wait_for("It begins well")

    os.kill(client_of(terminal), number)

    screen = terminal.end()
    assert f"code {code} keys echo icanon icrnl" in screen
    assert "Traceback" not in screen
    assert "never retrieved" not in screen
    expected = ["Tell me a story", "It begins well "]
    assert saved(home, expected) == expected


def test_a_closed_terminal_saves_the_partial_response(chat, environment, home):
    environment.script(pace(0.05, of=ok([f"word{number} " for number in range(600)])))
    terminal = chat()
    terminal.enter("Count")
    terminal.wait_for("word9 ")
    client = client_of(terminal)

    terminal.tmux("kill-server")

    end = time.monotonic() + 10
    while Path(f"/proc/{client}").exists() and time.monotonic() < end:
        time.sleep(0.05)
    (entry,) = Store(home / "state").latest(2)
    prompt, response = entry.messages
    assert prompt["content"] == "Count"
    assert response["content"].startswith("word0 word1 word2 word3 word4 word5 word6 word7 word8 ")


@pytest.mark.parametrize("prompt", ["", "Count"])
def test_a_killed_process_has_saved_the_partial_response(terminal, environment, home, prompt):
    environment.script(stall(60, after=5, of=ok(["It ", "begins ", "well ", "and never ends"])))
    terminal.open("chat", *[prompt] * bool(prompt))
    if not prompt:
        terminal.wait_for("/help lists the commands")
        time.sleep(0.3)
        terminal.enter("Count")
    terminal.wait_for("It begins well")

    assert saved(home, expected := ["Count", "It begins well "]) == expected
    os.kill(client_of(terminal), signal.SIGKILL)
    terminal.end()
    assert saved(home, expected) == expected


def test_a_prompt_without_a_response_can_be_sent_by_retry_in_the_next_session(
    chat, terminal, environment, home
):
    environment.script(stall(60, after=1))
    chat()
    terminal.enter("Who am I?")
    end = time.monotonic() + 10
    while not environment.requests and time.monotonic() < end:
        time.sleep(0.05)
    os.kill(client_of(terminal), signal.SIGTERM)
    terminal.wait_for("code 143")
    terminal.tmux("kill-server")

    chat("--continue")

    terminal.wait_for("no response yet (/retry sends again): Who am I?")


def test_a_terminated_process_prints_nothing_more(environment):
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
    _, stderr = process.communicate(timeout=10)

    assert process.returncode == 143
    assert stderr == ""


def test_an_invalid_byte_does_not_end_a_conversation(chat, environment):
    terminal = chat()

    terminal.type("abc")
    terminal.press("-H", "fc")
    time.sleep(0.3)
    terminal.enter("def")
    terminal.wait_for("You said")

    assert environment.requests[0].json["messages"][0]["content"] == "abc\ufffddef"


TABLE = ["| a | b |\n| - | - |\n", *["| x | y |\n" * 30] * 2_000]


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (lambda terminal: terminal.press("C-c"), 130),
        (lambda terminal: os.kill(client_of(terminal), signal.SIGTERM), 143),
    ],
    ids=["Ctrl-C", "SIGTERM"],
)
def test_a_signal_ends_a_long_drawing_at_once(terminal, environment, end, code):
    environment.script(pace(0.01, of=ok(TABLE)))
    terminal.open("chat", "Draw")
    terminal.wait_for("|x|y|", count=100)

    began = time.monotonic()
    end(terminal)
    screen = terminal.end()

    assert f"exit code {code}" in screen
    assert "Traceback" not in screen
    assert time.monotonic() - began < 1.5  # the exit of Python included


STUCK = {
    "a file without a writer": "os.open(sys.argv[1], os.O_RDONLY)",
    "code that ignores it": """while True:
        try: time.sleep(60)
        except BaseException: pass""",
}


@pytest.mark.parametrize("kind", STUCK)
def test_sigterm_ends_a_command_that_does_not_return_to_its_event_loop(tmp_path, kind):
    os.mkfifo(tmp_path / "pipe")
    code = f"""
import asyncio, os, sys, time
from acechat.cli.signals import graceful_exit
async def main():
    print("ready", flush=True)
    {STUCK[kind]}
with graceful_exit():
    asyncio.run(main())
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "pipe")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"

    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=15)

    assert process.returncode == 143
    assert stderr == ""
    assert time.monotonic() - began < 6


def test_a_second_sigterm_ends_it_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    code = """
import asyncio, os, sys
from acechat.cli.signals import graceful_exit
async def main():
    print("ready", flush=True)
    os.open(sys.argv[1], os.O_RDONLY)
with graceful_exit():
    asyncio.run(main())
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "pipe")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"

    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=15)

    assert process.returncode == 143
    assert time.monotonic() - began < 1.5


def job(terminal, command):
    """Run *command* as a job of an interactive shell."""
    terminal.open(command="PS1='shell> ' bash --norc --noprofile -i", width=100)
    terminal.wait_for("shell>")
    terminal.enter(command)


def test_ctrl_z_suspends_a_response_and_fg_resumes_it(terminal, environment):
    words = [f"word{number} " for number in range(60)]
    environment.script(pace(0.05, of=ok([*words, "\n\nThe end.\n"])))
    job(terminal, f"{COMMAND} chat Count")
    terminal.wait_for("word5 ")

    terminal.press("C-z")
    terminal.wait_for("Stopped")
    stopped = terminal.screen()
    time.sleep(0.5)
    assert terminal.screen() == stopped
    terminal.enter(f"echo modes $({KEYS})")
    terminal.wait_for("modes echo icanon icrnl")
    terminal.enter("fg")
    screen = terminal.wait_for("The end.")

    # what the shell printed stays, and the response is drawn below it
    assert "Stopped" in screen
    assert "modes echo icanon icrnl" in screen
    rest = screen[screen.rindex("fg") :]
    assert re.findall(r"word(\d+)", rest) == [str(number) for number in range(60)]


def test_ctrl_z_suspends_the_prompt_and_fg_resumes_it(terminal, environment):
    job(terminal, f"{COMMAND} chat")
    terminal.wait_for("/help lists the commands")
    time.sleep(0.5)
    terminal.type("Hel")
    time.sleep(0.3)

    terminal.press("C-z")
    terminal.wait_for("Stopped")
    terminal.enter(f"echo modes $({KEYS})")
    terminal.wait_for("modes echo icanon icrnl")
    terminal.enter("fg")
    time.sleep(0.5)
    terminal.enter("lo")
    terminal.wait_for("You said")
    assert environment.requests[0].json["messages"][-1]["content"] == "Hello"
    terminal.press("C-d")
    time.sleep(1)
    terminal.enter(f"echo code $? keys $({KEYS})")

    terminal.wait_for("code 0 keys echo icanon icrnl")


def test_ctrl_z_during_a_response_of_a_conversation_restores_the_terminal(
    chat, terminal, environment
):
    words = [f"word{number} " for number in range(40)]
    environment.script(pace(0.05, of=ok([*words, "\n\nThe end.\n"])))
    job(terminal, f"{COMMAND} chat")
    terminal.wait_for("/help lists the commands")
    time.sleep(0.5)
    terminal.enter("Count")
    terminal.wait_for("word3 ")

    terminal.press("C-z")
    terminal.wait_for("Stopped")
    terminal.enter(f"echo modes $({KEYS})")
    terminal.wait_for("modes echo icanon icrnl")
    terminal.enter("fg")
    terminal.wait_for("The end.")
    time.sleep(0.3)
    terminal.enter("/exit")
    time.sleep(0.5)
    terminal.enter(f"echo code $? keys $({KEYS})")

    terminal.wait_for("code 0 keys echo icanon icrnl")
