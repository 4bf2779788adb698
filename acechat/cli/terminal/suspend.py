"""Ctrl-Z: the terminal's modes are restored while the command is suspended."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["Resumed", "restored_when_suspended"]

_SUSPEND: int = getattr(signal, "SIGTSTP", 0)  # Windows has neither
_CONTINUE: int = getattr(signal, "SIGCONT", 0)


class Resumed:
    """Records that the command was suspended: the shell has written below the last drawing."""

    def __init__(self) -> None:
        self._resumed = False
        self._before: Any = None
        if _CONTINUE and threading.current_thread() is threading.main_thread():
            self._before = signal.signal(_CONTINUE, self._note)

    def _note(self, _: int, __: FrameType | None) -> None:
        self._resumed = True

    def take(self) -> bool:
        """Return True once after each suspension."""
        resumed, self._resumed = self._resumed, False
        return resumed

    def close(self) -> None:
        """Restore the handler of the signal."""
        if self._before is not None:
            signal.signal(_CONTINUE, self._before)
            self._before = None


@contextmanager
def restored_when_suspended(
    restore: Callable[[], None], change: Callable[[], None]
) -> Generator[None]:
    """Call *restore* before the command is suspended by Ctrl-Z, and *change* when it goes on."""
    before = signal.getsignal(_SUSPEND) if _SUSPEND else signal.SIG_IGN
    if before is not signal.SIG_DFL:  # ignored by the parent process, or handled by another part
        yield
        return

    def suspend(number: int, _: FrameType | None) -> None:
        restore()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)  # stops here, until the shell continues the process
        signal.signal(number, suspend)
        change()

    signal.signal(_SUSPEND, suspend)
    try:
        yield
    finally:
        signal.signal(_SUSPEND, signal.SIG_DFL)
