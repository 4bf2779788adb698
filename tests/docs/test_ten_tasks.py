"""Ten tasks of a new user, each done from the README or from one page, word for word.

A command is run as it stands on its page. Code is a page's blocks from the top to the one that
contains the words of the task; nothing is added, and the service on localhost responds.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent.parent
SHELL = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)

RUN = "import sys; exec(compile(sys.stdin.read(), 'page', 'exec'), {'__name__': '__main__'})"
"""Runs standard input as a script."""


class Task(NamedTuple):
    """A task, the page that describes it, words of that description, and the expected output."""

    wanted: str
    page: str
    words: str
    out: str

    @property
    def is_command(self):
        return self.words.startswith("acechat ")


TASKS = [
    Task("try it without a token", "README.md", 'acechat chat --emulator "', r"^You said: "),
    Task("ask in a script", "docs/tutorial.md", "reply.finish_reason", r"\d+ tokens; stop$"),
    Task("show an answer while it is written", "docs/tutorial.md", "for delta in stream",
         r'^You said: "Tell me a story".*\ntotal: \d+ tokens$'),
    Task("have a conversation", "docs/howto/conversations.md", "What is my name?",
         r'"What is my name\?" \(4 messages\)$'),
    Task("ask about a picture", "docs/howto/images.md", "dot.png", "with image/png, 69 bytes"),
    Task("see why the service refused", "docs/howto/errors.md", "trace_id",
         r"^refused: 429 too_many_requests, trace \S+$"),
    Task("ask 200 questions at once", "docs/howto/many-at-once.md", "is {n} squared",
         r"^\d{4} tokens$"),
    Task("let the model call a function", "docs/howto/tools.md", "tools=[weather]",
         r'^The tool said: "rain in '),
    Task("stop before it gets expensive", "docs/howto/cost.md", "budget=Budget",
         r"^the budget of 20 tokens is used up"),
    Task("find out why it does not work", "docs/howto/command-line.md", "acechat doctor --live",
         r"^All checks passed\.$"),
]  # fmt: skip


def steps_of(task):
    """Return the command, or the code, as it stands on the page."""
    text = (ROOT / task.page).read_text()
    if task.is_command:
        lines = "".join(SHELL.findall(text)).splitlines()
        line = next(line for line in lines if task.words in line)
        return line.rpartition("&& ")[2].replace(".venv/bin/", "")
    blocks = BLOCK.findall(text)
    last = next(number for number, block in enumerate(blocks) if task.words in block)
    return "".join(blocks[: last + 1])


@pytest.mark.skipif(os.name == "nt", reason="the commands are those of a POSIX shell")
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.wanted)
def test_a_new_user_can(task, environment, monkeypatch):
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    monkeypatch.setenv("ACECHAT_CONFIG", os.devnull)
    command = ["bash"] if task.is_command else [sys.executable, "-W", "error", "-c", RUN]

    done = subprocess.run(
        command,
        cwd=ROOT,
        input=steps_of(task),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    assert re.search(task.out, done.stdout, re.MULTILINE), done.stdout


def test_there_are_ten():
    assert len({task.wanted for task in TASKS}) == len(TASKS) == 10
