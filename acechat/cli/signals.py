"""What ends the command from outside: SIGTERM, and SIGHUP when its terminal is closed."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager

__all__ = ["ending"]


@contextmanager
def ending() -> Generator[Callable[[], bool]]:
    """Let these signals stop what runs as Ctrl-C does, then exit; tell whether one has come.

    To exit at once would leave what had arrived unsaved, and the terminal as the line editor
    needs it.
    """
    came: list[int] = []

    def stop(number: int, _: object) -> None:
        came.append(number)
        signal.raise_signal(signal.SIGINT)

    found = [getattr(signal, name, None) for name in ("SIGTERM", "SIGHUP")]
    before = {
        number: signal.signal(number, stop)
        for number in found
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN  # nohup's
    }
    try:
        yield lambda: bool(came)
    except KeyboardInterrupt:
        if not came:
            raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        sys.exit(128 + came[0])
