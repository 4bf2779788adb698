"""A server of bare sockets, which sends bytes that no HTTP library sends.

It reads requests and leaves their responses to a subclass: the faults of the matrix, or the
handlers of tests/behaviour.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
import sys
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Any, NamedTuple, Self

__all__ = ["RawServer", "ReceivedRequest", "reset"]

_RESET_ON_CLOSE = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
"""A ``struct linger``: on, 0 seconds."""


class ReceivedRequest(NamedTuple):
    """One request."""

    connection: int
    """The number of its connection, from 1."""

    line: str
    headers: dict[str, str]
    """Names in lower case."""

    body: bytes
    at: float
    """The time at which it was complete, in seconds of `time.monotonic`."""

    @property
    def path(self) -> str:
        """The path, without the query."""
        return self.line.split()[1].partition("?")[0]

    @property
    def json(self) -> Any:
        """The decoded body."""
        return json.loads(self.body)


class RawServer:
    """Listens on 127.0.0.1 in its own thread, from `start` to `stop` or during a ``with`` block.

    Connections stay open until `respond` or the client closes them.

    Args:
        ssl_context: The certificate for HTTPS. None: HTTP.
    """

    def __init__(self, ssl_context: ssl.SSLContext | None = None) -> None:
        self.port: int = 0
        self.connections: int = 0
        self.open: set[int] = set()
        """The numbers of the connections that are open now."""
        self._ssl = ssl_context
        self._tasks: set[asyncio.Task[None]] = set()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Run before the first request of a connection is read."""

    async def respond(
        self,
        request: ReceivedRequest,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """Write the response to *request*, or anything else."""
        raise NotImplementedError

    def start(self) -> None:
        """Start to listen; return when clients can connect."""
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        """Close all connections and end the thread."""
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()
        server = await asyncio.start_server(
            self._attend, "127.0.0.1", 0, ssl=self._ssl, backlog=1024
        )
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stopped.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        connection = self.connections = self.connections + 1
        self.open.add(connection)
        try:
            await self.connected(reader, writer)
            while not writer.is_closing():
                await self.respond(await _receive(reader, connection), reader, writer)
        except (ConnectionError, EOFError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass  # the client disconnected or sent no HTTP, or the server stops
        finally:
            self.open.discard(connection)
            writer.close()
            with suppress(Exception):
                await writer.wait_closed()
            self._tasks.discard(task)


async def _receive(reader: asyncio.StreamReader, connection: int) -> ReceivedRequest:
    line, *fields = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
    headers = {
        name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)
    }
    body = b""
    if "chunked" in headers.get("transfer-encoding", ""):
        while size := int(await reader.readline(), 16):
            body += await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
    else:
        body = await reader.readexactly(int(headers.get("content-length", 0)))
    return ReceivedRequest(connection, line, headers, body, time.monotonic())


def reset(writer: asyncio.StreamWriter) -> None:
    """Close the connection with RST instead of FIN."""
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()
