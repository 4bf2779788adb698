"""Fixtures that run the command as a process, and in a real terminal."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "acechat"]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Keep the tests away from the settings and conversations of the user."""
    monkeypatch.setenv("ACECHAT_CONFIG", str(tmp_path / "home" / "config.toml"))
    monkeypatch.setenv("ACECHAT_STATE", str(tmp_path / "home" / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home" / "caches"))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    return tmp_path / "home"


@pytest.fixture
def run():
    def run_command(*arguments, stdin="", env=None, text=True):
        return subprocess.run(
            [*COMMAND, *arguments],
            input=stdin,
            env=os.environ | (env or {}),
            capture_output=True,
            text=text,
            check=False,
            timeout=60,
        )

    return run_command


class Terminal:
    """A real terminal (tmux) that runs one command; 60 x 20 by default."""

    def __init__(self, tmux):
        self._program = tmux
        self._socket = ""

    def tmux(self, *words):
        done = subprocess.run(
            [self._program, "-L", self._socket, *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        )
        return done.stdout

    def open(self, *arguments, width=60, height=20, env=None, command=None):
        """Run acechat with *arguments*, or *command*; print its exit code at the end."""
        self._socket = (
            f"acechat-{uuid.uuid4().hex[:8]}"  # a server that is exiting refuses sessions
        )
        names = [f"{key}={value}" for key, value in (env or {}).items()]
        words = command or " ".join([*COMMAND, *map(quoted, arguments)])
        self.tmux(
            "-f", os.devnull, "-u", "new-session", "-d", "-x", str(width), "-y", str(height),
            "env", *names, "bash", "--norc", "-c",
            f"unset COLUMNS LINES; {words}; echo exit code $?; sleep 60",
        )  # fmt: skip
        return self

    def close(self):
        """Terminate the command and the terminal."""
        if "COVERAGE_PROCESS_CONFIG" in os.environ:  # coverage is written at a normal exit only
            shell = self.tmux("display-message", "-p", "#{pane_pid}").strip()
            if shell and "exitcode" not in joined(self.screen()):
                subprocess.run(["pkill", "-TERM", "-P", shell], check=False)
                with contextlib.suppress(AssertionError):
                    self.wait_for("exit code", seconds=5)
        self.tmux("kill-server")

    def screen(self, *, styled=False, unwrapped=False):
        """Return the text of the terminal, scroll-back included."""
        options = [*(["-e"] if styled else []), *(["-J"] if unwrapped else [])]
        return self.tmux("capture-pane", "-p", "-S", "-500", *options)

    def wait_for(self, text, seconds=30.0, count=1):
        """Wait until *text* appears *count* times; return the screen."""
        end = time.monotonic() + seconds
        expected = joined(text)
        while joined(screen := self.screen()).count(expected) < count:
            late = "exitcode" in joined(screen) or time.monotonic() > end
            assert not late, f"{text!r} did not appear on:\n{screen}"
            time.sleep(0.05)
        return screen

    def end(self):
        """Wait for the end of the command; return the screen."""
        return self.wait_for("exit code")

    def type(self, text):
        self.tmux("send-keys", "-l", text)

    def press(self, *keys):
        self.tmux("send-keys", *keys)

    def enter(self, text):
        """Type a line and press Enter."""
        self.type(text)
        self.press("Enter")

    def resize(self, width, height):
        self.tmux("resize-window", "-x", str(width), "-y", str(height))


def joined(screen):
    """Remove white space, which a narrow terminal inserts into words."""
    return "".join(screen.split())


def quoted(word):
    return "'" + str(word).replace("'", "'\\''") + "'"


@pytest.fixture
def terminal():
    tmux = shutil.which("tmux")
    if tmux is None:
        pytest.skip("tmux is not installed")
    opened = Terminal(tmux)
    yield opened
    opened.close()


@pytest.fixture
def dot():
    return str(Path(__file__).parent.parent.parent / "examples" / "dot.png")
