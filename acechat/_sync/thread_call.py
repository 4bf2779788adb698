"""`ThreadCall`: one function call that runs in the event loop of another thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

from acechat._sync.latch import Latch

if TYPE_CHECKING:  # importing anyio takes 30 ms; the loop's thread imports it
    from anyio import CancelScope

__all__ = ["ThreadCall"]

_T = TypeVar("_T")


class ThreadCall(Generic[_T]):
    """The caller's handle on one function that runs in the loop.

    Args:
        on_done: A callback for the end of the call, in the loop's thread. None for no callback.

    Attributes:
        done: Set when the call has ended.
        cancelled: Whether the caller has cancelled the call.
        scope: The cancel scope of the call's task; None before the first step of the task.
        error: The exception that ended the call; None if it returned, or has not ended.
        value: The return value; unset before the end, and after an exception.
    """

    __slots__ = ("cancelled", "done", "error", "on_done", "scope", "value")

    def __init__(self, on_done: Callable[[ThreadCall[_T]], None] | None = None) -> None:
        self.on_done: Callable[[ThreadCall[_T]], None] | None = on_done
        self.done: Latch = Latch()
        self.cancelled: bool = False
        self.scope: CancelScope | None = None
        self.error: BaseException | None = None
        self.value: _T

    def result(self) -> _T:
        """Return the value of a call that is done, or raise its exception. To be called once."""
        if self.error is not None:
            try:
                raise self.error
            finally:
                self.error = None  # its traceback holds this frame: a reference cycle
        return self.value

    def finish(self, error: BaseException | None) -> None:
        """End the call with *error*, or with its value if *error* is None. The first end counts."""
        if self.done.is_set:
            return
        self.error = error
        try:
            if self.on_done is not None:
                self.on_done(self)
        finally:
            self.done.set()
