"""The cost of a response is linear in its size, whatever the service sends, and no step is long.

Processor time of twice the input is at most 2.3 times that of the input. A step is one call of the
client's code by the event loop: one network read. Python's garbage collector is off while a step is
measured: its pauses are those of the program's objects.
"""

from __future__ import annotations

import gc
import json
import time

import pytest

from acechat import ProtocolError
from acechat._wire.stream import ChatStreamProtocol
from acechat.errors import AceChatError

MB = 2**20
READ = 64 * 1024
STEP = 0.05
"""Seconds that one step may take."""


def event(**fields):
    return b"data: " + json.dumps(fields).encode() + b"\n\n"


def delta(**fields):
    return event(choices=[{"index": 0, "delta": fields}])


def repeated(unit):
    return lambda size: unit * (size // len(unit))


def numbered(make, each):
    return lambda size: b"".join(map(make, range(size // each)))


def one_event(begin, unit, end):
    return lambda size: b"data: " + begin + unit * (size // len(unit)) + end + b"\n\n"


def call(index, name="f", arguments="{}"):
    return {"index": index, "id": f"c{index}", "function": {"name": name, "arguments": arguments}}


CHOICE = b'{"choices":[{"delta":{"content":"x"}}],"x":['
CALLS = b'{"choices":[{"delta":{"tool_calls":['

STREAMS = {
    "content": repeated(delta(content="x")),
    "content with ids": repeated(b"id: 7\n" + delta(content="x")),
    "content with types": repeated(b"event: message\n" + delta(content="x")),
    "content in lines": repeated(delta(content="x").replace(b"{", b"\ndata: {", 1)),
    "content and usage": repeated(event(choices=[{"delta": {"content": "x"}}], usage={"prompt_tokens": 1})),
    "log probabilities": repeated(event(choices=[{"delta": {"content": "x"}, "logprobs": {"content": [{"token": "x"}]}}])),
    "reasoning twice": repeated(delta(reasoning="x", reasoning_content="x")),
    "content parts": repeated(delta(content=[{"text": "x"}])),
    "messages": repeated(event(choices=[{"message": {"content": "x"}}])),
    "empty events": repeated(b"data: {}\n\n"),
    "pings": repeated(b"event: ping\ndata: x\n\n"),
    "empty lines": repeated(b"\n"),
    "carriage returns": repeated(b"\r"),
    "comments": repeated(b":\n"),
    "colons": repeated(b":"),
    "types": repeated(b"event: x\n"),
    "retries": repeated(b"retry: 12\n"),
    "a long retry": lambda size: b"retry: " + b"1" * size + b"\n\n",
    "a long id": lambda size: b"id: " + b"x" * (size // 2) + b"\n" + b"\n" * (size // 2),
    "a long id and events": lambda size: b"id: " + b"x" * (size // 2) + b"\n" + b"data: {}\n\n" * (size // 20),
    "a long type": lambda size: b"event: " + b"x" * size + b"\ndata: {}\n\n",
    "lines of an event": lambda size: b"data: {\n" + b"data: \n" * (size // 7) + b"data: }\n\n",
    "lines without an end": repeated(b"data: x\n"),
    "stray lines": lambda size: b"{\n" + b"x}\n" * (size // 3),
    "long stray lines": lambda size: (b"{" + b"x" * (size // 200) + b"}\n") * 200,
    "a stray object": lambda size: b"{\n" + (b'"a": {' + b"x" * (size // 200) + b"}\n") * 198 + b"}\n",
    "indexes of choices": numbered(lambda n: event(choices=[{"index": n, "delta": {"content": "x"}}]), 65),
    "choices of one event": one_event(b'{"choices":[', b'{"delta":{}},', b"{}]}"),
    "choices by index in one event": lambda size: event(choices=[{"index": n, "delta": {"content": "x"}} for n in range(size // 45)]),
    "tool calls": numbered(lambda n: delta(tool_calls=[call(n)]), 130),
    "tool calls without index": numbered(lambda n: delta(tool_calls=[{"id": f"c{n}", "function": {"name": "f"}}]), 100),
    "fragments of a tool call": lambda size: delta(tool_calls=[call(0)]) + repeated(delta(tool_calls=[{"index": 0, "function": {"arguments": "x"}}]))(size),
    "fragments of a name": lambda size: repeated(delta(tool_calls=[{"index": 0, "function": {"name": "f"}}]))(size),
    "fragments in one event": one_event(CALLS, b'{"index":0,"function":{"arguments":"x"}},', b"{}]}}]}"),
    "usage": repeated(event(choices=[], usage={"prompt_tokens": 1, "completion_tokens": 2})),
    "usage that grows": numbered(lambda n: event(choices=[], usage={"completion_tokens": n}), 50),
    "finish reasons": repeated(event(choices=[{"delta": {}, "finish_reason": "length"}])),
    "nesting": lambda size: b'data: {"x":' + b"[" * size + b"\n\n",
    "an unknown list": one_event(CHOICE, b"[],", b"1]}"),
    "not-a-number": one_event(CHOICE, b"NaN,", b"1]}"),
    "an odd list": one_event(b'{"choices":[{"delta":{}}],"message":1,"x":[', b"[],", b"1]}"),
    "a list of errors": one_event(b'{"error":[', b"[],", b"1]}"),
    "parts of one event": one_event(b'{"choices":[{"delta":{"content":[', b'{"text":"x"},', b"{}]}}]}"),
    "broken UTF-8": one_event(b'{"choices":[{"delta":{"content":"', b"\xff", b'"}}]}'),
    "broken strings": one_event(CHOICE, b'"\xff",', b"1]}"),
    "half characters": repeated(b'data: {"choices":[{"delta":{"content":"\xe2"}}]}\n\n'),
    "half pairs": repeated(b'data: {"choices":[{"delta":{"content":"\\ud83d"}}]}\n\n'),
    "half characters of choices": numbered(lambda n: b'data: {"choices":[{"index":%d,"delta":{"content":"\xe2"}}]}\n\n' % n, 60),
    "digits": one_event(b'{"choices":[{"delta":{"content":"x"}}],"created":', b"1", b"}"),
    "decimals": one_event(b'{"choices":[{"delta":{"content":"x"}}],"created":1.', b"1", b"}"),
    "an exponent": one_event(b'{"choices":[{"delta":{"content":"x"}}],"created":1e', b"1", b"}"),
    "digits of a cost": one_event(b'{"choices":[],"usage":{"cost":', b"1", b"}}"),
    "keys": lambda size: b'data: {"choices":[],"success":1' + b"".join(b',"%d":1' % n for n in range(size // 10)) + b"}\n\n",
    "spaces": one_event(b"", b" ", b"[DONE]"),
    "one text": one_event(b'{"choices":[{"delta":{"content":"', b"x", b'"}}]}'),
    "escapes": one_event(b'{"choices":[{"delta":{"content":"', b"\\u00e9", b'"}}]}'),
    "an HTML page": lambda size: b"<html>" + b"<title" * (size // 6),
    "no line": repeated(b"x"),
}  # fmt: skip


FLOOR = 0.002
"""Seconds below which a cost is that of memory, in pages."""


def receive(data, read=READ):
    """Receive *data*; return the longest step in seconds of processor time."""
    protocol = ChatStreamProtocol({}, 16 * MB)
    longest = 0.0
    for at in range(0, len(data), read):
        began = time.process_time()
        protocol.receive_data(data[at : at + read])
        longest = max(longest, time.process_time() - began)
        if protocol.failure is not None or protocol.done:
            break
    began = time.process_time()
    try:
        protocol.receive_eof()
    except AceChatError as error:
        error.partial  # noqa: B018 - built
    longest = max(longest, time.process_time() - began)
    protocol.completion()
    try:
        protocol.to_dict()
    except ProtocolError:  # a partial completion may be nested too deeply
        pass
    return longest


@pytest.fixture(autouse=True)
def no_collection():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def seconds(work):
    began = time.process_time()
    work()
    return time.process_time() - began


def ratio_of(make, work, size, bar=2.3):
    """Return the cost of twice the input to that of the input; load can only increase it."""
    small, large = make(size), make(2 * size)
    best = float("inf")
    for _ in range(5):
        one = min(seconds(lambda: work(small)) for _ in range(2))
        best = min(best, min(seconds(lambda: work(large)) for _ in range(2)) / max(one, FLOOR))
        if best <= bar:
            break
    return best


@pytest.mark.parametrize("kind", STREAMS)
def test_a_stream_costs_linear_time(kind):
    assert ratio_of(STREAMS[kind], receive, MB // 2) <= 2.3


BYTEWISE = ["content", "content with ids", "a long id", "lines of an event", "stray lines", "no line",
            "one text", "comments", "a long type"]  # fmt: skip


@pytest.mark.parametrize("kind", BYTEWISE)
def test_a_stream_byte_by_byte_costs_linear_time(kind):
    assert ratio_of(STREAMS[kind], lambda data: receive(data, 1), 40_000) <= 2.3
