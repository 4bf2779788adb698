"""Progress display until the first output."""

from __future__ import annotations

import asyncio
import sys
from types import TracebackType
from typing import Self

from acechat.cli.terminal.text import DIM, UNDIM, draws

__all__ = ["Spinner"]

_DELAY = 1.0
"""Seconds before the counter appears."""


class Spinner:
    """Count seconds on stderr until the first output; only if stdout and stderr are terminals."""

    def __init__(self) -> None:
        self._seconds = 0
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        if draws(sys.stdout) and draws(sys.stderr):
            self._timer = asyncio.get_running_loop().call_later(_DELAY, self._tick)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _tick(self) -> None:
        self._seconds += 1
        self._write(f"\r{DIM}... {self._seconds} s{UNDIM}")
        self._timer = asyncio.get_running_loop().call_later(1.0, self._tick)

    def stop(self) -> None:
        """Remove the counter. Idempotent."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
            if self._seconds:
                self._write("\r\x1b[K")

    def _write(self, text: str) -> None:
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except OSError:  # the terminal was closed; the writer of the response raises
            self._timer = None
