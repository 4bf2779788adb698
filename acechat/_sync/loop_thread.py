"""The event loop of a blocking client: one thread, started by the first call.

Two rules keep every caller from waiting for ever.

* Callers wait on a `Latch`, and nothing here holds a lock. A signal handler may raise
  KeyboardInterrupt between any two bytecodes of a caller. A lock that it leaves acquired, as
  `concurrent.futures.Future.result` does, would stop the loop's thread at its next use.
* Each path through the loop's thread ends in `Call.finish`. A call that cannot be started, a task
  that cannot be created and a loop that ends all finish their calls with an exception.

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
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from acechat._sync.event_loop import loop_factory
from acechat.errors import ClientClosedError, ConfigurationError

if TYPE_CHECKING:  # importing anyio takes 30 ms; the loop's thread imports it
    from anyio import CancelScope

__all__ = ["EventLoopThread", "Latch", "LoopThread", "ThreadCall"]

_P = ParamSpec("_P")
_T = TypeVar("_T")

_CLOSE_WITHIN = 1.0
"""Seconds after which close() returns, even if a call in the loop cannot be cancelled."""


class Latch:
    """An event that no interrupt can leave locked.

    Each waiter brings a lock of its own, which only the setter releases. `threading.Event` shares
    one lock between its waiters and its setter.
    """

    __slots__ = ("_waiters", "is_set")

    def __init__(self) -> None:
        self.is_set: bool = False
        self._waiters: deque[threading.Lock] = deque()

    def set(self) -> None:
        """Wake all waiters. Never blocks."""
        self.is_set = True
        with suppress(IndexError):
            while True:
                self._waiters.pop().release()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until `set`; return False if *timeout* seconds pass first (None: no limit)."""
        if self.is_set:
            return True
        waiter = threading.Lock()
        waiter.acquire()
        self._waiters.append(waiter)
        # set() may have run between the two lines above the append; then nothing releases *waiter*.
        return self.is_set or waiter.acquire(timeout=-1 if timeout is None else timeout)


class ThreadCall(Generic[_T]):
    """The caller's handle on one function that runs in the loop.

    Args:
        on_done: Is called when the call ends, in the loop's thread. None for no callback.
    """

    __slots__ = ("cancelled", "done", "error", "on_done", "scope", "value")

    def __init__(self, on_done: Callable[[ThreadCall[_T]], None] | None = None) -> None:
        self.on_done = on_done
        self.done = Latch()
        self.cancelled: bool = False
        """Whether the caller has cancelled it."""

        self.scope: CancelScope | None = None
        self.error: BaseException | None = None
        self.value: _T

    def result(self) -> _T:
        """Return the value of a call that is done, or raise its exception."""
        if self.error is not None:
            try:
                raise self.error
            finally:
                self.error = None  # its traceback holds this frame: a reference cycle
        return self.value

    def finish(self, error: BaseException | None) -> None:
        """End the call with *error*, or with the value if that is None. The first end counts."""
        if self.done.is_set:
            return
        self.error = error
        try:
            if self.on_done is not None:
                self.on_done(self)
        finally:
            self.done.set()


def _check_no_loop_runs() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise ConfigurationError(
        "gevent or eventlet has patched threading, so all event loops run in one thread, and "
        "another one is running there; share one Client, or its with_options() copies"
    )


class LoopThread:
    """The event loop of one client; a new one takes its place in a forked child."""

    def __init__(self) -> None:
        self.closed: bool = False
        """Whether `stop` was called."""

        self._running = EventLoopThread()

    def run(self, function: Callable[_P, Awaitable[_T]], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Run *function* to its end; Ctrl-C here cancels it there.

        Raises:
            ClientClosedError: The loop has been stopped.
            ConfigurationError: The caller runs in the loop's own thread.
        """
        return self.started().run(partial(function, *args, **kwargs))

    def started(self) -> EventLoopThread:
        """Return the loop; start it if it does not run in this process.

        Raises:
            ClientClosedError: The loop has been stopped, or the interpreter ends.
            ConfigurationError: The caller runs in the loop's own thread.
        """
        while True:
            running = self._running
            if not running.usable:
                running = self._running = running.successor()
                continue
            if self.closed:
                raise ClientClosedError
            if not running.ready:
                running.start(self)
                continue
            running.check()
            return running

    def stop(self, last: Callable[[], Awaitable[None]]) -> None:
        """Run *last* if the loop was started, and end it; calls in it are cancelled.

        Returns within a second, even if something in the loop does not.

        Raises:
            ConfigurationError: The caller runs in the loop's own thread.
        """
        running = self._running
        if running.pid == os.getpid() and not sys.is_finalizing():
            running.check_thread()
        # started() reads `closed` after it has read `_running`, so one of the two sees the other.
        self.closed = True
        self._running.stop(last)


class EventLoopThread:
    """An event loop in a thread of its own.

    States: new → starting (`start`) → ready → ended. `leave` ends it from any state; a thread that
    starts after that ends at once. No call ends the loop: SystemExit and KeyboardInterrupt go to
    the caller, like other exceptions.
    """

    def __init__(self) -> None:
        self.ended: bool = False
        """Whether it has ended, or is about to."""

        self.pid: int = os.getpid()
        self._calls: dict[ThreadCall[Any], asyncio.Task[None] | None] = {}  # None: no task yet
        self._started = Latch()  # ready, failed or left
        self._over = Latch()
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
        """Whether it belongs to this process and has not ended."""
        return not self.ended and self.pid == os.getpid()

    @property
    def ready(self) -> bool:
        """Whether it takes calls, or took some."""
        return self._loop is not None and self._started.is_set

    def successor(self) -> EventLoopThread:
        """Return the loop that takes the place of this one: the same for all threads."""
        return self._successors.setdefault(None, EventLoopThread())  # atomic

    def start(self, owner: object) -> None:
        """Start the thread unless another caller has, and wait until it takes calls.

        Returns also if it has ended meanwhile, because the caller that started it was interrupted.

        Args:
            owner: The thread ends when this object is collected.

        Raises:
            ClientClosedError: The interpreter ends, so no thread can be started.
        """
        if sys.is_finalizing():
            raise ClientClosedError
        try:
            if self._unstarted:
                self._start(owner)
            self._wait_until_started()
        except BaseException as error:
            if self._thread is None or not self._thread.is_alive():
                self.leave()  # other callers that wait for it start its successor
            # At exit, Python starts no thread (from 3.12 on) and no executor.
            if isinstance(error, RuntimeError) and not threading.main_thread().is_alive():
                raise ClientClosedError from None
            raise

    def _wait_until_started(self) -> None:
        self._started.wait()
        if self._failure is not None:
            raise self._failure

    def _start(self, owner: object) -> None:
        with suppress(IndexError):  # another caller starts it
            run = self._unstarted.pop()
            if self.ended:
                return
            self._thread = threading.Thread(target=run, name="acechat", daemon=True)
            # Without a close(), the exit of the interpreter would stop the thread anywhere in the
            # loop. A finalizer runs before that.
            weakref.finalize(owner, self.stop)
            self._thread.start()

    def run(self, function: Callable[[], Awaitable[_T]]) -> _T:
        """Run *function* to its end; Ctrl-C here cancels it there.

        Raises:
            ClientClosedError: The loop has ended.
        """
        call: ThreadCall[_T] = ThreadCall()
        try:
            self.begin(call, function)
            call.done.wait()
        except BaseException:
            self.cancel(call)  # Ctrl-C comes at any moment: the call may have begun
            raise
        return call.result()

    def begin(self, call: ThreadCall[_T], function: Callable[[], Awaitable[_T]]) -> None:
        """Start *function* as *call*, and return at once.

        Raises:
            ClientClosedError: The loop has ended.
        """
        self._calls[call] = None  # first: the end of the loop finishes all that are in here
        try:
            assert self._loop is not None  # noqa: S101 - started() returns only ready loops
            self._loop.call_soon_threadsafe(self._guard, call, self._begin, function)
        except RuntimeError:  # it is closed
            raise ClientClosedError from None

    def cancel(self, call: ThreadCall[_T]) -> None:
        """Cancel *call*, from any thread; no effect on one that is done."""
        call.cancelled = True
        if self._loop is not None and self.pid == os.getpid():
            with suppress(RuntimeError):  # it is closed
                self._loop.call_soon_threadsafe(self._guard, call, self._cancel)

    def check(self) -> None:
        """Raise unless the caller may wait for the loop.

        Raises:
            ClientClosedError: The loop belongs to the process before a fork, or the interpreter
                ends and has stopped the thread.
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
        """Let the loop end, now or as soon as it has started. Never blocks."""
        self.ended = True
        self._started.set()
        if self._loop is not None and self._leaving is not None:
            with suppress(RuntimeError):  # it is closed
                self._loop.call_soon_threadsafe(self._leaving.set)

    def stop(self, last: Callable[[], Awaitable[None]] | None = None) -> None:
        """Let the loop run *last* and end, and wait for its thread, but no longer than a second.

        Does not wait in the loop's own thread: the garbage collector may call this there.
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
            _check_no_loop_runs()
            with asyncio.Runner(loop_factory=loop_factory()) as runner:
                self._loop = runner.get_loop()
                serving = self._loop.create_task(self._serve())
                while not serving.done():
                    # A task that a call has started may raise them out of the loop.
                    with suppress(KeyboardInterrupt, SystemExit):
                        self._loop.run_until_complete(serving)
                served = True
        except BaseException as error:  # noqa: BLE001 - it is raised in the callers
            # From Python 3.12 on, no thread starts at exit. asyncio wants one to end its executor;
            # all else is done by then.
            if not served:
                self._failure = error
        finally:
            self.ended = True
            self._started.set()
            with suppress(KeyError):
                while True:
                    call, _ = self._calls.popitem()
                    call.finish(self._failure or ClientClosedError())
            self._ident = None  # another thread may get it
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
        """Run a callback of the loop; an exception ends *call* instead of going to its handler."""
        try:
            callback(call, *args)
        except BaseException as error:  # noqa: BLE001 - it is raised in the caller
            self._end(call, error)

    def _begin(self, call: ThreadCall[_T], function: Callable[[], Awaitable[_T]]) -> None:
        """Make the task of *call*: a callback of the loop, in which no task is current."""
        if call.cancelled or call.done.is_set or self.ended:
            self._end(call, ClientClosedError())
            return
        coroutine = self._call(call, function)
        try:
            task = asyncio.get_running_loop().create_task(coroutine)
        except BaseException:
            coroutine.close()
            raise
        if call in self._calls:  # an eager task may have ended
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
        elif self._calls.get(call) is None:  # it has no task: its caller was interrupted before
            self._end(call, ClientClosedError())
