"""The tasks of docs/howto/command-line-compared.md, with acechat and, if it is installed, llm."""

from __future__ import annotations

import os
import re
import sys

import pytest

LLM = os.environ.get("LLM_COMMAND")


@pytest.fixture
def tasks(root, monkeypatch):
    monkeypatch.syspath_prepend(str(root))
    from benchmarks import command_lines

    return {task.name: task for task in command_lines.TASKS}, command_lines.possible


NAMES = [
    "default command", "standard input", "files", "attachments", "schema", "tools", "MCP",
    "extract", "continue by id", "list and search", "templates", "aliases", "keys", "usage",
    "dry run",
]  # fmt: skip


def rows(root):
    page = (root / "docs" / "howto" / "command-line-compared.md").read_text(encoding="utf-8")
    found = re.findall(r"^\| ([\w ]+) \| (\w+) \| (\w+) \|", page, re.MULTILINE)
    return {name: marks for name, *marks in found}


@pytest.mark.parametrize("name", NAMES)
def test_acechat_can_do_each_task(tasks, root, name):
    if name == "MCP":
        pytest.importorskip("mcp")
    known, possible = tasks

    assert possible(known[name], [sys.executable, "-m", "acechat"], ours=True)
    assert rows(root)[name][0] == "yes"


@pytest.mark.skipif(LLM is None, reason="LLM_COMMAND does not name the command llm")
@pytest.mark.parametrize("name", NAMES)
def test_the_column_of_llm_is_right(tasks, root, name):
    known, possible = tasks

    assert rows(root)[name][1] == ("yes" if possible(known[name], [LLM], ours=False) else "no")


def test_the_page_has_all_tasks(tasks, root):
    assert list(rows(root)) == NAMES == list(tasks[0])
