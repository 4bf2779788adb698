"""Time to the first character, compared with the import of the required packages."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from functools import partial

import pytest

pty = pytest.importorskip("pty", reason="Windows has no such terminals")

FLOOR = [sys.executable, "-c", "import aiohttp, click, rich"]
CHAT = [sys.executable, "-m", "acechat", "chat", "--emulator", "Hello"]
HELP = [sys.executable, "-m", "acechat", "--help"]

INSTALLED = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""Environment of an installation, which has its bytecode; the first round writes it."""


def seconds_of(command):
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=60, env=INSTALLED)
    return time.perf_counter() - started


def seconds_to_the_first_character(command):
    master, slave = pty.openpty()
    started = time.perf_counter()
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=slave, stderr=slave, env=INSTALLED
    )
    os.close(slave)
    shown = os.read(master, 1000)
    seconds = time.perf_counter() - started
    while shown:
        try:
            shown = os.read(master, 1000)
        except OSError:  # Linux raises EIO when the other side is closed
            break
    os.close(master)
    assert process.wait(60) == 0
    return seconds


def best_ratio(ours, theirs, bar, rounds=8):
    """Return the ratio of the best times, measured alternately; repeat up to 4 times under load."""
    mine, other = [], []
    for _ in range(4):
        for _ in range(rounds):
            mine.append(ours())
            other.append(theirs())
        if min(mine) / min(other) <= bar:
            break
    return min(mine) / min(other)


def test_the_first_character_follows_soon_after_the_imports():
    ours = partial(seconds_to_the_first_character, CHAT)
    assert best_ratio(ours, partial(seconds_of, FLOOR), bar=1.3) <= 1.3


def test_help_imports_no_network_library():
    ours = partial(seconds_of, HELP)
    assert best_ratio(ours, partial(seconds_of, FLOOR), bar=0.8) <= 0.9
