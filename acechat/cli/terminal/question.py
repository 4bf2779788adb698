"""A question on the terminal that one key answers."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress

from acechat.cli.terminal.text import on_terminal

__all__ = ["can_ask", "confirm", "press_key"]

_LOCAL = 3  # index in the result of tcgetattr()
_CTRL_C, _CTRL_D = "\x03", "\x04"


def can_ask() -> bool:
    """Return True if a person can read a question and press a key.

    Standard input may be a pipe if the terminal itself can be opened.
    """
    if not on_terminal(sys.stderr):
        return False
    if on_terminal(sys.stdin):
        return True
    if os.name == "nt":
        return False
    try:
        os.close(os.open("/dev/tty", os.O_RDWR))
    except OSError:
        return False
    return True


async def press_key(keys: str) -> str:
    """Wait for one of *keys* and return it in lower case; '' for Enter, Escape or Ctrl-D.

    Other tasks run meanwhile. Ctrl-C cancels the calling task.
    """
    if os.name == "nt":
        return await asyncio.to_thread(_press_windows, keys)
    with _terminal() as descriptor, _single_keys(descriptor):
        return await _read_key(descriptor, keys)


async def confirm(question: str) -> bool:
    """Ask *question*; return True for the key ``y``."""
    sys.stderr.write(f"{question} [y/n] ")
    sys.stderr.flush()
    agreed = await press_key("yn") == "y"
    sys.stderr.write("yes\n" if agreed else "no\n")
    sys.stderr.flush()
    return agreed


async def _read_key(descriptor: int, keys: str) -> str:
    loop = asyncio.get_running_loop()
    pressed: asyncio.Future[str] = loop.create_future()

    def receive() -> None:
        try:
            data = os.read(descriptor, 64).decode(errors="replace")
        except OSError:
            data = ""
        key = data[:1].lower()
        done = not data or key in keys or key in {"\r", "\n", "\x1b", _CTRL_D}
        if key == _CTRL_C:
            pressed.cancel()
        elif done and not pressed.done():
            pressed.set_result(key if key in keys else "")

    loop.add_reader(descriptor, receive)
    try:
        return await pressed
    finally:
        loop.remove_reader(descriptor)


@contextmanager
def _terminal() -> Generator[int]:
    if on_terminal(sys.stdin):
        yield sys.stdin.fileno()
        return
    descriptor = os.open("/dev/tty", os.O_RDWR)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _single_keys(descriptor: int) -> Generator[None]:
    """Read single keys without echo; keys pressed before the question are discarded.

    A key of an earlier moment must not approve something that its user has not seen.
    """
    import termios

    before = termios.tcgetattr(descriptor)
    single = termios.tcgetattr(descriptor)
    single[_LOCAL] &= ~(termios.ECHO | termios.ICANON)
    termios.tcsetattr(descriptor, termios.TCSAFLUSH, single)
    try:
        yield
    finally:
        with suppress(termios.error):  # the terminal was closed
            termios.tcsetattr(descriptor, termios.TCSANOW, before)


def _press_windows(keys: str) -> str:
    import msvcrt

    while True:
        key: str = getattr(msvcrt, "getwch")().lower()  # noqa: B009 - not defined on other systems
        if key in keys:
            return key
        if key in {"\r", "\n", "\x1b", _CTRL_D}:
            return ""
        if key == _CTRL_C:
            raise KeyboardInterrupt
