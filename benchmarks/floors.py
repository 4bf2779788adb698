"""Lower bounds of the costs: a bare event loop or a bare socket, with the same structs.

They have no retries, errors or limits, and trust the server: ideals, not alternatives.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import AsyncIterator, Iterator
from io import BytesIO
from typing import TypeVar
from urllib.parse import urlsplit

import aiohttp
import msgspec

from acechat.types import ChatCompletion, ChatCompletionChunk, Delta
from benchmarks.subjects import MODEL, messages

_decode = msgspec.json.Decoder(ChatCompletionChunk).decode
_completion_decoder = msgspec.json.Decoder(ChatCompletion)
_encode = msgspec.json.Encoder().encode


class Framing:
    """Parses one chunked stream and decodes each event to acechat's struct."""

    def __init__(self) -> None:
        self.ended = False
        self._rest = b""  # of an HTTP chunk
        self._parts: list[bytes] = []  # of an event
        self._head = True

    def feed(self, data: bytes) -> list[Delta]:
        """Return the deltas that are complete after *data*."""
        data = self._rest + data
        if self._head:
            _, _, data = data.partition(b"\r\n\r\n")
            self._head = False
        at = 0
        body: list[bytes] = []
        while (end := data.find(b"\r\n", at)) >= 0:
            size = int(data[at:end], 16)
            if len(data) < end + size + 4:
                break
            if not size:
                self.ended = True
                break
            body.append(data[end + 2 : end + 2 + size])
            at = end + size + 4
        self._rest = data[at:]
        return self._decode_events(b"".join(body))

    def _decode_events(self, body: bytes) -> list[Delta]:
        if b"\n" not in body:
            self._parts.append(body)
            return []
        self._parts.append(body)
        body = b"".join(self._parts)
        end = body.rfind(b"\n\n") + 2 if b"\n\n" in body else 0
        self._parts = [body[end:]]
        deltas: list[Delta] = []
        for line in BytesIO(body[:end]).readlines()[::2]:
            if line[6:7] != b"[":
                deltas += [
                    choice.delta for choice in _decode(line[6:]).choices if choice.delta.content
                ]
        return deltas


class _Stream(asyncio.Protocol):
    """A connection that is reused for streams."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.deltas: deque[Delta] = deque()
        self.waiter: asyncio.Future[None] | None = None

    def begin(self, request: bytes) -> None:
        self.framing = Framing()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self.deltas.extend(self.framing.feed(data))
        if self.waiter is not None and (self.deltas or self.framing.ended):
            self.waiter.set_result(None)
            self.waiter = None


class _Call(asyncio.Protocol):
    """A connection that is reused for plain calls."""

    transport: asyncio.Transport

    def send(self, request: bytes) -> asyncio.Future[ChatCompletion]:
        self._parts: list[bytes] = []
        self._missing = -1
        self._completion_future: asyncio.Future[ChatCompletion] = (
            asyncio.get_running_loop().create_future()
        )
        self.transport.write(request)
        return self._completion_future

    def data_received(self, data: bytes) -> None:
        if self._missing < 0:
            head, _, data = data.partition(b"\r\n\r\n")
            self._missing = int(head.rpartition(b"Content-Length: ")[2])
        self._parts.append(data)
        self._missing -= len(data)
        if not self._missing:
            self._completion_future.set_result(_completion_decoder.decode(b"".join(self._parts)))


_Wire = TypeVar("_Wire", _Stream, _Call)


def read_at_once(transport: asyncio.Transport) -> None:
    """Read 64 KiB at a time, as acechat does: 256 KiB would be mapped and unmapped each time."""
    if hasattr(transport, "max_size"):  # uvloop has no such limit
        transport.max_size = 2**16


class Floor:
    """Opens a connection for each simultaneous request, and keeps them open."""

    def __init__(self, root: str) -> None:
        parts = urlsplit(root)
        self.address = parts.hostname or "", parts.port or 80
        self._path = parts.path
        self._streams: list[_Stream] = []
        self._calls: list[_Call] = []

    def request(self, image_bytes: bytes | None = None) -> bytes:
        body = _encode({"model": MODEL, "messages": messages(image_bytes)})
        head = (
            f"POST {self._path}/v1/chat/completions HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer token\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    async def chat(self, image_bytes: bytes | None = None) -> ChatCompletion:
        call = self._calls.pop() if self._calls else await self._connect(_Call)
        completion = await call.send(self.request(image_bytes))
        self._calls.append(call)
        return completion

    async def stream(self) -> AsyncIterator[Delta]:
        wire = self._streams.pop() if self._streams else await self._connect(_Stream)
        wire.begin(self.request())
        deltas, framing = wire.deltas, wire.framing
        while True:
            while deltas:
                yield deltas.popleft()
            if framing.ended:
                break
            wire.waiter = asyncio.get_running_loop().create_future()
            await wire.waiter
        self._streams.append(wire)

    async def _connect(self, protocol: type[_Wire]) -> _Wire:
        wire = protocol()
        loop = asyncio.get_running_loop()
        wire.transport, _ = await loop.create_connection(lambda: wire, *self.address)
        read_at_once(wire.transport)
        return wire

    def close(self) -> None:
        wires: list[_Stream | _Call] = [*self._streams, *self._calls]
        for wire in wires:
            wire.transport.close()


class BlockingFloor(Floor):
    """The same on one bare socket."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self._socket = socket.create_connection(self.address)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def chat_blocking(self) -> ChatCompletion:
        self._socket.sendall(self.request())
        head, _, body = self._socket.recv(65536).partition(b"\r\n\r\n")
        missing = int(head.rpartition(b"Content-Length: ")[2]) - len(body)
        parts = [body]
        while missing:
            parts.append(self._socket.recv(65536))
            missing -= len(parts[-1])
        return _completion_decoder.decode(b"".join(parts))

    def deltas(self) -> Iterator[Delta]:
        self._socket.sendall(self.request())
        framing = Framing()
        while not framing.ended:
            yield from framing.feed(self._socket.recv(65536))

    def close(self) -> None:
        self._socket.close()


async def stream(url: str) -> AsyncIterator[Delta]:
    """Read one stream on a new connection."""
    floor = Floor(url)
    try:
        async for delta in floor.stream():
            yield delta
    finally:
        floor.close()


async def chat(session: aiohttp.ClientSession, url: str) -> ChatCompletion:
    """Make one call with aiohttp and msgspec, without a client library."""
    headers = {"Authorization": "Bearer token", "Content-Type": "application/json"}
    request = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
    async with session.post(
        f"{url}/v1/chat/completions", data=msgspec.json.encode(request), headers=headers
    ) as response:
        return _completion_decoder.decode(await response.read())
