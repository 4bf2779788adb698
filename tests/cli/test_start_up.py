"""The modules that `acechat "prompt"` imports before the first character is shown.

Their number does not depend on the load of the machine. The time beside `llm` is measured by
`python -m benchmarks.command_lines`, and must be measured on a quiet machine.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import atexit, sys

def show():
    with open(sys.argv_before[1], "w") as file:
        print(*sys.modules, sep="\\n", file=file)

sys.argv_before = list(sys.argv)
atexit.register(show)
sys.argv = ["acechat", *sys.argv[2:]]
from acechat.cli import main
main()
"""

NOT_NEEDED = {
    "anyio", "difflib", "keyring", "markdown_it", "mcp", "PIL", "prompt_toolkit",
    "pydantic", "pygments", "rich", "sqlite3", "uvloop", "acechat._core.response_cache",
    "acechat._record.cassette", "acechat._sync", "acechat.batch", "acechat.emulator",
    "acechat.mcp", "acechat.cli.commands.batch", "acechat.cli.library",
    "acechat.cli.terminal.markdown",
}  # fmt: skip
"""Packages and modules that a prompt without options, and without Markdown, does without."""


def modules(folder, *arguments):
    """Return the modules that the command *arguments* imports."""
    file = folder / "modules.txt"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, file, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=dict(os.environ),
    )
    assert done.returncode == 0, done.stderr
    return set(file.read_text("utf-8").split())


def within(loaded, package):
    return {name for name in loaded if name == package or name.startswith(f"{package}.")}


@pytest.mark.parametrize("arguments", [["--no-log", "Hi"], ["chat", "--no-log", "Hi"]])
def test_a_prompt_imports_what_it_needs(environment, tmp_path, arguments):
    loaded = modules(tmp_path, *arguments)

    assert not {name for package in NOT_NEEDED for name in within(loaded, package)}
    assert len(within(loaded, "acechat")) <= 128
    assert len(loaded) <= 480  # 459 on Python 3.11


def test_help_needs_no_network(tmp_path, clean_environment):
    loaded = modules(tmp_path, "--help")

    assert not {"aiohttp", "asyncio", "ssl"} & loaded
    assert len(within(loaded, "acechat")) <= 30


def test_the_test_sees_what_is_imported(environment, tmp_path):
    assert "sqlite3" in modules(tmp_path, "Hi")  # the conversation is stored
