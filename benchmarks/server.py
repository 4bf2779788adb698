"""A server that costs as little as it can, in a process of its own: prebuilt bytes, no parsing.

The path says what it answers: ``/SHAPE/COUNT/v1/chat/completions``, where SHAPE is

* ``whole``: an answer at once, of COUNT characters
* ``events``: a stream of COUNT events, one HTTP chunk each, in writes of 64 KB
* ``blocks``: a stream of COUNT events in HTTP chunks of 64 KB
* ``live``: a stream of COUNT events, one write each, every 10 ms
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from subprocess import PIPE, Popen

_WRITE = 65536
_EVERY = 0.01
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: "
_STREAM = _HEAD + b"text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_CHUNK = {
    "id": "msg_bdrk_01LPPqDjLKMgfSwTRMRty9VT",
    "object": "chat.completion.chunk",
    "created": 1768619445,
    "model": "claude-opus-4-20250514",
    "system_fingerprint": None,
}
_USAGE = {"prompt_tokens": 8, "completion_tokens": 12, "total_tokens": 20}


def _event(delta: dict[str, str], reason: str | None = None) -> bytes:
    choice = {"delta": delta, "logprobs": None, "finish_reason": reason, "index": 0}
    return b"data: %s\n\n" % json.dumps(_CHUNK | {"choices": [choice], "usage": None}).encode()


@cache
def events(count: int) -> list[bytes]:
    """Return a stream of the contract's shape with *count* events of text."""
    return [
        _event({"content": "", "role": "assistant"}),
        *[_event({"content": f" tok{number % 10}"}) for number in range(count)],
        _event({}, "stop"),
        b"data: %s\n\n" % json.dumps(_CHUNK | {"choices": [], "usage": _USAGE}).encode(),
        b"data: [DONE]\n\n",
    ]


@cache
def whole(size: int) -> bytes:
    """Return a whole answer with *size* characters of text."""
    message = {"role": "assistant", "content": "x" * size}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    answer = _CHUNK | {"object": "chat.completion", "choices": [choice], "usage": _USAGE}
    body = json.dumps(answer).encode()
    return _HEAD + b"application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def _framed(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


@cache
def backlog(shape: str, count: int) -> bytes:
    """Return a whole response that streams *count* events."""
    sent = events(count)
    if shape == "blocks":
        joined = b"".join(sent)
        sent = [joined[at : at + _WRITE] for at in range(0, len(joined), _WRITE)]
    return _STREAM + b"".join(map(_framed, sent)) + b"0\r\n\r\n"


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            _, shape, count, _ = head.split(b" ", 2)[1].decode().split("/", 3)
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length or 0))
            if shape == "whole":
                writer.write(whole(int(count)))
            elif shape == "live":
                writer.write(_STREAM)
                for event in events(int(count)):
                    writer.write(_framed(event))
                    await asyncio.sleep(_EVERY)
                writer.write(b"0\r\n\r\n")
            else:
                data = backlog(shape, int(count))
                for at in range(0, len(data), _WRITE):
                    writer.write(data[at : at + _WRITE])
                    await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def _main() -> None:
    server = await asyncio.start_server(_serve, "127.0.0.1", 0, limit=2**24)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def running() -> Generator[str]:
    """Run the server as long as the ``with`` block does; yield its origin."""
    with Popen([sys.executable, "-m", "benchmarks.server"], stdout=PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.terminate()


if __name__ == "__main__":
    asyncio.run(_main())
