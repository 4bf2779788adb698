"""A server of bare sockets, which sends bytes that no HTTP library sends.

A request for ``/FAULT/CELL/…`` plays FAULT. The requests of a CELL are counted, so that the second
can get another response than the first.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

from benchmarks.conformance.faults import FAULTS, End, Repeat, Step
from benchmarks.conformance.wire import AnthropicWire, OpenAIWire

__all__ = ["FaultServer"]


class FaultServer:
    """Listens on 127.0.0.1, in its own thread, during the ``with`` block."""

    def __init__(self) -> None:
        self.port: int = 0
        self._faults = {fault.name: fault for fault in FAULTS}
        self._requests: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def url(self, fault: str, cell: str) -> str:
        """Return the base URL for *fault*; *cell* must be unique."""
        return f"http://127.0.0.1:{self.port}/{fault}/{cell}"

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()
        # "localhost" is another origin than "127.0.0.1", and reaches the same server.
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stopped.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while not writer.is_closing():
                path = await _receive(reader)
                for step in self._steps_for(path):
                    await _play(step, reader, writer)
        except (ConnectionError, EOFError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass  # the client disconnected, or the server stops
        finally:
            writer.close()
            with suppress(Exception):
                await writer.wait_closed()
            self._tasks.discard(task)

    def _steps_for(self, path: str) -> Sequence[Step]:
        _, name, cell, *_ = path.split("/")
        wire = AnthropicWire() if path.endswith("/messages") else OpenAIWire()
        script = self._faults[name].script(wire)
        self._requests[cell] += 1
        steps = script[min(self._requests[cell], len(script)) - 1]
        elsewhere = f"http://localhost:{self.port}{path}".encode()
        return [
            step.replace(b"{elsewhere}", elsewhere) if isinstance(step, bytes) else step
            for step in steps
        ]


async def _receive(reader: asyncio.StreamReader) -> str:
    """Read one request; return its path."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {
        name.lower(): value.strip() for name, _, value in (one.partition(":") for one in lines[1:])
    }
    if headers.get("transfer-encoding") == "chunked":
        while size := int(await reader.readline(), 16):
            await reader.readexactly(size + 2)
        await reader.readline()
    else:
        await reader.readexactly(int(headers.get("content-length", 0)))
    return lines[0].split()[1].partition("?")[0]


async def _play(step: Step, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    match step:
        case bytes():
            writer.write(step)
            await writer.drain()
        case float() | int():
            await asyncio.sleep(step)
        case Repeat():
            while not writer.is_closing():
                writer.write(step.data)
                await writer.drain()
                await asyncio.sleep(step.every)
        case End.CLOSE:
            writer.close()
        case End.RESET:
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        case End.HOLD:
            await reader.read()
