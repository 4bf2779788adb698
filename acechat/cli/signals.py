"""Signals that end the command: SIGTERM, SIGHUP when its terminal is closed, and Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from acechat import AsyncBatch

__all__ = ["graceful_exit", "signals_drain"]


_INTERRUPT_AFTER, _KILL_AFTER = 2.0, 4.0
"""Seconds after the signal. Code that waits outside of the event loop is interrupted, then the
process is terminated."""


@contextmanager
def graceful_exit() -> Generator[Callable[[], bool]]:
    """Convert these signals to Ctrl-C inside of the block, then exit with 128 + signal number.

    An immediate exit would lose the partial response and leave the terminal in the mode of the line
    editor. The process ends in any case: see `_INTERRUPT_AFTER`.

    Yields:
        A function that returns True once a signal has been received.
    """
    received: list[int] = []
    restore = _saved_modes()
    ended = threading.Event()

    def stop(number: int, _: object) -> None:
        if ended.is_set():
            return
        received.append(number)
        if len(received) == 1:
            threading.Thread(target=_insist, args=(number, ended, restore), daemon=True).start()
            signal.raise_signal(signal.SIGINT)
        else:
            raise KeyboardInterrupt

    available = [getattr(signal, name, None) for name in ("SIGTERM", "SIGHUP")]
    before = {
        number: signal.signal(number, stop)
        for number in available
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN  # set by nohup
    }
    try:
        yield lambda: bool(received)
    except KeyboardInterrupt:
        if not received:
            raise
    finally:
        ended.set()
        for number, handler in before.items():
            signal.signal(number, handler)
    if received:
        sys.exit(128 + received[0])


def _insist(number: int, ended: threading.Event, restore: Callable[[], None]) -> None:
    """Repeat the signal until the command has ended."""
    if not ended.wait(_INTERRUPT_AFTER):
        os.kill(os.getpid(), number)
    if not ended.wait(_KILL_AFTER - _INTERRUPT_AFTER):
        restore()
        os._exit(128 + number)


def _saved_modes() -> Callable[[], None]:
    """Return a function that restores the present modes of the terminal."""
    try:
        import termios
    except ImportError:  # Windows
        return lambda: None
    try:
        modes = termios.tcgetattr(sys.stdin.fileno())
    except (termios.error, OSError, ValueError, AttributeError):  # no terminal, or closed
        return lambda: None

    def restore() -> None:
        with suppress(termios.error, OSError):
            termios.tcsetattr(sys.stdin.fileno(), termios.TCSANOW, modes)

    return restore


@contextmanager
def signals_drain(running: AsyncBatch, received: list[int]) -> Generator[None]:
    """Drain the run at the first signal, and cancel it at the second; add them to *received*."""
    loop = asyncio.get_running_loop()

    def stop(number: int) -> None:
        received.append(number)
        if len(received) == 1:
            click.echo("acechat: waiting for the running requests; again to stop now", err=True)
            running.drain()
        else:
            running.cancel()

    numbers = [getattr(signal, name, None) for name in ("SIGINT", "SIGTERM", "SIGHUP")]
    added: list[int] = []
    for number in numbers:
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            try:
                loop.add_signal_handler(number, stop, number)
            except NotImplementedError:  # Windows: Ctrl-C raises KeyboardInterrupt
                break
            added.append(number)
    try:
        yield
    finally:
        for number in added:
            loop.remove_signal_handler(number)
