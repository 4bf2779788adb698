"""An event loop in a thread, which runs the calls of other threads.

Two rules keep every caller from waiting for ever.

* Callers wait on a `Latch`, and nothing here holds a lock. A signal handler may raise
  KeyboardInterrupt between any two bytecodes of a caller. A lock that it leaves acquired, as
  `concurrent.futures.Future.result` does, would stop the loop's thread at its next use.
* Each path through the loop's thread ends in `ThreadCall.finish`. A call that cannot be started, a
  task that cannot be created and a loop that ends all finish their calls with an exception.

Each call is a task with an anyio cancel scope: cancellation stays in force until the call has
ended, even if a tool swallows it once. The task is not in a task group: `TaskGroup.start_soon`
needs a current task, and the start of a call is a callback of the loop, which has none.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
import weakref
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from acechat._sync.event_loop import check_no_loop_runs, loop_factory
from acechat._sync.latch import Latch
from acechat._sync.thread_call import ThreadCall
from acechat.errors import ClientClosedError, ConfigurationError

__all__ = ["EventLoopThread"]

_T = TypeVar("_T")

_CLOSE_WITHIN = 1.0
"""Seconds after which `EventLoopThread.stop` returns, even if a call cannot be cancelled."""


class EventLoopThread:
    """An event loop in a background thread.

    A call cannot end the loop: its SystemExit and KeyboardInterrupt are raised in its caller, like
    other exceptions.

    Attributes:
        ended: Whether the loop has ended or is about to.
        pid: The process in which the thread runs; a forked child inherits only the object.
    """

    # States and transitions. Several threads change the state without a lock (see above), so it is
    # spread over attributes that each change once, and no single attribute names it:
    #
    #   new       `_unstarted` holds `_run`     start() -> starting, leave() -> ended
    #   starting  `_unstarted` is empty         _serve() -> ready, leave() -> ended,
    #                                           an exception in _run() -> ended, with `_failure`
    #   ready     `_started` is set             leave() -> ended
    #   ended     `ended` is True               final; the loop cancels its calls, then `_over`

    def __init__(self) -> None:
        self.ended: bool = False
        self.pid: int = os.getpid()
        self._calls: dict[ThreadCall[Any], asyncio.Task[None] | None] = {}  # None: no task yet
        self._started = Latch()  # set when the loop is ready, or has ended before
        self._over = Latch()  # set when `_run` has ended
        self._failure: BaseException | None = None
        self._ident: int | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._leaving: asyncio.Event | None = None
        self._thread: threading.Thread | None = None
        self._last: Callable[[], Awaitable[None]] | None = None
        self._unstarted = [self._run]  # taken by the one caller that starts the thread
        self._successors: dict[None, EventLoopThread] = {}

    @property
    def usable(self) -> bool:
        """Whether the loop belongs to this process and has not ended."""
        return not self.ended and self.pid == os.getpid()

    @property
    def ready(self) -> bool:
        """Whether the loop accepts calls, or did before it ended."""
        return self._loop is not None and self._started.is_set

    def successor(self) -> EventLoopThread:
        """Return the replacement of this thread, the same one for all callers."""
        return self._successors.setdefault(None, EventLoopThread())  # atomic in CPython

    def start(self, owner: object) -> None:
        """Start the thread unless another caller has, and wait until the loop is ready.

        Returns also if the loop has ended meanwhile, because the caller that started it was
        interrupted.

        Args:
            owner: The thread ends when this object is collected.

        Raises:
            ClientClosedError: The interpreter is exiting, so no thread can be started.
        """
        if sys.is_finalizing():
            raise ClientClosedError
        try:
            if self._unstarted:
                self._start(owner)
            self._wait_until_started()
        except BaseException as error:
            if self._thread is None or not self._thread.is_alive():
                self.leave()  # callers that wait for this thread start its successor
            # At exit, Python starts no thread (from 3.12 on) and no executor.
            if isinstance(error, RuntimeError) and not threading.main_thread().is_alive():
                raise ClientClosedError from None
            raise

    def _wait_until_started(self) -> None:
        self._started.wait()
        if self._failure is not None:
            raise self._failure

    def _start(self, owner: object) -> None:
        with suppress(IndexError):  # another caller starts the thread
            run = self._unstarted.pop()
            if self.ended:
                return
            self._thread = threading.Thread(target=run, name="acechat", daemon=True)
            # Without a close(), the exit of the interpreter would stop the thread anywhere in the
            # loop. A finalizer runs before that.
            weakref.finalize(owner, self.stop)
            self._thread.start()

    def run(self, function: Callable[[], Awaitable[_T]]) -> _T:
        """Run *function* in the loop and return its value. Ctrl-C in the caller cancels it.

        Raises:
            ClientClosedError: The loop has ended.
        """
        call: ThreadCall[_T] = ThreadCall()
        try:
            self.begin(call, function)
            call.done.wait()
        except BaseException:
            self.cancel(call)  # Ctrl-C may come at any time: the call may have begun
            raise
        return call.result()

    def begin(self, call: ThreadCall[_T], function: Callable[[], Awaitable[_T]]) -> None:
        """Start *function* as *call*, and return at once.

        Raises:
            ClientClosedError: The loop has ended.
        """
        self._calls[call] = None  # first: the end of the loop finishes the calls in here
        try:
            assert self._loop is not None  # noqa: S101 - started() returns ready loops only
            self._loop.call_soon_threadsafe(self._guard, call, self._begin, function)
        except RuntimeError:  # the loop is closed
            raise ClientClosedError from None

    def cancel(self, call: ThreadCall[_T]) -> None:
        """Cancel *call*. For any thread; without effect on a call that is done."""
        call.cancelled = True
        if self._loop is not None and self.pid == os.getpid():
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._guard, call, self._cancel)

    def check(self) -> None:
        """Raise unless the caller may wait for the loop.

        Raises:
            ClientClosedError: The loop belongs to the parent of this forked process, or the
                interpreter is exiting and has stopped the thread.
            ConfigurationError: The caller runs in the loop's own thread.
        """
        if self.pid != os.getpid() or sys.is_finalizing():
            raise ClientClosedError
        self.check_thread()

    def check_thread(self) -> None:
        """Raise ConfigurationError if the caller runs in the loop's own thread."""
        if self._ident == threading.get_ident():
            raise ConfigurationError(
                "a blocking client cannot wait in its own event loop, where its asynchronous "
                "tools, its middleware and its observers run; use an AsyncClient there"
            )

    def leave(self) -> None:
        """Make the loop end, now or as soon as it has started. Never blocks."""
        self.ended = True
        self._started.set()
        if self._loop is not None and self._leaving is not None:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._leaving.set)

    def stop(self, last: Callable[[], Awaitable[None]] | None = None) -> None:
        """Run *last* in the loop, end the loop, and wait for the thread for at most a second.

        Does not wait in the loop's own thread, where the garbage collector may call this.

        Args:
            last: An async function; None for no function.
        """
        if self.pid != os.getpid() or sys.is_finalizing():
            return
        self._last = last
        self.leave()
        thread = self._thread
        if thread is not None and thread.ident not in (None, threading.get_ident()):
            until = time.monotonic() + _CLOSE_WITHIN
            if self._over.wait(_CLOSE_WITHIN):
                thread.join(max(0.0, until - time.monotonic()))

    def _run(self) -> None:
        self._ident = threading.get_ident()
        served = False
        try:
            check_no_loop_runs()
            with asyncio.Runner(loop_factory=loop_factory()) as runner:
                self._loop = runner.get_loop()
                serving = self._loop.create_task(self._serve())
                while not serving.done():
                    # A task that a call has created may raise these out of the loop.
                    with suppress(KeyboardInterrupt, SystemExit):
                        self._loop.run_until_complete(serving)
                served = True
        except BaseException as error:  # noqa: BLE001 - it is raised in the callers
            # From Python 3.12 on, no thread starts at exit, but asyncio needs one to end its
            # executor. Everything else is done by then, so that failure is ignored.
            if not served:
                self._failure = error
        finally:
            self.ended = True
            self._started.set()
            with suppress(KeyError):
                while True:
                    call, _ = self._calls.popitem()
                    call.finish(self._failure or ClientClosedError())
            self._ident = None  # another thread may get the same ident
            self._over.set()

    async def _serve(self) -> None:
        from acechat._http.pool import abandoned

        self._leaving = asyncio.Event()
        self._started.set()
        if not self.ended:  # leave() may have come before the event
            await self._leaving.wait()
        self.ended = True
        if self._last is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_WITHIN):
                    await self._last()
        while self._calls:
            for call in list(self._calls):
                self._cancel(call)
            if tasks := [task for task in self._calls.values() if task is not None]:
                await asyncio.wait(tasks)
        await abandoned()

    def _guard(self, call: ThreadCall[_T], callback: Callable[..., None], *args: object) -> None:
        """Run a callback of the loop, of which an exception ends *call*."""
        try:
            callback(call, *args)
        except BaseException as error:  # noqa: BLE001 - it is raised in the caller
            self._end(call, error)

    def _begin(self, call: ThreadCall[_T], function: Callable[[], Awaitable[_T]]) -> None:
        """Create the task of *call*: a callback of the loop, so no task is current."""
        if call.cancelled or call.done.is_set or self.ended:
            self._end(call, ClientClosedError())
            return
        coroutine = self._call(call, function)
        try:
            task = asyncio.get_running_loop().create_task(coroutine)
        except BaseException:
            coroutine.close()
            raise
        if call in self._calls:  # not if the task is eager and has ended
            self._calls[call] = task
        task.add_done_callback(partial(self._end_task, call))

    async def _call(self, call: ThreadCall[_T], function: Callable[[], Awaitable[_T]]) -> None:
        from anyio import CancelScope

        try:
            with CancelScope() as call.scope:
                if call.cancelled:
                    call.scope.cancel()
                call.value = await function()
                self._end(call, None)
                return
            self._end(call, ClientClosedError())
        except asyncio.CancelledError:
            self._end(call, ClientClosedError())
        except BaseException as error:  # noqa: BLE001 - it is raised in the caller
            self._end(call, error)

    def _end_task(self, call: ThreadCall[Any], task: asyncio.Task[None]) -> None:
        """End a call whose task was cancelled before its first step."""
        error = None if task.cancelled() else task.exception()
        self._end(call, error or ClientClosedError())

    def _end(self, call: ThreadCall[Any], error: BaseException | None) -> None:
        self._calls.pop(call, None)
        call.finish(error)

    def _cancel(self, call: ThreadCall[Any]) -> None:
        call.cancelled = True
        if call.scope is not None:
            call.scope.cancel()
        elif self._calls.get(call) is None:  # no task: the caller was interrupted before
            self._end(call, ClientClosedError())
