"""Signals that end the command: SIGTERM, and SIGHUP when its terminal is closed."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager

__all__ = ["graceful_exit"]


@contextmanager
def graceful_exit() -> Generator[Callable[[], bool]]:
    """Convert these signals to Ctrl-C inside of the block, then exit with 128 + signal number.

    An immediate exit would lose the partial response and leave the terminal in the mode of the line
    editor.

    Yields:
        A function that returns True once a signal has been received.
    """
    received: list[int] = []

    def stop(number: int, _: object) -> None:
        received.append(number)
        signal.raise_signal(signal.SIGINT)

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
        for number, handler in before.items():
            signal.signal(number, handler)
    if received:
        sys.exit(128 + received[0])
