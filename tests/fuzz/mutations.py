"""Generate inputs that are nearly valid: data of the service with errors in it.

One `random.Random` generates everything, so a seed and a number identify an input. (A generator
that shrinks, such as hypothesis, was thirty times slower.)
"""

from __future__ import annotations

import json

import msgspec

_NUMBERS = [
    *(b"0 -0 -1 1.0 1.5 1e2 1e400 -1e400 1e-400 1E+9 00 01 .5 1. NaN -Infinity").split(),
    b"9007199254740993",
    b"9223372036854775808",
    b"18446744073709551616",
    b"-9223372036854775809",
    b"9" * 40,
    b"9" * 400,
]
_TEXTS = [
    *(b'"" " " "x" "0" "1" "stop" "429" "api_error" "error" "[DONE]" "nan" "1e400"').split(),
    b'"\\u0000"',
    b'"\\ud83d"',
    b'"\\ud83d\\ude00"',
    b'"\\udc00"',
    '"\u2028\u0085"'.encode(),
    b'"\xff"',
    b'"\xed\xa0\x80"',
    b'"\xc3"',
    b'"' + b"a" * 300 + b'"',
    b'"{}"',
    b'"{\\"a\\": "',
    b'"\n"',
]
_VALUES = [
    *_NUMBERS,
    *_TEXTS,
    *b"null true false [] {} [[]] [null] [1] [{}]".split(),
    *(b'{"a":1}', b'{"error":"x"}', b'[{"text":"a"},"b"]', b'{"":{}}', b'{"text":1}'),
    *(b"[" * 60 + b"]" * 60, b"[" * 2_000 + b"]" * 2_000, b'{"a":' * 1_500, b"tru", b""),
]
_KEYS = [
    *[
        "choices",
        "index",
        "delta",
        "message",
        "content",
        "role",
        "reasoning",
        "reasoning_content",
        "tool_calls",
        "id",
    ],
    *[
        "type",
        "function",
        "name",
        "arguments",
        "finish_reason",
        "logprobs",
        "usage",
        "total_tokens",
        "error",
        "code",
    ],
    *[
        "message",
        "success",
        "trace_id",
        "status",
        "detail",
        "loc",
        "msg",
        "created",
        "model",
        "data",
        "input_tokens",
        "kind",
    ],
    *[
        "text",
        "base64",
        "at",
        "dropped",
        "prompt_tokens_details",
        "cost",
        "amount",
        "object",
        "version",
        "how",
    ],
    *("", "x", "\u2028", "unknown"),
]
_SNIPPETS = [
    *(
        b"\n",
        b"\r",
        b"\r\n",
        b"\n\n",
        b"\r\r",
        b"\n\r",
        b"\r\n\r\n",
        b"\xef\xbb\xbf",
        b"\0",
        b"\xff",
    ),
    *(b": PING\n", b"id: 1\n", b"id\n", b"id: \0\n", b"event: error\n", b"event\n", b"retry: 10\n"),
    *(
        b"retry: 99999999999999999999\n",
        b"data\n",
        b"data:\n\n",
        b"data: [DONE]\n\n",
        b" data: x\n",
    ),
    *(
        b'{"error": "x"}\n',
        b"{\n",
        b"}\n",
        b'{"error": {"code": "busy"}}\n\n',
        b"<html>",
        b'"',
        b"\\",
    ),
    *(
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"\xe2\x80\xa8",
        b"\xc2\x85",
        b"\x0b",
        b"\x1c",
        b"data: ",
    ),
]
_HEADERS = {
    "content-type": ["application/json", "text/html", "text/event-stream", "", "\xff"],
    "retry-after": [
        *("0", "1", "-1", "1.5", "nan", "inf", "1e400", "1_0", "", "x", "\u0661"),
        "Wed, 21 Oct 2115 07:28:00 GMT",
        "Wed, 21 Oct 2115 07:28:00 +9999",
        "Wed, 99 Oct 99999 07:28:00 GMT",
        "Sun Nov  6 08:49:37 1994",
        *(", 0 0 0", "1 Jan 1 0:0:0 +2400", "1 Jan 0 0:0", "Jan", ":", "1 2 3 4 5"),
    ],
    "retry-after-ms": ["0", "1500", "-1", "nan", "x", "9" * 400],
    "x-should-retry": ["true", "false", "TRUE", ""],
    "x-request-id": ["r-1", ""],
    "location": ["https://example.org/", ""],
    "server": ["nginx", "cloudflare"],
    "cf-ray": ["1-FRA"],
}
_STATUSES = [200, 204, 300, 301, 304, *range(400, 432), 451, 499, *range(500, 531), 599, 600, 999]

_USAGE = {"prompt_tokens": 8, "completion_tokens": 12, "total_tokens": 20}
_HEAD = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
_CALL = {"id": "t-1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}


def _chunk_of(delta, reason=None, index=0, **fields):
    choice = {"index": index, "delta": delta, "finish_reason": reason, "logprobs": None}
    return {**_HEAD, "choices": [choice], **fields}


_PARTS = [{"index": 0, "function": {"arguments": text}} for text in ('{"a"', ": 1}")]
_CHUNKS = [
    _chunk_of({"role": "assistant", "content": ""}),
    _chunk_of({"content": "Hel"}),
    _chunk_of({"content": "lo \u2028 \U0001f600"}),
    _chunk_of({"reasoning_content": "Hm", "reasoning": "Hm"}),
    _chunk_of({"content": "b"}, index=1, system_fingerprint="f"),
    _chunk_of({"refusal": "No"}),
    _chunk_of({"tool_calls": [{**_CALL, "index": 0}]}),
    *(_chunk_of({"tool_calls": [part]}) for part in _PARTS),
    {
        **_chunk_of({"content": "x"}),
        "choices": [{"delta": {}, "logprobs": {"content": [{"token": "x"}]}}],
    },
    _chunk_of({}, "stop"),
    _chunk_of({}, "tool_calls", 1),
    _chunk_of({}, "stop", usage=_USAGE),
    {**_HEAD, "choices": [], "usage": {**_USAGE, "cost": {"amount": 0.1, "currency": "USD"}}},
    {"error": {"message": "boom", "code": "api_error"}},
]
_MESSAGE = {"role": "assistant", "content": "Hello", "reasoning_content": "Hm", "refusal": None}
_CHOICE = {"index": 0, "message": _MESSAGE, "finish_reason": "stop", "logprobs": None}
_COMPLETIONS = [
    {**_HEAD, "choices": [_CHOICE], "usage": _USAGE, "trace_id": "t-1"},
    {"choices": [{"message": {"content": None, "tool_calls": [_CALL, _CALL]}}, _CHOICE]},
    {"choices": [{"message": {"content": [{"type": "text", "text": "a"}], "reasoning": "Hm"}}]},
]
_ERRORS = [
    {"success": False, "error": {"code": "api_error", "message": "boom"}, "trace_id": "t-1"},
    {"error": {"message": "boom", "type": "new_api_error", "param": None, "code": 429}},
    {"error": "invalid_token"},
    {"type": "error", "message": "boom", "code": "busy", "status": 503, "request_id": "r-1"},
    {"detail": [{"loc": ["body", 0], "msg": "missing", "type": "x"}, "y"]},
    {"detail": "Not Found", "message": ""},
]
_PAGE = b"<html><head><title> 502\nBad Gateway </title></head><body>nginx</body></html>"
_COUNTS = [{"input_tokens": 11}]
_MODELS = [{"object": "list", "data": [{"id": "m", "object": "model", "created": 1}, {"id": "n"}]}]
_CASSETTE = [
    {"kind": "cassette", "version": 1},
    {"kind": "request", "at": 0.0, "attempt": 1, "method": "POST", "path": "/v1/x", "text": "{}"},
    {"kind": "response", "at": 0.1, "status": 200, "headers": {"content-type": "text/plain"}},
    {"kind": "piece", "at": 0.2, "text": "data: "},
    {"kind": "piece", "at": 0.3, "base64": "/w==", "dropped": 3},
    {"kind": "end", "at": 0.4, "how": "clean", "error": None},
]

_decode, _encode = msgspec.json.decode, msgspec.json.encode


def _encoded(values):
    return [_encode(value) for value in values]


_BODIES = {
    "chunk": _encoded(_CHUNKS),
    "completion": _encoded(_COMPLETIONS),
    "error": [*_encoded(_ERRORS), _PAGE, b"", b"upstream connect error"],
    "models": _encoded(_MODELS),
    "count": _encoded(_COUNTS),
    "cassette": _encoded(_CASSETTE),
}


def cuts(dice, size):
    """Return positions at which an input of *size* is split: none, some or all."""
    if size < 2 or dice.random() < 0.1:
        return []
    if size < 400 and dice.random() < 0.1:
        return list(range(1, size))
    return sorted(dice.randrange(1, size) for _ in range(dice.randrange(1, 7)))


def headers(dice):
    """Return some headers, names in lower case."""
    if dice.random() < 0.5:
        return {}
    names = dice.sample(list(_HEADERS), dice.randrange(1, 4))
    return {name: dice.choice(_HEADERS[name]) for name in names}


def status(dice):
    return dice.choice(_STATUSES)


def body(dice, kind):
    """Return a JSON body of *kind*, usually with an error in it."""
    data = dice.choice(_BODIES[kind])
    if dice.random() < 0.8:
        data = _change_value(dice, data)
    if dice.random() < 0.25:
        data = _change_bytes(dice, data)
    return data


def cassette(dice):
    lines = list(_BODIES["cassette"])
    for _ in range(dice.randrange(3)):
        place = dice.randrange(len(lines))
        lines[place] = _change_value(dice, lines[place])
    data = b"\n".join(_shuffled(dice, lines)) + dice.choice([b"\n", b"", b"\r\n"])
    return _change_bytes(dice, data) if dice.random() < 0.3 else data


def text(dice):
    """Return a text that contains JSON, perhaps amid prose."""
    data = body(dice, dice.choice(["chunk", "completion", "error"]))
    parts = [
        dice.choice([b"", b"Here: ", b"```json\n", b"{", b"{a} "]),
        data,
        dice.choice(_SNIPPETS),
    ]
    if dice.random() < 0.3:
        parts += [b" and ", body(dice, "error")]
    return b"".join(parts).decode(errors="replace").encode()


def stream(dice):
    """Return the body of a stream, usually with an error in it."""
    known = _BODIES["chunk"]
    events = [
        known[min(int(dice.expovariate(0.35)), len(known) - 1)] for _ in range(dice.randrange(7))
    ]
    if events and dice.random() < 0.5:
        place = dice.randrange(len(events))
        events[place] = _change_value(dice, events[place])
    if dice.random() < 0.3:
        events.append(known[10])  # the finish reason
    written = [b"data: " + event + b"\n\n" for event in events]
    if dice.random() < 0.6:
        written.append(dice.choice([b"data: [DONE]\n\n", b"data: [DONE]", b"data:[DONE]\r\n"]))
    if dice.random() < 0.3:
        written = _shuffled(dice, written)
    if dice.random() < 0.4:
        written = [_rewritten(dice, event) for event in written]
    if dice.random() < 0.4:
        written.insert(dice.randrange(len(written) + 1), dice.choice(_SNIPPETS))
    data = b"".join(written)
    return _change_bytes(dice, data) if dice.random() < 0.35 else data


def _rewritten(dice, event):
    """Write one event in another form that the standard allows, or nearly."""
    match dice.randrange(8):
        case 0:
            return event.replace(b"\n", b"\r\n")
        case 1:
            return event.replace(b"\n", b"\r")
        case 2:
            return event.replace(b"data: ", b"data:", 1)
        case 3:
            return event.replace(b", ", b",\ndata: ").replace(b',"', b',\ndata: "')
        case 4:
            return dice.choice(_SNIPPETS) + event
        case 5:
            return event.removeprefix(b"data: ")
        case 6:
            return event[:-1] + dice.choice(_SNIPPETS)
        case _:
            return event


def _shuffled(dice, items):
    """Lose, repeat or move some of *items*."""
    items = list(items)
    for _ in range(dice.randrange(3)):
        if not items:
            break
        index = dice.randrange(len(items))
        match dice.randrange(4):
            case 0:
                del items[index]
            case 1:
                items.insert(dice.randrange(len(items) + 1), items[index])
            case 2:
                items.append(items.pop(index))
            case _:
                items[index] = items[index][: dice.randrange(len(items[index]) + 1)]
    return items


def _change_value(dice, data):
    """Change a value in the tree of the JSON *data*; return invalid JSON unchanged."""
    try:
        tree = _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return data
    raw = msgspec.Raw(dice.choice(_VALUES))
    node = tree
    for _ in range(dice.randrange(1, 8)):  # down, somewhere
        inner = node.values() if isinstance(node, dict) else node
        below = [value for value in inner if isinstance(value, dict | list) and value]
        if not below or dice.random() < 0.2:
            break
        node = dice.choice(below)
    if not isinstance(node, dict | list) or not node:
        return bytes(raw)
    keys = list(node) if isinstance(node, dict) else range(len(node))
    key = dice.choice(keys)
    match dice.randrange(7):
        case 0 | 1 | 2:
            node[key] = raw
        case 3:
            del node[key]
        case 4 if isinstance(node, dict):
            node[dice.choice(_KEYS)] = raw
        case 4 | 5 if isinstance(node, list):
            node.insert(key, dice.choice([raw, node[key]]))
        case 5 if isinstance(node, dict):  # the same key twice, or as an integer might come
            value = node.pop(key)
            twin = msgspec.Raw(
                b"%s,%s:%s" % (_encode(value), json.dumps(key).encode(), bytes(raw) or b"0")
            )
            node[key] = twin
        case _:
            node[key] = [node[key]]
    return _encode(tree)


def _change_bytes(dice, data):
    """Remove, flip, repeat or insert some bytes."""
    for _ in range(dice.randrange(1, 4)):
        at, end = sorted((dice.randrange(len(data) + 1), dice.randrange(len(data) + 1)))
        match dice.randrange(6):
            case 0 if at < len(data):
                data = data[:at] + bytes([data[at] ^ (1 << dice.randrange(8))]) + data[at + 1 :]
            case 1:
                data = data[:at] + dice.choice(_SNIPPETS) + data[at:]
            case 2:
                data = data[:at] + data[min(end, at + 20) :]
            case 3:
                data = data[:end] + data[at:end] + data[end:]
            case 4:
                data = data[:at]
            case _:
                data = data[:at] + dice.choice(_VALUES) + data[at:]
    return data
