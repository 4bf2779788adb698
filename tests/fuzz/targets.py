"""What is fuzzed, and what must hold whatever comes.

No exception but acechat's own (`ValueError` from the reader of cassettes, which says so); what
comes out can be written; and it makes no difference where the network cut the bytes.
"""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass, field

import msgspec
import mutations

from acechat import AceChatError
from acechat._policy.retry import classify
from acechat._record.cassette import FIRST_LINE, as_lines, read_lines
from acechat._tools.partial_json import PartialJSON, find_json
from acechat._wire.decode import decode_completion, decode_fields
from acechat._wire.endpoints import decode_count, decode_models
from acechat._wire.error_response import parse_error
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

    def to_json(self):
        return json.dumps({**vars(self), "data": self.data.decode("latin-1")}, indent=1)

    @classmethod
    def from_json(cls, text):
        fields = json.loads(text)
        return cls(**{**fields, "data": fields["data"].encode("latin-1")})

    @property
    def pieces(self):
        cuts = [cut for cut in self.cuts if cut <= len(self.data)]
        return [
            self.data[start:end]
            for start, end in zip([0, *cuts], [*cuts, len(self.data)], strict=True)
        ]


def _same(one, other, what):
    assert one == other, f"{what}: {one!r} is not {other!r}"


# Server-sent events


def check_sse(case):
    whole = _events(SSEDecoder(_LIMIT), [case.data])
    _same(whole, _events(SSEDecoder(_LIMIT), case.pieces), "cuts change the events")
    _same(whole[:3], _by_the_standard(case.data), "the standard reads it otherwise")
    events = whole[0]
    for pieces in ([case.data], case.pieces):
        few = _events_until_too_long(pieces)
        _same(few, events[: len(few)], "a limit changes the events before it")
        assert len(few) >= _short_events(case.data), "events before one that is too long are lost"


def _seen(event):
    return bytes(event), getattr(event, "type", "message"), getattr(event, "id", "")


def _events(decoder, pieces):
    events = [_seen(event) for piece in pieces for event in decoder.feed(piece)]
    unfinished, retry = decoder.unfinished(), decoder.retry
    return events, unfinished and bytes(unfinished), retry, decoder.stray


def _events_until_too_long(pieces):
    decoder, events = SSEDecoder(_SMALL), []
    try:
        for piece in pieces:
            events += decoder.feed(piece)
    except AceChatError:
        events += decoder.whole
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
    """Read *data* as the standard says, in the plainest way."""
    data = data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    events, said, kind, own, retry = [], [], b"", b"", None
    lines = data.split(b"\n")
    for number, line in enumerate(lines, 1):
        name, _, value = line.partition(b":")
        value = value[1:] if value[:1] == b" " else value
        if not line:
            if said and number < len(lines):
                named = (kind or b"message").decode(errors="replace")
                events.append((b"\n".join(said), named, own.decode(errors="replace")))
                said = []
            kind = b""
        elif name == b"data":
            said.append(value)
        elif name == b"event":
            kind = value
        elif name == b"id" and b"\0" not in value:
            own = value
        elif name == b"retry" and value.isdigit() and len(value) < 19:
            retry = int(value)
    return events, (b"\n".join(said) if said else None), retry


# A streamed answer


def check_stream(case):
    _same(_told(case, [case.data]), _told(case, case.pieces), "cuts change the answer")


def _told(case, pieces):
    protocol, deltas, events = ChatStreamProtocol(case.headers, _LIMIT), [], []
    for piece in pieces:
        batch = protocol.receive_data(piece)
        deltas += batch.deltas
        events += map(bytes, batch.events)
        if protocol.failure is not None:
            break  # as the client does
    end = None
    inside = protocol.failure
    try:
        events += map(bytes, protocol.receive_eof().events)
    except AceChatError as error:
        end = _facts(error)
        events += map(bytes, protocol.silent)  # which nobody is told any more
        if error is inside:
            end = (*end, "inside")
    completion = protocol.completion()
    msgspec.json.encode(completion)
    json.dumps(protocol.to_dict())
    for choice in completion.choices:
        said = "".join(str(delta) for delta in deltas if delta.index == choice.index)
        _same(said, choice.message.content or "", "deltas do not add up")
    content = protocol.content, protocol.done, protocol.chunks, protocol.finish_reason
    return deltas, events, end, content, completion, protocol.to_dict()


def _facts(error):
    """Return what the error says, having written it in each way."""
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
        _facts(error)
        return
    assert trace_id is None or isinstance(trace_id, str)
    assert isinstance(decode_fields(case.data), dict | None)
    again = msgspec.json.encode(completion)
    _same(decode_completion(again, {})[0], completion, "it is not what was written")
    protocol = ChatStreamProtocol(case.headers, _LIMIT)
    protocol.receive_completion(completion)
    protocol.receive_eof()
    json.dumps(protocol.to_dict())
    _same(len(protocol.completion().choices), len({c.index for c in completion.choices}), "choices")


def check_error(case):
    _facts(parse_error(case.status, case.headers, case.data, now=1.7e9))


def check_models(case):
    try:
        models = decode_models(case.data)
    except AceChatError as error:
        _facts(error)
    else:
        msgspec.json.encode(models)


def check_count(case):
    try:
        assert type(decode_count(case.data)) is int
    except AceChatError as error:
        _facts(error)


def check_cassette(case):
    try:
        exchanges = read_lines(case.data)
    except ValueError as error:
        str(error)
    else:
        written = FIRST_LINE + as_lines(exchanges)
        _same(read_lines(written), exchanges, "it is not what was written")


def check_partial_json(case):
    text = case.data.decode(errors="replace")
    whole = PartialJSON()
    whole.feed(text)
    cut, start = PartialJSON(), 0
    for end in [*(cut_at for cut_at in case.cuts if cut_at <= len(text)), len(text)]:
        cut.feed(text[start:end])
        start = end
    _same((cut.value, cut.done), (whole.value, whole.done), "cuts change the value")
    found = list(find_json(text))
    if whole.done:
        assert found, "done, but nothing is found"
        _same(msgspec.json.decode(found[0]), whole.value, "another decoder reads it otherwise")
    for piece in found:
        msgspec.json.decode(piece)


_CHECKS = {
    "sse": check_sse,
    "stream": check_stream,
    "completion": check_completion,
    "error": check_error,
    "models": check_models,
    "count": check_count,
    "cassette": check_cassette,
    "partial_json": check_partial_json,
}
TARGETS = list(_CHECKS)

# Twice: what has the most ways to go wrong.
_ORDER = ["stream", "sse", "stream", "completion", "error", "stream", "partial_json", "sse"]
_ORDER += ["stream", "completion", "error", "cassette", "models", "count"]


def make(dice):
    """Make an input for one of the targets."""
    match target := dice.choice(_ORDER):
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
    """Raise what is wrong with how acechat takes *case*."""
    _CHECKS[case.target](case)
