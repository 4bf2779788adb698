"""The event loop of a blocking client: one thread, started when first needed, that always ends."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from acechat._protocol import END, Batch
from acechat._stream import AsyncChatStream
from acechat.errors import ClientClosedError

if TYPE_CHECKING:  # it takes 30 ms to import, and is, when a loop is started
    from anyio.from_thread import BlockingPortal

__all__ = ["LoopThread", "Pipe"]

_P = ParamSpec("_P")
_T = TypeVar("_T")

_HIGH, _LOW = 64, 32
"""Reads of the network that wait for the caller before the network must wait, and until when."""


class LoopThread:
    """Runs coroutines for callers in other threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._portal: BlockingPortal | None = None
        self._finalizer: weakref.finalize[..., LoopThread] | None = None
        self._closed = False

    def run(self, function: Callable[_P, Awaitable[_T]], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Run *function* to its end; Ctrl-C here cancels it there.

        `anyio.from_thread.BlockingPortal.call` would leave the coroutine running.

        Raises:
            ClientClosedError: The loop has been stopped.
        """
        return self.wait_for(self.start(partial(function, *args, **kwargs)))

    def start(self, function: Callable[[], Awaitable[_T]]) -> Future[_T]:
        """Start *function* and return at once."""
        try:
            return self._started().start_task_soon(function)
        except RuntimeError:
            if self._closed:
                raise ClientClosedError from None
            raise

    def wait_for(self, future: Future[_T]) -> _T:
        """Wait for what was started."""
        try:
            return future.result()
        except CancelledError:
            raise ClientClosedError from None
        except BaseException:
            future.cancel()
            raise

    def _started(self) -> BlockingPortal:
        if self._pid != os.getpid():
            if self._finalizer is not None:
                self._finalizer.detach()
            self._pid, self._lock, self._portal = os.getpid(), threading.Lock(), None
        if self._closed:
            raise ClientClosedError
        portal = self._portal
        if portal is not None:
            return portal
        with self._lock:
            if self._closed:  # meanwhile
                raise ClientClosedError
            if self._portal is None:
                portal, thread = _start()
                self._portal = portal
                # A forgotten close() would dead-lock the interpreter's exit, which stops the
                # thread before the loop in it. A finalizer runs before that.
                self._finalizer = weakref.finalize(self, _stop, portal, thread, self._pid)
            return self._portal

    @property
    def alive(self) -> bool:
        """Whether the thread runs in this process."""
        return self._portal is not None and self._pid == os.getpid()

    def stop(self, last: Callable[[], Awaitable[None]]) -> None:
        """Run *last* if the loop was started, and end it; what still runs in it is cancelled."""
        if self._pid != os.getpid():
            self._closed = True
            return
        with self._lock:  # from here on nobody starts it
            self._closed = True
        portal, finalizer = self._portal, self._finalizer
        if portal is None or finalizer is None or not finalizer.alive:
            return
        with suppress(ClientClosedError, RuntimeError):  # another thread was faster
            self.wait_for(portal.start_task_soon(last))
        finalizer()


def _start() -> tuple[BlockingPortal, threading.Thread]:
    """Start a loop in a thread of its own.

    `anyio.from_thread.start_blocking_portal` is a generator, which waits for its thread when it is
    collected: for ever in a forked child, where there is none.
    """
    import anyio
    from anyio.from_thread import BlockingPortal

    from acechat._transport import abandoned

    ready: Future[BlockingPortal] = Future()

    served = False

    async def serve() -> None:
        nonlocal served
        async with BlockingPortal() as portal:
            ready.set_result(portal)
            await portal.sleep_until_stopped()
        await abandoned()
        served = True

    def run() -> None:
        try:
            anyio.run(serve)
        except RuntimeError as error:
            if not ready.done():
                ready.set_exception(error)
            # From 3.12 on, Python starts no thread at its exit. asyncio wants one to end those that
            # looked up hosts; all else is done by then.
            elif not served:
                raise

    thread = threading.Thread(target=run, name="acechat", daemon=True)
    thread.start()
    return ready.result(), thread


def _stop(portal: BlockingPortal, thread: threading.Thread, pid: int) -> None:
    if os.getpid() != pid:
        return
    try:
        portal.start_task_soon(portal.stop, True).result()  # noqa: FBT003 - cancel what runs
    except CancelledError:
        pass
    except RuntimeError:
        # The garbage collector ran in the loop's own thread, which cannot wait for its own end.
        threading.Thread(target=_stop, args=(portal, thread, pid)).start()
        return
    thread.join()


class Pipe:
    """Carries what a stream's reads bring from the loop's thread to the caller's.

    One task pumps; a read is one item of the queue, so a delta never crosses alone. (Measured: a
    call through the portal per read costs 2.5 times as much on a live stream.)
    """

    def __init__(self) -> None:
        self._queue: SimpleQueue[Batch | BaseException] = SimpleQueue()
        self._full = False
        self._room: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def fill(self, stream: AsyncChatStream) -> None:
        """Pump until the stream ends; its error is the last item."""
        self._room = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        queue = self._queue
        try:
            while True:
                batch = await stream.receive_batch()
                queue.put(batch)
                if batch is END:
                    return
                if queue.qsize() >= _HIGH:
                    await self._wait_for_room()
        except BaseException as error:
            await stream.aclose()
            queue.put(error)
            if not isinstance(error, Exception):
                raise

    async def _wait_for_room(self) -> None:
        assert self._room is not None  # noqa: S101 - fill() made it
        self._room.clear()
        self._full = True
        # The caller may have emptied the queue before it could see that it was full.
        if self._queue.qsize() >= _HIGH:
            await self._room.wait()
        self._full = False

    def take(self) -> Batch:
        """Wait, in the caller's thread, for the next item."""
        item = self._queue.get()
        if self._full and self._queue.qsize() <= _LOW and self._loop and self._room:
            self._full = False
            self._loop.call_soon_threadsafe(self._room.set)
        if isinstance(item, asyncio.CancelledError):
            raise ClientClosedError
        if isinstance(item, BaseException):
            raise item
        return item
