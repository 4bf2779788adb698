"""Responses of unusual form whose content is known: roles, labels, indexes, ids, usage, characters.

Each is complete, truncated or failed, so that the result is either exactly the content or an error.
"""

from __future__ import annotations

import json

TEXTS = [
    "Hello",
    "Hello \U0001f600!",
    "w\u00f6rld \u2028 \U0001f469\u200d\U0001f680",
    "{}",
    "\U0001f600",
    "a\nb\t",
]
ARGUMENTS = ["{}", '{"a": 1}', '{"city": "K\u00f6ln \U0001f600"}']
KINDS = ["text/event-stream", "application/json", "text/html; charset=utf-8", "text/plain"]
KINDS += ["application/x-ndjson", "application/octet-stream", ""]
USAGE = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
EMPTY_ERRORS = [None, {}, "", {"message": "", "code": None}, []]
FAILURE = {"code": 502, "message": "upstream died"}

_PLACE = "\ue000"  # replaced by bytes that json.dumps cannot write


def _pieces(dice, text):
    """Split *text* at characters; the pieces are JSON strings without quotes."""
    cuts = sorted(dice.randrange(len(text) + 1) for _ in range(dice.randrange(4)))
    parts = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    return [json.dumps(part, ensure_ascii=dice.random() < 0.5)[1:-1].encode() for part in parts]


def _halved(dice, text):
    """Split *text* inside of a character, if it has one of four bytes; else as `_pieces`."""
    at = next((n for n, char in enumerate(text) if ord(char) > 0xFFFF), None)
    if at is None:
        return _pieces(dice, text)
    before, char, after = text[:at], text[at], text[at + 1 :]
    if dice.random() < 0.5:
        data = json.dumps(char)[1:-1].encode()
        one, two = data[:6], data[6:]
    else:
        cut = dice.randrange(1, 4)
        one, two = char.encode()[:cut], char.encode()[cut:]
    ends = [json.dumps(part)[1:-1].encode() for part in (before, after)]
    return [ends[0] + one, two + ends[1]]


def _written(fields, raw=b""):
    return json.dumps(fields).encode().replace(json.dumps(_PLACE)[1:-1].encode(), raw)


class _Stream:
    def __init__(self, dice):
        self.dice = dice
        self.events = []
        self.index = dice.choice(["zero", "one", "count", "null", "none", "text", "huge"])
        self.form = dice.choice(["delta", "delta", "delta", "message", "text", "parts"])
        self.noise = dice.random() < 0.4

    def add(self, delta, raw=b"", reason=None, **fields):
        choice = {"delta": delta, "finish_reason": reason}
        if self.form == "message" and delta:
            choice["message"] = choice.pop("delta")
        elif self.form == "text" and delta.keys() == {"content"}:
            choice["text"] = choice.pop("delta")["content"]
        elif self.form == "parts" and delta.keys() == {"content"}:
            part = {"type": "text", "text": delta["content"]}
            choice["delta"] = {"content": self.dice.choice([[part], [delta["content"]]])}
        match self.index:
            case "one":
                choice["index"] = 1
            case "count":
                choice["index"] = len(self.events)
            case "text":
                choice["index"] = str(len(self.events))
            case "null":
                choice["index"] = None
            case "huge":
                choice["index"] = 2**70 + len(self.events)
            case "zero":
                choice["index"] = 0
        if self.noise and self.dice.random() < 0.3:
            fields["error"] = self.dice.choice(EMPTY_ERRORS)
        self.events.append(_written({"choices": [choice], **fields}, raw))

    def texts(self, name, text):
        split = _pieces if self.form != "delta" or self.dice.random() < 0.5 else _halved
        for piece in split(self.dice, text):
            if piece or name == "content":
                self.add({name: _PLACE}, piece)

    def call(self, number, name, arguments, mode):
        first = {"plain": number, "shifted": number + 5, "shared id": number, "new ids": number}
        index = first.get(mode)
        call_id = "x" if mode == "shared id" else f"x{number}"
        function = {"name": name, "arguments": ""}
        if mode == "object":
            function["arguments"] = json.loads(arguments)
        call = {"index": index, "id": call_id, "type": "function", "function": function}
        self.add({"tool_calls": [call]})
        if mode == "object":
            return
        split = _halved if self.form == "delta" and self.dice.random() < 0.5 else _pieces
        for count, piece in enumerate(split(self.dice, arguments)):
            call = {"index": index, "function": {"arguments": _PLACE}}
            if mode == "new ids":
                call["id"] = f"y{number}-{count}"
            elif self.dice.random() < 0.3:
                call["id"] = call_id if mode in first else None
            self.add({"tool_calls": [call]}, piece)


_CALLS = ["plain", "shifted", "shared id", "new ids", "no index", "object"]


def stream(dice):
    """Return the body of a stream, its headers and the expected result."""
    made = _Stream(dice)
    expected = {"text": dice.choice(TEXTS), "reasoning": None, "calls": [], "usage": None}
    if dice.random() < 0.3:
        made.add({"role": "assistant", "content": ""})
    if dice.random() < 0.3:
        expected["reasoning"] = dice.choice(TEXTS)
        made.texts(dice.choice(["reasoning_content", "reasoning"]), expected["reasoning"])
    if dice.random() < 0.4:
        _add_usage(dice, made, first=True)
    made.texts("content", expected["text"])
    if dice.random() < 0.3:
        mode = dice.choice(_CALLS)
        for number in range(dice.randrange(1, 3)):
            arguments = dice.choice(ARGUMENTS)
            expected["calls"].append([f"f{number}", arguments])
            made.call(number, f"f{number}", arguments, mode)
    how = dice.choice(["complete"] * 4 + ["truncated", "failed"])
    if how == "failed":
        _fail(dice, made)
    elif how == "complete":
        made.add({}, reason="tool_calls" if expected["calls"] else "stop")
    if how != "failed" and dice.random() < 0.5:
        expected["usage"] = USAGE
        _add_usage(dice, made, first=False)
    # two indices without [DONE] may be two choices, one of them truncated
    must_end = made.index in {"count", "text", "huge"}
    done = how == "complete" and (must_end or dice.random() < 0.7)
    data = _as_body(dice, made, done=done)
    return data, {"content-type": dice.choice(KINDS)}, {"how": how, **expected}


def _as_body(dice, made, *, done):
    written = [b"data: " + event + b"\n\n" for event in made.events]
    if made.noise:
        for _ in range(dice.randrange(1, 4)):
            written.insert(dice.randrange(len(written) + 1), dice.choice(_NOISE))
    if done:
        written.append(b"data: [DONE]\n\n")
    data = b"".join(written)
    if dice.random() < 0.2:
        data = b"\xef\xbb\xbf" + data
    return data.replace(b"\n\n", b"\r\n\r\n") if dice.random() < 0.2 else data


_NOISE = [
    b": PING\n\n",
    b"event: ping\ndata: 2020-12-22 15:33:27\n\n",
    b"event: heartbeat\ndata: null\n\n",
    b'data: {"choices": [], "x": NaN}\n\n',
    b'data: {"choices": [], "x": "\\ud83d"}\n\n',
    b'data: {"choices": null, "x": "\xff"}\n\n',
    b'data: {"choices": [], "x": ' + b"9" * 500 + b"}\n\n",
    b"retry: 10\nid: 7\n\n",
]


def _add_usage(dice, made, *, first):
    part = {"prompt_tokens": 100}
    if not first:
        part = dice.choice([USAGE, {**USAGE}, {**USAGE, "prompt_tokens_details": None}])
    made.events.append(_written({"choices": [], "usage": dict(part)}))
    if not first and dice.random() < 0.3:
        last = dice.choice([{}, None, dict.fromkeys(USAGE, 0), dict.fromkeys(USAGE)])
        made.events.append(_written({"choices": [], "usage": last}))


def _fail(dice, made):
    match dice.randrange(5):
        case 0:
            made.events.append(_written({"error": FAILURE}))
        case 1:
            made.events.append(_written({"choices": [], "error": FAILURE}))
        case 2:
            choice = {"index": 0, "delta": {"content": ""}, "error": FAILURE}
            made.events.append(_written({"choices": [choice]}))
        case 3:
            made.add({}, reason="error")
        case _:
            made.events.append(_written([{"error": FAILURE}]))


def completion(dice):
    """Return the body of a completion, its headers and the expected result."""
    text = dice.choice(TEXTS)
    expected = {"text": text, "reasoning": None, "calls": [], "usage": USAGE}
    content = dice.choice([text, text, [{"type": "text", "text": text}], [text]])
    message = {"role": "assistant", "content": content}
    if dice.random() < 0.3:
        expected["reasoning"] = thought = dice.choice(TEXTS)
        name = dice.choice(["reasoning_content", "reasoning"])
        message[name] = dice.choice([thought, [{"type": "thinking", "thinking": thought}]])
    if dice.random() < 0.3:
        arguments = dice.choice(ARGUMENTS)
        given = dice.choice([arguments, json.loads(arguments)])
        call = {"id": "x", "type": "function", "function": {"name": "f", "arguments": given}}
        message["tool_calls"] = [call]
        expected["calls"] = [["f", arguments]]
    choice = {"index": dice.choice([0, 1, None, "0", 2**70]), "finish_reason": "stop"}
    if message.keys() == {"role", "content"} and isinstance(content, str) and dice.random() < 0.3:
        choice["text"] = text
    else:
        choice[dice.choice(["message", "message", "delta"])] = message
    how = dice.choice(["complete"] * 4 + ["failed", "failed"])
    data = _as_json(dice, choice, how)
    return data, {"content-type": dice.choice(KINDS)}, {"how": how, **expected}


def _as_json(dice, choice, how):
    body = {"choices": [choice], "usage": USAGE, "object": "chat.completion"}
    if how == "failed":
        match dice.randrange(4):
            case 0:
                body["error"] = FAILURE
            case 1:
                choice["error"] = FAILURE
            case 2:
                choice["finish_reason"] = "error"
            case _:
                body["choices"] = dice.choice([[], [{}], [{"finish_reason": "stop"}]])
    elif dice.random() < 0.3:
        body["error"] = dice.choice(EMPTY_ERRORS)
    wrapped = dice.choice([body, body, body, [body]])
    data = json.dumps(wrapped, ensure_ascii=dice.random() < 0.5).encode()
    if dice.random() < 0.2:
        data = data.replace(b"{", b'{"x": NaN, ', 1)
    if dice.random() < 0.2:
        data = b"\xef\xbb\xbf" + data
    if dice.random() < 0.3:
        data = b"data: " + data + b"\n\n" + dice.choice([b"", b"data: [DONE]\n\n"])
    return data
