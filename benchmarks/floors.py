"""What cannot be beaten: a protocol on the bare event loop, with the same structs.

It has no retries, no errors, no limits and no pool: an ideal, not a rival.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from io import BytesIO
from urllib.parse import urlsplit

import aiohttp
import msgspec

from acechat.types import ChatCompletion, ChatCompletionChunk, Delta

_decode = msgspec.json.Decoder(ChatCompletionChunk).decode
_completion = msgspec.json.Decoder(ChatCompletion)
_BODY = b'{"model":"claude-sonnet-4-20250514","messages":[{"role":"user","content":"Hello"}]}'


class _Stream(asyncio.Protocol):
    """Takes a chunked stream apart and decodes each event to the client's own struct."""

    def __init__(self) -> None:
        self.deltas: deque[Delta] = deque()
        self.waiter: asyncio.Future[None] | None = None
        self.ended = False
        self._rest = b""  # of an HTTP chunk
        self._tail = b""  # of an event
        self._head = True

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        if self._head:
            _, _, data = data.partition(b"\r\n\r\n")
            self._head = False
        at = 0
        body: list[bytes] = []
        while (end := data.find(b"\r\n", at)) >= 0:
            size = int(data[at:end], 16)
            if not size:
                self.ended = True
                break
            if len(data) < end + size + 4:
                break
            body.append(data[end + 2 : end + 2 + size])
            at = end + size + 4
        self._rest = data[at:]
        self._decode_events(b"".join(body))
        if self.waiter is not None and (self.deltas or self.ended):
            self.waiter.set_result(None)
            self.waiter = None

    def _decode_events(self, body: bytes) -> None:
        body = self._tail + body
        end = body.rfind(b"\n\n") + 2
        body, self._tail = body[:end], body[end:]
        for line in BytesIO(body).readlines()[::2]:
            if line[6:7] != b"[":
                for choice in _decode(line[6:]).choices:
                    if choice.delta.content:
                        self.deltas.append(choice.delta)


async def stream(url: str) -> AsyncIterator[Delta]:
    """Stream over a connection of its own."""
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_connection(_Stream, parts.hostname, parts.port)
    transport.write(
        b"POST %s/v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s"
        % (parts.path.encode(), len(_BODY), _BODY)
    )
    deltas = protocol.deltas
    try:
        while True:
            while deltas:
                yield deltas.popleft()
            if protocol.ended:
                return
            protocol.waiter = loop.create_future()
            await protocol.waiter
    finally:
        transport.close()


async def chat(session: aiohttp.ClientSession, url: str) -> ChatCompletion:
    """Ask with bare aiohttp and msgspec, as one would by hand."""
    headers = {"Authorization": "Bearer token", "Content-Type": "application/json"}
    request = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
    async with session.post(
        f"{url}/v1/chat/completions", data=msgspec.json.encode(request), headers=headers
    ) as response:
        return _completion.decode(await response.read())
