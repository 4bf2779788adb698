"""The cost of inputs of one megabyte: none may take much more than the median of its target."""

from __future__ import annotations

import json
import statistics
import time
from contextlib import suppress
from dataclasses import dataclass, replace

import msgspec
import targets

from acechat import AceChatError
from acechat._record.cassette import read_lines
from acechat._tools.partial_json import PartialJSON, find_json
from acechat._wire.decode import decode_completion
from acechat._wire.endpoints import decode_count, decode_models
from acechat._wire.error_response import parse_error
from acechat._wire.sse import SSEDecoder
from acechat._wire.stream import ChatStreamProtocol

SIZE = 10**6
LIMIT = 20
"""The highest cost of an input, in medians."""

_NO_LIMIT = 2**30


def _sse(case):
    for data in case.reads:
        SSEDecoder(_NO_LIMIT).feed(data)


def _stream(case):
    protocol = ChatStreamProtocol(case.headers, _NO_LIMIT, one_choice=True)
    for data in case.reads:
        protocol.receive_data(data)
    protocol.completion()
    protocol.receive_eof()
    protocol.to_dict()


def _partial_json(case):
    text = case.data.decode(errors="replace")
    PartialJSON().feed(text)
    list(find_json(text))


_WORK = {
    "sse": _sse,
    "stream": _stream,
    "odd_stream": _stream,
    "completion": lambda case: decode_completion(case.data, case.headers),
    "odd_completion": lambda case: decode_completion(case.data, case.headers),
    "error": lambda case: parse_error(case.status, case.headers, case.data, now=1.7e9),
    "models": lambda case: decode_models(case.data),
    "count": lambda case: decode_count(case.data),
    "cassette": lambda case: read_lines(case.data),
    "partial_json": _partial_json,
}


def grow(dice, case, size):
    """Return *case* enlarged to about *size* bytes: more events, list items, keys, or text."""
    data = _more_events(dice, case.data, size) if b"data:" in case.data else b""
    data = data or _larger_json(dice, case.data, size) or _repeated(dice, case.data, size)
    cuts = sorted(dice.randrange(1, len(data) + 1) for _ in range(dice.randrange(4)))
    return replace(case, data=data, cuts=cuts)


def _more_events(dice, data, size):
    blocks = [block + b"\n\n" for block in data.replace(b"\r\n", b"\n").split(b"\n\n") if block]
    if not blocks:
        return b""
    start = dice.randrange(len(blocks))
    part = b"".join(blocks[start : start + dice.randrange(1, 4)])
    return b"".join(blocks[:start]) + part * (size // len(part)) + b"".join(blocks[start:])


def _larger_json(dice, data, size):
    """Enlarge one list, object or string of JSON; return nothing for other data."""
    try:
        tree = msgspec.json.decode(data)
        node = tree
        while isinstance(node, dict | list) and node and dice.random() < 0.8:
            parent, key = (
                node,
                dice.choice(list(node) if isinstance(node, dict) else range(len(node))),
            )
            node = parent[key]
        if node is tree:
            return b""
        one = len(msgspec.json.encode(node)) + 12
        if isinstance(node, str):
            parent[key] = (node or "x") * (size // (len(node) or 1))
        elif isinstance(node, list) and node:
            node *= size // one + 1
        elif isinstance(node, dict) and node:
            value = dice.choice(list(node.values()))
            count = size // (len(msgspec.json.encode(value)) + 12)
            node.update((f"key{number}", value) for number in range(count))
        else:
            parent[key] = [node] * (size // one)
        return msgspec.json.encode(tree)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return b""


def _repeated(dice, data, size):
    data = data or b"\n"
    start, end = sorted(dice.randrange(len(data) + 1) for _ in range(2))
    part = data[start:end] or data
    return data[:start] + part * max(1, (size - len(data)) // len(part)) + data[end:]


def seconds(case, times=1):
    """Return the CPU time of the code under test for *case*: the least of *times* runs."""
    costs = []
    for _ in range(times):
        began = time.process_time()
        with suppress(AceChatError, ValueError):
            _WORK[case.target](case)
        costs.append(time.process_time() - began)
    return min(costs)


def floor(size):
    """Return the CPU time in which Python's json parses *size* bytes: the least that is a cost.

    Most inputs of some targets are rejected at their first bytes, so that their median is nearly 0.
    """
    text = json.dumps([{"index": 0, "delta": {"content": "Hello"}, "x": None}] * (size // 60))
    costs = []
    for _ in range(5):
        began = time.process_time()
        json.loads(text)
        costs.append(time.process_time() - began)
    return statistics.median(costs)


@dataclass
class Costs:
    inputs: int
    medians: dict[str, float]
    highest: float
    """In medians."""

    slow: list[tuple[float, targets.Case]]
    """The cost in medians and the input, for those over LIMIT."""

    def __str__(self):
        medians = ", ".join(f"{name} {cost * 1e3:.1f}" for name, cost in self.medians.items())
        first = f"{self.inputs} inputs of 1 MB, medians in ms of CPU: {medians}; "
        lines = [f"{first}highest {self.highest:.1f} medians, {len(self.slow)} over {LIMIT}"]
        for ratio, case in self.slow:
            lines.append(f"  {case.target}, {ratio:.0f} medians: {case.data[:200]!r}")
        return "\n".join(lines)


def measure(dice, inputs, size=SIZE):
    """Measure *inputs* inputs; those that seem slow again, because the machine may be."""
    costs = {}
    for _ in range(inputs):
        case = grow(dice, targets.make(dice), size)
        costs.setdefault(case.target, []).append((seconds(case), case))
    least = floor(size)
    report = Costs(inputs, {}, 0.0, [])
    for target, rows in sorted(costs.items()):
        report.medians[target] = median = max(least, statistics.median(cost for cost, _ in rows))
        for cost, case in rows:
            again = cost if cost <= LIMIT * median else seconds(case, 3)
            report.highest = max(report.highest, again / median)
            if again > LIMIT * median:
                report.slow.append((again / median, case))
    return report
