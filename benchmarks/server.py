"""A server with minimal costs, in its own process: prebuilt bytes, no parsing.

The path selects the response: ``/SHAPE/COUNT/v1/chat/completions``, where SHAPE is

* ``plain``: a plain response of COUNT characters
* ``tool``: a plain response with a tool call, and COUNT characters after its result
* ``answer``: a plain response of COUNT characters, as the call of a tool if one must be called
* ``events``: a stream of COUNT events, one HTTP chunk each, in writes of 64 KB
* ``blocks``: the same in HTTP chunks of 64 KB
* ``live``: a stream of COUNT events, one write each, every 10 ms; all streams share one clock
* ``paced``: the same for a single stream, at intervals too short for the timer of a loop
* ``held``: a stream of COUNT events that never ends

and may have options, ``events,size=512,split=1``: *size* characters in each event, *split* bytes in
each HTTP chunk (``any``: a random number), one write *every* so many µs. A path that ends in
``/messages`` gets the format of Anthropic's API. ``GET /cpu`` returns the CPU time of the server in
seconds.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Self

_WRITE = 65536
_UNIT = 10_000
"""Events that are built; a longer stream repeats them."""

_TICK = 1000
"""Microseconds between two ticks of the shared clock."""

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: "
_STREAM = _HEAD + b"text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_END = b"0\r\n\r\n"
_CHUNK = {
    "id": "msg_bdrk_01LPPqDjLKMgfSwTRMRty9VT",
    "object": "chat.completion.chunk",
    "created": 1768619445,
    "model": "claude-opus-4-20250514",
    "system_fingerprint": None,
}
_USAGE = {"prompt_tokens": 8, "completion_tokens": 12, "total_tokens": 20}
_CALL = {"name": "weather", "arguments": json.dumps({"city": "Paris", "days": 3})}
_MESSAGE = {"id": "msg_01LPPqDjLKMgfSwTRMRty9VT", "type": "message", "role": "assistant"}
_TOKENS = {"input_tokens": 8, "output_tokens": 12}


@dataclass(frozen=True)
class Shape:
    """The response that a path selects."""

    kind: str
    count: int
    size: int
    split: str
    every: int
    anthropic: bool

    @classmethod
    @cache
    def read(cls, path: str) -> Self:
        _, shape, count, rest = path.split("/", 3)
        kind, *pairs = shape.split(",")
        options = dict(option.split("=") for option in pairs)
        every = int(options.get("every", "10000"))
        size, split = int(options.get("size", "0")), options.get("split", "")
        return cls(kind, int(count), size, split, every, rest.endswith("/messages"))


def _chat(delta: dict[str, str], reason: str | None = None) -> bytes:
    choice = {"delta": delta, "logprobs": None, "finish_reason": reason, "index": 0}
    return b"data: %s\n\n" % json.dumps(_CHUNK | {"choices": [choice], "usage": None}).encode()


def _named(name: str, **fields: object) -> bytes:
    """Return an event of Anthropic's API."""
    return b"event: %s\ndata: %s\n\n" % (
        name.encode(),
        json.dumps({"type": name} | fields).encode(),
    )


def _opening(shape: Shape) -> list[bytes]:
    if not shape.anthropic:
        return [_chat({"content": "", "role": "assistant"})]
    message = _MESSAGE | {"model": _CHUNK["model"], "content": [], "stop_reason": None}
    block = {"type": "text", "text": ""}
    return [
        _named("message_start", message=message | {"stop_sequence": None, "usage": _TOKENS}),
        _named("content_block_start", index=0, content_block=block),
    ]


def _closing(shape: Shape) -> list[bytes]:
    if not shape.anthropic:
        usage = json.dumps(_CHUNK | {"choices": [], "usage": _USAGE}).encode()
        return [_chat({}, "stop"), b"data: %s\n\n" % usage, b"data: [DONE]\n\n"]
    ended = {"stop_reason": "end_turn", "stop_sequence": None}
    return [
        _named("content_block_stop", index=0),
        _named("message_delta", delta=ended, usage={"output_tokens": 12}),
        _named("message_stop"),
    ]


def _text(shape: Shape, count: int) -> list[bytes]:
    """Return *count* events of text."""
    texts = ["x" * shape.size] if shape.size else [f" tok{number}" for number in range(10)]
    if shape.anthropic:
        events = [
            _named("content_block_delta", index=0, delta={"type": "text_delta", "text": text})
            for text in texts
        ]
    else:
        events = [_chat({"content": text}) for text in texts]
    return [events[number % len(events)] for number in range(count)]


def _framed(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def _split(events: Iterable[bytes], sizes: Iterator[int]) -> list[bytes]:
    data = b"".join(events)
    chunks: list[bytes] = []
    at = 0
    while at < len(data):
        size = next(sizes)
        chunks.append(data[at : at + size])
        at += size
    return chunks


def _sizes(split: str) -> Iterator[int]:
    random_sizes = random.Random(3)
    while True:
        yield random_sizes.randint(1, 600) if split == "any" else int(split)


def _chunks(shape: Shape, events: list[bytes]) -> list[bytes]:
    """Return the HTTP chunks that carry *events*."""
    split = shape.split or (str(_WRITE) if shape.kind == "blocks" else "")
    return [*map(_framed, _split(events, _sizes(split)) if split else events)]


@lru_cache(maxsize=16)
def writes(shape: Shape) -> list[bytes]:
    """Return the writes of a complete streamed response."""
    units, rest = divmod(shape.count, _UNIT)
    if not units:
        chunks = _chunks(shape, [*_opening(shape), *_text(shape, rest), *_closing(shape)])
        if shape.kind not in ("events", "blocks"):
            return [_STREAM + chunks[0] + chunks[1], *chunks[2:-1], chunks[-1] + _END]
        return _coalesced([_STREAM, *chunks, _END])
    return [
        *_coalesced([_STREAM, *_chunks(shape, _opening(shape))]),
        *_coalesced(_chunks(shape, _text(shape, _UNIT))) * units,
        *_coalesced([*_chunks(shape, [*_text(shape, rest), *_closing(shape)]), _END]),
    ]


def _coalesced(chunks: list[bytes]) -> list[bytes]:
    data = b"".join(chunks)
    return [data[at : at + _WRITE] for at in range(0, len(data), _WRITE)]


@lru_cache(maxsize=16)
def plain(shape: Shape) -> bytes:
    """Return a complete plain response."""
    text = "x" * shape.count
    if not shape.anthropic:
        return _respond({"role": "assistant", "content": text}, "stop")
    ended = {"stop_reason": "end_turn", "stop_sequence": None, "usage": _TOKENS}
    content = [{"type": "text", "text": text}]
    completion = _MESSAGE | {"model": _CHUNK["model"], "content": content} | ended
    return _json(json.dumps(completion).encode())


@cache
def tool_call() -> bytes:
    """Return a complete plain response with a tool call."""
    call = {"id": "toolu_1", "type": "function", "function": _CALL}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    return _respond(message, "tool_calls")


@cache
def answer(count: int) -> bytes:
    """Return a complete plain response that is the call of the tool ``answer``."""
    function = {"name": "answer", "arguments": json.dumps({"text": "x" * count})}
    called = {"id": "toolu_1", "type": "function", "function": function}
    message = {"role": "assistant", "content": None, "tool_calls": [called]}
    return _respond(message, "tool_calls")


def _respond(message: dict[str, object], reason: str) -> bytes:
    choice = {"index": 0, "message": message, "finish_reason": reason}
    completion = _CHUNK | {"object": "chat.completion", "choices": [choice], "usage": _USAGE}
    return _json(json.dumps(completion).encode())


def _json(body: bytes) -> bytes:
    return _HEAD + b"application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body


class _Clock:
    """The clock of all live streams with one interval; spreads them evenly over its ticks."""

    def __init__(self, every: int) -> None:
        self._slots: list[list[_Exchange]] = [[] for _ in range(max(every // _TICK, 1))]
        self._joined = 0
        self._ticks = 0
        self._began = 0.0

    def join(self, exchange: _Exchange) -> None:
        loop = asyncio.get_running_loop()
        if not any(self._slots):
            self._began, self._ticks = loop.time(), 0
            loop.call_at(self._began, self._tick)
        self._joined += 1
        self._slots[self._joined % len(self._slots)].append(exchange)

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        slot = self._slots[self._ticks % len(self._slots)]
        for exchange in slot:
            exchange.write_next()
        slot[:] = [exchange for exchange in slot if exchange.remaining]
        self._ticks += 1
        if any(self._slots):
            loop.call_at(self._began + self._ticks * _TICK / 1e6, self._tick)


_clock = cache(_Clock)


class _Exchange(asyncio.Protocol):
    """One connection. Of a request, only the path and the end are parsed."""

    def __init__(self) -> None:
        self.remaining: list[bytes] = []  # remaining writes, in reverse order
        self._path = ""
        self._read = b""
        self._missing = 0  # bytes of the request's body; -1: until its last chunk
        self._paused = False
        self._has_result = False  # whether the request contains the result of a tool
        self._must_call = False  # whether it names the tool that must be called

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, _: Exception | None) -> None:
        self.remaining = []

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._pump()

    def data_received(self, data: bytes) -> None:
        if not self._path:
            head, end, data = (self._read + data).partition(b"\r\n\r\n")
            if not end:
                self._read = head
                return
            self._read = b""
            self._path = head.split(b" ", 2)[1].decode()
            lower = head.lower()
            length = lower.partition(b"content-length: ")[2].partition(b"\r\n")[0]
            self._missing = -1 if b"\r\ntransfer-encoding: chunked" in lower else int(length or 0)
            self._has_result = self._must_call = False
        self._has_result |= b'"tool_call_id"' in data
        self._must_call |= b'"tool_choice"' in data
        if self._missing >= 0:
            self._missing -= len(data)
            assert self._missing >= 0, "a client must not send before the response"
        else:
            self._read = (self._read + data)[-len(_END) :]
            self._missing = 0 if self._read == _END else -1
        if not self._missing:
            path, self._path, self._read = self._path, "", b""
            self._respond(path)

    def _respond(self, path: str) -> None:
        if path == "/cpu":
            self._transport.write(_json(json.dumps(time.process_time()).encode()))
            return
        shape = Shape.read(path)
        if shape.kind == "answer" and self._must_call:
            self._transport.write(answer(shape.count))
            return
        if shape.kind in {"plain", "tool", "answer"}:
            called = shape.kind == "tool" and not self._has_result
            self._transport.write(tool_call() if called else plain(shape))
            return
        self.remaining = [] if shape.kind == "held" else writes(shape)[::-1]
        if shape.kind == "live":
            self.write_next()
            _clock(shape.every).join(self)
        elif shape.kind == "paced":
            self._pace(shape.every / 1e6)
        elif shape.kind == "held":
            events = [*_opening(shape), *_text(shape, shape.count)]
            self._transport.write(b"".join([_STREAM, *_chunks(shape, events)]))
        else:
            self._pump()

    def write_next(self) -> None:
        if self.remaining:
            self._transport.write(self.remaining.pop())

    def _pump(self) -> None:
        while self.remaining and not self._paused and not self._transport.is_closing():
            self.write_next()

    def _pace(self, every: float) -> None:
        due = time.perf_counter()
        while self.remaining and not self._transport.is_closing():
            while time.perf_counter() < due:
                pass
            self.write_next()
            due = max(due + every, time.perf_counter())


def allow_many_files() -> None:
    """Raise the limit of open files to the maximum of the system."""
    with suppress(ImportError):
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def _main() -> None:
    server = await asyncio.get_running_loop().create_server(_Exchange, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def running() -> Generator[str]:
    """Run the server during the ``with`` block; yield its origin."""
    with Popen(
        [sys.executable, "-m", "benchmarks.server"],
        stdout=PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
    ) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.terminate()


def pin(core: int) -> None:
    """Pin this process to *core*, if the system supports it and has that core."""
    if hasattr(os, "sched_setaffinity") and core in os.sched_getaffinity(0):
        os.sched_setaffinity(0, {core})


if __name__ == "__main__":
    pin(1)
    allow_many_files()
    asyncio.run(_main())
