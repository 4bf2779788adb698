"""`DeltaQueue`: carries the batches of a stream from the loop's thread to the caller's."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import CancelledError
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import TypeAlias

from acechat._async.stream import AsyncChatStream
from acechat._sync.event_loop_thread import EventLoopThread
from acechat._sync.loop_thread import LoopThread
from acechat._sync.thread_call import ThreadCall
from acechat._wire.deltas import END, DeltaBatch
from acechat.errors import ClientClosedError

__all__ = ["DeltaQueue"]

_HIGH, _LOW = 64, 32
"""Batches in the queue at which the pump pauses, and at which it resumes."""

_Queue: TypeAlias = SimpleQueue[DeltaBatch | BaseException]


class DeltaQueue:
    """Carries the batches of a stream from the loop's thread to its readers.

    One task, the pump, reads the stream. Each network read is one item of the queue, because an
    item per delta costs more. (Measured: a call to the loop per read, without a pump, costs 2.5
    times as much on a live stream.)

    No lock is held here, and `SimpleQueue` is written in C, so an interrupted reader leaves nothing
    locked: see `acechat._sync.event_loop_thread`.
    """

    # States of the pump, which, like those of the loop, are spread over attributes:
    #
    #   new      `_running` is None          read() -> pumping, stop() -> ended
    #   pumping  `_running` is set           _HIGH batches -> paused, the end of the stream -> ended
    #   paused   `_full` is True             _LOW batches -> pumping, stop() -> ended
    #   ended    `_pump.done` is set, or     final; the last item is END or an exception
    #            `_pump.cancelled` is True

    def __init__(self, thread: LoopThread, stream: AsyncChatStream) -> None:
        self._thread = thread
        self._stream = stream
        self._queue: _Queue = SimpleQueue()
        self._running: EventLoopThread | None = None
        self._pump: ThreadCall[None] = ThreadCall(partial(_end, self._queue))
        self._unstarted = [self._pump]  # taken by the one reader that starts the pump
        self._full = False
        self._room: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def pumping(self) -> bool:
        """Whether the pump has started in this process and not ended."""
        running = self._running
        return running is not None and running.pid == os.getpid() and not self._pump.done.is_set

    def read(self) -> DeltaBatch:
        """Wait for the next batch and return it. The first call starts the pump.

        The last item, `END` or the exception that ended the stream, stays in the queue for other
        readers.

        Raises:
            CancelledError: `stop` was called, or the loop has ended.
            ClientClosedError: The loop has been stopped.
            ConfigurationError: The caller runs in the loop's own thread.
            AceChatError: The stream failed; see `AsyncChatStream.receive`.
        """
        if self._running is None:
            self._start()
        else:
            self._running.check()
        item = self._queue.get()
        if self._full and self._queue.qsize() <= _LOW and self._loop and self._room:
            self._full = False
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._room.set)
        if isinstance(item, BaseException):
            self._queue.put(item)
            raise item
        if item is END:
            self._queue.put(item)
        return item

    def stop(self) -> None:
        """Stop the pump and wake all readers."""
        # The caller may have been interrupted before the pump was in the loop. Then the pump has no
        # end that wakes other readers.
        self._queue.put(CancelledError())
        self._pump.cancelled = True
        if self._running is not None:
            self._running.cancel(self._pump)

    def take_rest(self) -> DeltaBatch:
        """Return the next batch that was read before `stop`, or `END` if none is left."""
        with suppress(Empty):
            for _ in range(self._queue.qsize()):
                item = self._queue.get_nowait()
                if item is not END and not isinstance(item, BaseException):
                    return item
                self._queue.put(item)  # it wakes other readers
        return END

    def _start(self) -> None:
        running = self._thread.started()
        with suppress(IndexError):  # another reader has started it
            pump = self._unstarted.pop()
            self._running = running
            running.begin(pump, self._fill)

    async def _fill(self) -> None:
        self._room = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        try:
            self._stream.on_batch = self._put
            while (batch := await self._stream.receive_batch()) is not END:
                if not self._put(batch):
                    await self._wait_for_room()
        except BaseException:
            await self._stream.aclose()
            raise
        finally:
            self._stream.on_batch = None

    def _put(self, batch: DeltaBatch) -> bool:
        self._queue.put(batch)
        return self._queue.qsize() < _HIGH

    async def _wait_for_room(self) -> None:
        assert self._room is not None  # noqa: S101 - _fill() made it
        self._room.clear()
        self._full = True
        # The reader may have emptied the queue before it could see `_full`.
        if self._queue.qsize() >= _HIGH:
            await self._room.wait()
        self._full = False


def _end(queue: _Queue, pump: ThreadCall[None]) -> None:
    """Put the last item on *queue*: `END`, or the exception that ended the pump."""
    cancelled = pump.cancelled or isinstance(pump.error, ClientClosedError)
    queue.put(CancelledError() if cancelled else pump.error or END)
