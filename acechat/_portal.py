"""The event loop of a blocking client: one thread, started when first needed, that always ends.

Its calls are tasks of one anyio task group, each in a cancel scope of its own: what is cancelled
stays cancelled, even if it swallows that once. `anyio.from_thread.BlockingPortal` would end with
the first call that raises SystemExit, and Ctrl-C could leave a call running.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import weakref
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from acechat._loops import loop_factory
from acechat.errors import ClientClosedError, ConfigurationError

if TYPE_CHECKING:  # it takes 30 ms to import, and is, when a loop is started
    from anyio import CancelScope

__all__ = ["LoopThread", "Running"]

_P = ParamSpec("_P")
_T = TypeVar("_T")


class LoopThread:
    """Runs coroutines for callers in other threads."""

    def __init__(self) -> None:
        self.closed: bool = False
        """Whether it was stopped for good."""

        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._running: Running | None = None
        self._finalizer: weakref.finalize[..., LoopThread] | None = None

    def run(self, function: Callable[_P, Awaitable[_T]], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Run *function* to its end; Ctrl-C here cancels it there.

        Raises:
            ClientClosedError: The loop has been stopped.
            ConfigurationError: This is the loop's own thread, which cannot wait for itself.
        """
        return self.started().run(partial(function, *args, **kwargs))

    def started(self) -> Running:
        """Return the loop; start it if it does not run in this process."""
        if self._pid != os.getpid():
            if self._finalizer is not None:
                self._finalizer.detach()
            self._pid, self._lock, self._running = os.getpid(), threading.Lock(), None
        if self.closed:
            raise ClientClosedError
        running = self._running
        if running is None or running.ended:
            running = self._start()
        running.check()
        return running

    def _start(self) -> Running:
        with self._lock:
            # While the interpreter is torn down, no other thread runs.
            if self.closed or sys.is_finalizing():
                raise ClientClosedError
            if self._running is not None and not self._running.ended:
                return self._running  # another thread was faster
            running = Running()
            try:
                running.start()
                # A forgotten close() would let the interpreter's exit stop the thread wherever the
                # loop in it stands. A finalizer runs before that.
                self._finalizer = weakref.finalize(self, running.stop)
                self._running = running
            except BaseException as error:  # Ctrl-C, for one: it comes at any moment
                self._running = None
                running.leave()
                if isinstance(error, RuntimeError) and not threading.main_thread().is_alive():
                    raise ClientClosedError from None  # from 3.12 on, no thread starts at exit
                raise
            return running

    def stop(self, last: Callable[[], Awaitable[None]]) -> None:
        """Run *last* if the loop was started, and end it; what still runs in it is cancelled.

        Raises:
            ConfigurationError: This is the loop's own thread.
        """
        if self._pid != os.getpid() or sys.is_finalizing():
            self.closed = True
            return
        if self._running is not None:
            self._running.check()
        with self._lock:  # from here on nobody starts it
            self.closed = True
        running, finalizer = self._running, self._finalizer
        if running is None or finalizer is None or not finalizer.alive:
            return
        try:
            with suppress(ClientClosedError):  # another thread was faster
                running.run(last)
        finally:
            finalizer()


class Running:
    """An event loop in a thread of its own.

    No call ends it, whatever it raises: SystemExit and KeyboardInterrupt go to who waits for the
    call, like all else.
    """

    def __init__(self) -> None:
        self.ended: bool = False
        """Whether it has ended, or is about to."""

        self.pid: int = os.getpid()
        self._calls: dict[Future[Any], CancelScope | None] = {}  # None: it has not begun
        self._ready: Future[None] = Future()
        self._served = False
        self._thread = threading.Thread(target=self._run, name="acechat", daemon=True)

    def start(self) -> None:
        """Start the thread, and wait until it takes calls."""
        self._thread.start()
        self._ready.result()

    def run(self, function: Callable[[], Awaitable[_T]]) -> _T:
        """Run *function* to its end; Ctrl-C here cancels it there."""
        future: Future[_T] = Future()
        try:
            self.begin(future, function)
            return future.result()
        except CancelledError:
            raise ClientClosedError from None
        except BaseException:
            future.cancel()  # Ctrl-C comes at any moment: perhaps it has begun
            raise

    def begin(self, future: Future[_T], function: Callable[[], Awaitable[_T]]) -> None:
        """Let *function* set *future*, and return at once; who cancels that cancels it."""
        self._calls[future] = None  # first: what the loop does not get to, its end cancels
        try:
            self._loop.call_soon_threadsafe(self._begin, future, function)
        except RuntimeError:  # it is closed
            future.cancel()
            raise ClientClosedError from None

    def check(self) -> None:
        """Raise unless the caller may wait for the loop.

        Raises:
            ClientClosedError: The loop stayed behind in another process, or the interpreter, at
                its exit, has stopped the thread.
            ConfigurationError: The caller is in the loop.
        """
        if self.pid != os.getpid() or sys.is_finalizing():
            raise ClientClosedError
        if self._thread is threading.current_thread():
            raise ConfigurationError(
                "a blocking client cannot wait in its own event loop, where its asynchronous "
                "tools, its middleware and its observers run; use an AsyncClient there"
            )

    def leave(self) -> None:
        """Let the loop end, soon or as soon as it has started."""
        self.ended = True
        self._ready.add_done_callback(self._leave)

    def stop(self) -> None:
        """End the loop, and wait for the thread unless this is it: the collector runs anywhere."""
        if self.pid != os.getpid() or sys.is_finalizing():
            return
        self.leave()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _leave(self, ready: Future[None]) -> None:
        if ready.exception() is None:
            with suppress(RuntimeError):  # it is closed
                self._loop.call_soon_threadsafe(self._stopped.set)

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=loop_factory()) as runner:
                self._loop = runner.get_loop()
                serving = self._loop.create_task(self._serve())
                while not serving.done():
                    # They leave the loop, too, when a task that a call started raises them.
                    with suppress(KeyboardInterrupt, SystemExit):
                        self._loop.run_until_complete(serving)
        except Exception as error:
            if not self._ready.done():
                self._ready.set_exception(error)
            # From 3.12 on, Python starts no thread at its exit. asyncio wants one to end those that
            # looked up hosts; all else is done by then.
            elif not self._served:
                raise
        finally:
            self.ended = True
            while self._calls:
                self._calls.popitem()[0].cancel()

    async def _serve(self) -> None:
        from anyio import Event, create_task_group

        from acechat._transport import abandoned

        self._stopped = Event()
        async with create_task_group() as self._group:
            self._ready.set_result(None)
            await self._stopped.wait()
            self._group.cancel_scope.cancel()
        await abandoned()
        self._served = True

    def _begin(self, future: Future[Any], function: Callable[[], Awaitable[Any]]) -> None:
        if future.cancelled() or self._stopped.is_set():
            del self._calls[future]
            future.cancel()
            return
        self._group.start_soon(self._call, future, function)
        future.add_done_callback(self._note_end)

    async def _call(self, future: Future[Any], function: Callable[[], Awaitable[Any]]) -> None:
        from anyio import CancelScope

        try:
            with CancelScope() as self._calls[future]:
                if future.cancelled():
                    return
                value = await function()
                if future.set_running_or_notify_cancel():
                    future.set_result(value)
        except asyncio.CancelledError:
            future.cancel()
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            if future.set_running_or_notify_cancel():
                future.set_exception(error)
        finally:
            del self._calls[future]

    def _note_end(self, future: Future[Any]) -> None:
        if future.cancelled() and self.pid == os.getpid():
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._cancel, future)

    def _cancel(self, future: Future[Any]) -> None:
        scope = self._calls.get(future)
        if scope is not None:
            scope.cancel()
