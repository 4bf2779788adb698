"""How long a person waits for the first character, beside the packages that are imported for it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from functools import partial

import pytest

pty = pytest.importorskip("pty", reason="Windows has no such terminals")
pytestmark = pytest.mark.xdist_group("costs")

FLOOR = [sys.executable, "-c", "import aiohttp, click, rich"]
CHAT = [sys.executable, "-m", "acechat", "chat", "--emulator", "Hello"]
HELP = [sys.executable, "-m", "acechat", "--help"]

INSTALLED = {name: told for name, told in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""As people run it: what they installed has its bytecode. The first round writes it."""


def seconds_of(command):
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=60, env=INSTALLED)
    return time.perf_counter() - began


def seconds_to_the_first_character(command):
    ours, theirs = pty.openpty()
    began = time.perf_counter()
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=INSTALLED
    )
    os.close(theirs)
    shown = os.read(ours, 1000)
    took = time.perf_counter() - began
    while shown:
        try:
            shown = os.read(ours, 1000)
        except OSError:  # Linux' way to say that the other side was closed
            break
    os.close(ours)
    assert process.wait(60) == 0
    return took


def best_ratio(ours, theirs, bar, rounds=8):
    """Return the ratio of the best times, measured in turn; go on while others disturb it."""
    mine, other = [], []
    for _ in range(4):
        for _ in range(rounds):
            mine.append(ours())
            other.append(theirs())
        if min(mine) / min(other) <= bar:
            break
    return min(mine) / min(other)


def test_the_first_character_comes_soon_after_the_imports():
    ours = partial(seconds_to_the_first_character, CHAT)
    assert best_ratio(ours, partial(seconds_of, FLOOR), bar=1.3) <= 1.3


def test_help_waits_for_no_network_library():
    ours = partial(seconds_of, HELP)
    assert best_ratio(ours, partial(seconds_of, FLOOR), bar=0.8) <= 0.9
