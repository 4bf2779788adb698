"""Fuzz targets and their invariants.

Only acechat's own exceptions are raised (and the documented `ValueError` of the cassette reader),
each result can be encoded, and results are independent of where the network splits the bytes.
"""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass, field

import msgspec
import mutations
import odd

from acechat import AceChatError
from acechat._policy.retry import classify
from acechat._record.cassette import FIRST_LINE, as_lines, read_lines
from acechat._tools.partial_json import PartialJSON, find_json
from acechat._wire.decode import decode_completion, decode_fields
from acechat._wire.endpoints import decode_count, decode_models
from acechat._wire.errors.response import parse_error
from acechat._wire.odd_json import is_event_stream
from acechat._wire.sse import SSEDecoder
from acechat._wire.stream import ChatStreamProtocol

_LIMIT = 2**20
_SMALL = 100


@dataclass(frozen=True)
class Case:
    """One input; as JSON, it is a file of the corpus."""

    target: str
    data: bytes
    cuts: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    status: int = 200
    expected: dict = field(default_factory=dict)

    def to_json(self):
        return json.dumps({**vars(self), "data": self.data.decode("latin-1")}, indent=1)

    @classmethod
    def from_json(cls, text):
        fields = json.loads(text)
        return cls(**{**fields, "data": fields["data"].encode("latin-1")})

    @property
    def reads(self):
        cuts = [cut for cut in self.cuts if cut <= len(self.data)]
        return [
            self.data[start:end]
            for start, end in zip([0, *cuts], [*cuts, len(self.data)], strict=True)
        ]


def _same(one, other, claim):
    assert one == other, f"{claim}: {one!r} is not {other!r}"


# Server-sent events


def check_sse(case):
    complete = _events(SSEDecoder(_LIMIT), [case.data])
    _same(complete, _events(SSEDecoder(_LIMIT), case.reads), "splits change the events")
    _same(complete[:3], _by_the_standard(case.data), "a plain parser of the standard differs")
    events = complete[0]
    for reads in ([case.data], case.reads):
        few = _events_until_too_long(reads)
        _same(few, events[: len(few)], "a limit changes the events before it")
        assert len(few) >= _short_events(case.data), "events before one that is too long are lost"


def _seen(event):
    return bytes(event), getattr(event, "type", "message"), getattr(event, "id", "")


def _events(decoder, reads):
    events = [_seen(event) for data in reads for event in decoder.feed(data)]
    unfinished, retry = decoder.unfinished(), decoder.retry
    return events, unfinished and bytes(unfinished), retry, decoder.stray


def _events_until_too_long(reads):
    decoder, events = SSEDecoder(_SMALL), []
    try:
        for data in reads:
            events += decoder.feed(data)
    except AceChatError:
        events += decoder.completed
    return [_seen(event) for event in events]


def _short_events(data):
    """Count the events before the first lines between empty ones that may be too long."""
    data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    short = b""
    for block in data.split(b"\n\n"):
        if len(block) > _SMALL - 10:
            break
        short += block + b"\n\n"
    return len(_by_the_standard(short)[0]) - (short == data + b"\n\n")


def _by_the_standard(data):
    """Parse *data* by the standard's rules, in the simplest code."""
    data = data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    events, text, kind, own, retry = [], [], b"", b"", None
    lines = data.split(b"\n")
    for number, line in enumerate(lines, 1):
        name, _, value = line.partition(b":")
        value = value[1:] if value[:1] == b" " else value
        if not line:
            if text and number < len(lines):
                named = (kind or b"message").decode(errors="replace")
                events.append((b"\n".join(text), named, own.decode(errors="replace")))
                text = []
            kind = b""
        elif name == b"data":
            text.append(value)
        elif name == b"event":
            kind = value
        elif name == b"id" and b"\0" not in value:
            own = value
        elif name == b"retry" and value.isdigit() and len(value) < 19:
            retry = int(value)
    return events, (b"\n".join(text) if text else None), retry


# Streams


def check_stream(case):
    _same(
        _stream_results(case, [case.data]),
        _stream_results(case, case.reads),
        "splits change the answer",
    )


def _stream_results(case, reads):
    protocol, deltas, events = ChatStreamProtocol(case.headers, _LIMIT), [], []
    for data in reads:
        batch = protocol.receive_data(data)
        deltas += batch.deltas
        events += map(bytes, batch.events)
        if protocol.failure is not None:
            break  # as the client does
    end = None
    inside = protocol.failure
    try:
        batch = protocol.receive_eof()
        deltas += batch.deltas
        events += map(bytes, batch.events)
        assert _has_content(protocol.completion()), "an empty success"
    except AceChatError as error:
        end = _check_error(error)
        events += map(bytes, protocol.silent)  # not returned after a failure
        if error is inside:
            end = (*end, "inside")
    completion = protocol.completion()
    msgspec.json.encode(completion)
    json.dumps(protocol.to_dict())
    for choice in completion.choices:
        text = "".join(str(delta) for delta in deltas if delta.index == choice.index)
        _same(text, choice.message.content or "", "deltas do not add up")
    content = protocol.content, protocol.done, protocol.chunks, protocol.finish_reason
    return deltas, events, end, content, completion, protocol.to_dict()


def _has_content(completion):
    return any(
        isinstance(choice.message.content, str)
        or choice.message.reasoning_content
        or choice.message.refusal
        or choice.message.tool_calls
        or choice.finish_reason not in {None, "stop", "tool_calls", "function_call"}
        for choice in completion.choices
    )


def _check_error(error):
    """Return the facts of *error* after formatting, pickling and classifying it."""
    repr(error)
    copy = pickle.loads(pickle.dumps(error))
    _same(str(copy), str(error), "a pickle changes it")
    classify(error, content=False)
    return type(error), getattr(error, "message", str(error))


# Bodies


def check_completion(case):
    try:
        completion, trace_id = decode_completion(case.data, case.headers)
    except AceChatError as error:
        _check_error(error)
        return
    assert _has_content(completion), "an empty success"
    assert trace_id is None or isinstance(trace_id, str)
    assert isinstance(decode_fields(case.data), dict | None)
    again = msgspec.json.encode(completion)
    _same(decode_completion(again, {})[0], completion, "decoded and encoded differ")
    protocol = ChatStreamProtocol(case.headers, _LIMIT)
    protocol.receive_completion(completion)
    protocol.receive_eof()
    json.dumps(protocol.to_dict())
    _same(len(protocol.completion().choices), len({c.index for c in completion.choices}), "choices")


# Responses of unusual form: exactly the content, or an error


_SSE = {"text/event-stream", "text/plain", ""}


def check_odd(case):
    """Check the ways in which `stream` and `chat` read *case*."""
    kind = case.headers["content-type"].partition(";")[0]
    reads = [[case.data], case.reads] if kind in _SSE else [[case.data]]
    for each in reads:
        _check_odd(case, lambda each=each: _streamed(case, each, kind))
    _check_odd(case, lambda: _complete(case))


def _streamed(case, reads, kind):
    protocol = ChatStreamProtocol(case.headers, _LIMIT, one_choice=True)
    batches = []
    if kind in _SSE or is_event_stream(case.data, kind):  # as `acechat._core.body.receive_body`
        for data in reads:
            batches.append(protocol.receive_data(data))
            if protocol.failure is not None:
                break
        batches.append(protocol.receive_eof())
    else:
        batches.append(protocol.receive_body(case.data, kind, 200))
    deltas = [delta for batch in batches for delta in batch.deltas]
    _same("".join(map(str, deltas)), protocol.completion().text, "deltas do not add up")
    json.dumps(protocol.to_dict())
    return protocol.completion()


def _complete(case):
    if is_event_stream(case.data, case.headers["content-type"]):
        return _streamed(case, [case.data], "text/event-stream")
    return decode_completion(case.data, case.headers)[0]


def _check_odd(case, read):
    expected = case.expected
    try:
        completion = read()
    except AceChatError as error:
        failure = error
    else:
        _check_complete(completion, expected)
        return
    _check_error(failure)
    assert expected["how"] != "complete", f"a complete response is lost: {failure!r}"
    text = failure.partial.text if failure.partial else ""
    assert expected["text"].startswith(text.rstrip("\ufffd")), f"partial: {text!r}"


def _check_complete(completion, expected):
    _same(expected["how"], "complete", "a response that is not complete succeeds")
    _same(completion.text, expected["text"], "text")
    _same(completion.reasoning, expected["reasoning"], "reasoning")
    calls = [
        [call.function.name, json.loads(call.function.arguments)] for call in completion.tool_calls
    ]
    _same(calls, [[name, json.loads(text)] for name, text in expected["calls"]], "tool calls")
    if expected["usage"]:
        usage = completion.usage
        counts = usage.prompt_tokens, usage.completion_tokens, usage.total_tokens
        _same(counts, tuple(expected["usage"].values()), "usage")


def check_error(case):
    _check_error(parse_error(case.status, case.headers, case.data, now=1.7e9))


def check_models(case):
    try:
        models = decode_models(case.data)
    except AceChatError as error:
        _check_error(error)
    else:
        msgspec.json.encode(models)


def check_count(case):
    try:
        assert type(decode_count(case.data)) is int
    except AceChatError as error:
        _check_error(error)


def check_cassette(case):
    try:
        exchanges = read_lines(case.data)
    except ValueError as error:
        str(error)
    else:
        written = FIRST_LINE + as_lines(exchanges)
        _same(read_lines(written), exchanges, "decoded and encoded differ")


def check_partial_json(case):
    text = case.data.decode(errors="replace")
    complete = PartialJSON()
    complete.feed(text)
    split, start = PartialJSON(), 0
    for end in [*(cut_at for cut_at in case.cuts if cut_at <= len(text)), len(text)]:
        split.feed(text[start:end])
        start = end
    _same((split.value, split.done), (complete.value, complete.done), "splits change the value")
    found = list(find_json(text))
    if complete.done:
        assert found, "done, but nothing is found"
        _same(msgspec.json.decode(found[0]), complete.value, "another decoder differs")
    for data in found:
        msgspec.json.decode(data)


_CHECKS = {
    "sse": check_sse,
    "stream": check_stream,
    "completion": check_completion,
    "error": check_error,
    "models": check_models,
    "count": check_count,
    "cassette": check_cassette,
    "partial_json": check_partial_json,
    "odd_stream": check_odd,
    "odd_completion": check_odd,
}
TARGETS = list(_CHECKS)

# The most complex targets several times.
_ORDER = ["stream", "sse", "stream", "completion", "error", "stream", "partial_json", "sse"]
_ORDER += ["stream", "completion", "error", "cassette", "models", "count"]
_ORDER += ["odd_stream"] * 4 + ["odd_completion"] * 2


def make(dice):
    """Make an input for one of the targets."""
    match target := dice.choice(_ORDER):
        case "odd_stream" | "odd_completion":
            make_odd = odd.stream if target == "odd_stream" else odd.completion
            data, headers, expected = make_odd(dice)
            return Case(target, data, mutations.cuts(dice, len(data)), headers, 200, expected)
        case "sse" | "stream":
            data = mutations.stream(dice)
        case "cassette":
            data = mutations.cassette(dice)
        case "partial_json":
            data = mutations.text(dice)
        case "error":
            data = mutations.body(dice, dice.choice(["error", "error", "completion"]))
        case "completion":
            data = mutations.body(dice, dice.choice(["completion", "completion", "error"]))
        case _:
            data = mutations.body(dice, target)
    return Case(
        target,
        data,
        mutations.cuts(dice, len(data)),
        mutations.headers(dice),
        mutations.status(dice),
    )


def check(case):
    """Raise if *case* violates an invariant of its target."""
    _CHECKS[case.target](case)
