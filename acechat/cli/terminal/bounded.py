"""Work that Ctrl-C, SIGTERM or a limit of processor time ends at once, for drawing."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

__all__ = ["Bounded", "DrawingStoppedError"]


class DrawingStoppedError(BaseException):
    """The block was stopped; a BaseException, because libraries catch any Exception."""

    def __init__(self, *, interrupted: bool) -> None:
        super().__init__()
        self.interrupted = interrupted
        """True for a signal; False for the limit."""


class Bounded:
    """Raise `DrawingStoppedError` within the block after a signal, or *seconds* of processor time.

    asyncio's handler of Ctrl-C cancels the main task, which notices it when the loop runs again:
    after a drawing, which may take long. Its handler is called, too.

    Outside of the main thread, Python handles no signals, and the block is not bounded. Windows has
    no timer of processor time.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._active = False
        self._before: Any = None
        self._alarm = getattr(signal, "SIGVTALRM", None)
        self._alarm_before: Any = None

    def __enter__(self) -> Self:
        before = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is not threading.main_thread() or not callable(before):
            return self
        self._before = before
        signal.signal(signal.SIGINT, self._interrupt)
        if self._alarm is not None:
            self._alarm_before = signal.signal(self._alarm, self._time_out)
            signal.setitimer(signal.ITIMER_VIRTUAL, self._seconds)
        self._active = True
        return self

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self._before(number, frame)
        self._stop(interrupted=True)

    def _time_out(self, _: int, __: FrameType | None) -> None:
        self._stop(interrupted=False)

    def _stop(self, *, interrupted: bool) -> None:
        if self._active:  # once: `__exit__` must not be stopped, too
            self._active = False
            raise DrawingStoppedError(interrupted=interrupted)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._before is None:
            return
        try:
            self._active = False
        finally:  # also if a signal came before that assignment
            if self._alarm is not None:
                signal.setitimer(signal.ITIMER_VIRTUAL, 0)
                signal.signal(self._alarm, self._alarm_before)
            signal.signal(signal.SIGINT, self._before)
