"""The faults, as values: the bytes that the service sends, and the complete response in them.

Most are those of the matrix that started acechat; the others were observed on real servers and
gateways.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from enum import Enum
from typing import TypeAlias

from msgspec import Struct

from benchmarks.conformance.wire import OpenAIWire, Wire, chunk, head, http, sse

__all__ = ["FAULTS", "End", "Fault", "Repeat", "Step"]


class End(Enum):
    """How a connection ends."""

    CLOSE = "with FIN"
    RESET = "with RST"
    HOLD = "not at all: silent, until the client disconnects"


CLOSE, RESET, HOLD = End.CLOSE, End.RESET, End.HOLD


class Repeat(Struct, frozen=True):
    """Send the same bytes repeatedly, until the client disconnects."""

    data: bytes
    every: float
    """Seconds between two writes."""


Step: TypeAlias = bytes | float | End | Repeat
"""Bytes to send, seconds to wait, or another action."""

Script: TypeAlias = Callable[[Wire], Sequence[Sequence[Step]]]
"""The steps for each request of a cell; the last ones serve all further requests."""


class Fault(Struct, frozen=True, kw_only=True):
    """One row of the matrix."""

    name: str
    title: str
    script: Script

    expected: dict[int, str] | None = None
    """The complete response, by index of choice. None: no complete response exists."""

    error_allowed: bool = False
    """Whether an exception is as correct as the response."""

    stream: bool = True
    """Whether the client requests a stream."""

    calls: int = 1
    """The number of calls of one client object; the last one counts."""

    choices: int = 1
    """The number of choices that the client requests."""

    retries: bool = False
    """Whether the client may retry; three attempts at most."""

    messages: bool = True
    """Whether Anthropic's format can have this fault."""


_TEXTS = ("Grüß", " Gott,", " 世界 \U0001f30d")
_FULL = {0: "".join(_TEXTS)}
_TEXT = _FULL[0]
_HTML = b"<html><head><title>Welcome</title></head><body>nginx</body></html>"
_ERROR = b'{"success": false, "error": {"code": "used_up", "message": "no money"}}'


def _streams(make: Callable[[Wire], bytes], *more: Step) -> Script:
    """Respond with a clean chunked stream of these bytes."""
    return lambda wire: [[sse(make(wire)), *more]]


def _truncated(make: Callable[[Wire], bytes], *ends: Step) -> Script:
    """Respond with a stream whose chunked body does not end."""
    return lambda wire: [[sse(make(wire), end=False), *ends]]


def _sends(*steps: Step) -> Script:
    return lambda _: [steps]


def _begin(wire: Wire) -> bytes:
    return wire.begin + b"".join(map(wire.delta, _TEXTS[:2]))


def _full(wire: Wire) -> bytes:
    return wire.stream(*_TEXTS)


def _openai(make: Callable[[OpenAIWire], bytes]) -> Callable[[Wire], bytes]:
    def made(wire: Wire) -> bytes:
        return make(wire) if isinstance(wire, OpenAIWire) else b""

    return made


def _bytewise(wire: Wire) -> Sequence[Sequence[Step]]:
    body = b"".join(chunk(bytes([byte])) for byte in _full(wire))
    return [[head() + body + chunk(b"")]]


def _two_choices(wire: OpenAIWire) -> bytes:
    events = [(1, "B"), (0, "A"), (1, "2"), (0, "1")]
    deltas = b"".join(wire.choice({"content": text}, index) for index, text in events)
    return deltas + b"".join(wire.choice({}, index, "stop") for index in (0, 1)) + wire.done


def _counted(wire: OpenAIWire) -> bytes:
    deltas = b"".join(wire.choice({"content": text}, at) for at, text in enumerate(_TEXTS))
    return deltas + wire.choice({}, len(_TEXTS), "stop") + wire.done


def _other_form(**fields: str) -> Callable[[Wire], bytes]:
    """Return a stream whose choices have other fields than a delta; ``@`` stands for the text."""

    def make(wire: OpenAIWire) -> bytes:
        forms = [
            {"index": 0, "finish_reason": None}
            | {name: json.loads(form.replace("@", text)) for name, form in fields.items()}
            for text in _TEXTS
        ]
        return b"".join(wire.event([form]) for form in forms) + wire.finish + wire.done

    return _openai(make)


def _halves(wire: OpenAIWire) -> bytes:
    character = json.dumps("\U0001f30d")[1:-1].encode()
    one, two = (wire.delta("@").replace(b"@", half) for half in (character[:6], character[6:]))
    return b"".join(map(wire.delta, (*_TEXTS[:2], " 世界 "))) + one + two + wire.finish + wire.done


def _failed_choice(wire: OpenAIWire) -> bytes:
    choice = {"index": 0, "delta": {"content": ""}, "finish_reason": "error"}
    return wire.event([choice | {"error": {"code": 502, "message": "it broke"}}]) + wire.done


def _refused_choice(wire: OpenAIWire) -> bytes:
    return wire.event([]) + wire.event([{"index": 0, "delta": {}, "finish_reason": "stop"}])


def _replaced(old: bytes, new: bytes) -> Script:
    return _streams(lambda wire: _full(wire).replace(old, new))


def _plain(body: bytes, status: str = "200 OK", kind: str = "application/json") -> Script:
    return _sends(http(body, status, kind))


_STREAM_FAULTS = (
    Fault(name="complete", title="no fault", script=_streams(_full), expected=_FULL),
    # -- how a stream ends
    Fault(name="cut-clean", title="stream truncated cleanly: no finish reason, no `[DONE]`",
          script=_streams(_begin)),
    Fault(name="cut-close", title="stream truncated, its body ends with the connection",
          script=lambda wire: [
              [b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + _begin(wire), CLOSE]
          ]),
    Fault(name="cut-event", title="stream truncated cleanly inside an event",
          script=_streams(lambda wire: _begin(wire) + wire.delta("x")[:-9])),
    Fault(name="cut-fin", title="connection dropped inside the chunked body",
          script=_truncated(_begin, 0.05, CLOSE)),
    Fault(name="cut-reset", title="connection reset inside the chunked body",
          script=_truncated(_begin, 0.05, RESET)),
    Fault(name="empty", title="200 and a stream without any event", script=_streams(lambda _: b"")),
    Fault(name="no-done", title="finish reason and a clean end, but no `[DONE]`",
          script=_streams(lambda wire: _begin(wire) + wire.delta(_TEXTS[2]) + wire.finish),
          expected=_FULL, messages=False),
    Fault(name="done-alone", title="`[DONE]`, but no finish reason",
          script=_streams(lambda wire: _begin(wire) + wire.delta(_TEXTS[2]) + wire.done),
          expected=_FULL, messages=False),
    Fault(name="done-no-blank", title="`data: [DONE]` without its blank line",
          script=_streams(lambda wire: _full(wire).rstrip()), expected=_FULL, messages=False),
    Fault(name="done-open", title="`[DONE]`, and the connection stays open",
          script=_truncated(_full, HOLD), expected=_FULL),
    # -- errors inside of streams
    Fault(name="error-data", title='`data: {"error": …}` in mid-stream', messages=False,
          script=_streams(lambda wire: _begin(wire) + b"data: " + _ERROR + b"\n\n")),
    Fault(name="error-event", title="`event: error` in mid-stream",
          script=_streams(lambda wire: _begin(wire) + wire.error)),
    Fault(name="error-line", title="a bare line of JSON with an error, and the end",
          script=_streams(lambda wire: _begin(wire) + _ERROR + b"\n")),
    Fault(name="bad-json", title="invalid JSON in one event",
          script=_streams(
              lambda wire: _begin(wire) + wire.delta("@").replace(b'"@"', b"@") + wire.done)),
    Fault(name="bad-utf8", title="bytes that are not UTF-8 in one event",
          expected={0: "Grüß Gott,\ufffd"}, error_allowed=True,
          script=_streams(
              lambda wire: _begin(wire) + wire.delta("@").replace(b"@", b"\xff") + wire.finish
              + wire.done)),
    # -- something else than a stream
    Fault(name="error-200", title="stream requested, 200 and a JSON error",
          script=_plain(_ERROR)),
    Fault(name="html-200", title="stream requested, 200 and an HTML page",
          script=_plain(_HTML, kind="text/html")),
    Fault(name="json-200", title="stream requested, a complete plain response", expected=_FULL,
          error_allowed=True,
          script=lambda wire: [[http(wire.plain(_TEXT))]]),
    # -- odd events
    Fault(name="null-choices", title="an event with `choices: null`", expected=_FULL,
          messages=False,
          script=_streams(_openai(lambda wire: wire.event(None) + _full(wire)))),
    Fault(name="null-delta", title="an event with `delta: null`", expected=_FULL, messages=False,
          script=_streams(_openai(lambda wire: wire.choice(None) + _full(wire)))),
    Fault(name="odd-created", title="`created` is a string", expected=_FULL, messages=False,
          script=_replaced(b'"created": 1', b'"created": "now"')),
    Fault(name="odd-reason", title="an unknown finish reason and an unknown field", expected=_FULL,
          script=_replaced(b'"stop"', b'"pause_turn", "new": {"a": [1]}'), messages=False),
    Fault(name="two-choices", title="`n=2`, and the second choice comes first", choices=2,
          messages=False,
          script=_streams(_openai(_two_choices)), expected={0: "A1", 1: "B2"}),
    # -- responses of unusual form
    Fault(name="odd-message", title="`message` in place of `delta`", expected=_FULL,
          messages=False, script=_streams(_other_form(message='{"content": "@"}'))),
    Fault(name="odd-text", title="`text` in place of `delta`", expected=_FULL, messages=False,
          script=_streams(_other_form(text='"@"'))),
    Fault(name="odd-parts", title="content as a list of parts", expected=_FULL, messages=False,
          script=_streams(_other_form(delta='{"content": [{"type": "text", "text": "@"}]}'))),
    Fault(name="odd-index", title="the index of the choice counts tokens", expected=_FULL,
          messages=False, script=_streams(_openai(_counted))),
    Fault(name="odd-halves", title="a character split over two events", expected=_FULL,
          messages=False, script=_streams(_openai(_halves))),
    Fault(name="odd-error", title="an empty `error` beside the content", expected=_FULL,
          messages=False,
          script=_replaced(b'"model": "m"', b'"model": "m", "error": {"message": ""}')),
    Fault(name="odd-nan", title="NaN in an unknown field", expected=_FULL, messages=False,
          script=_replaced(b'"model": "m"', b'"model": "m", "x": NaN')),
    Fault(name="odd-ping", title="`event: ping` whose data is a date", expected=_FULL,
          script=_streams(lambda wire: b"event: ping\ndata: 2020-12-22 15:33\n\n" + _full(wire))),
    Fault(name="odd-kind", title="a stream labelled `application/json`", expected=_FULL,
          script=lambda wire: [[sse(_full(wire), kind="application/json")]]),
    Fault(name="odd-event", title="a complete plain response as the only event", expected=_FULL,
          error_allowed=True, messages=False,
          script=_streams(lambda wire: b"data: " + wire.plain(_TEXT) + b"\n\n" + wire.done)),
    Fault(name="failed-choice", title="an error inside of a choice, then `[DONE]`",
          messages=False,
          script=_streams(_openai(lambda wire: _begin(wire) + _failed_choice(wire)))),
    Fault(name="no-content", title="finish reason and `[DONE]` without any content",
          messages=False,
          script=_streams(_openai(lambda wire: _refused_choice(wire) + wire.done))),
    # -- forms of server-sent events
    Fault(name="sse-ping", title="`id:` line, then a comment as keep-alive", expected=_FULL,
          script=_streams(lambda wire: b"id: 1\n: ping\n\n" + _full(wire))),
    Fault(name="sse-retry", title="`retry:` before the first event", expected=_FULL,
          script=_streams(lambda wire: b"retry: 3000\n\n" + _full(wire))),
    Fault(name="sse-no-data", title="`event: ping` without data", expected=_FULL,
          script=_streams(lambda wire: b"event: ping\n\n" + _full(wire))),
    Fault(name="sse-empty-data", title="empty `data:`", expected=_FULL,
          script=_streams(lambda wire: b"data:\n\n" + _full(wire))),
    Fault(name="sse-bom", title="UTF-8 BOM", expected=_FULL,
          script=_streams(lambda wire: b"\xef\xbb\xbf" + _full(wire))),
    Fault(name="sse-no-space", title="`data:` without a space", expected=_FULL,
          script=_replaced(b"data: ", b"data:")),
    Fault(name="sse-crlf", title="lines end with CRLF", expected=_FULL,
          script=_replaced(b"\n", b"\r\n")),
    Fault(name="sse-cr", title="lines end with CR", expected=_FULL, script=_replaced(b"\n", b"\r")),
    Fault(name="sse-separators", title="raw U+2028 and U+0085 in the text",
          script=_streams(lambda wire: wire.stream("a\u2028b\u0085c")),
          expected={0: "a\u2028b\u0085c"}),
    Fault(name="sse-lines", title="the JSON of one event on several `data:` lines", expected=_FULL,
          script=_replaced(b', "', b',\ndata: "')),
    Fault(name="sse-bytes", title="one byte per chunk", expected=_FULL, script=_bytewise),
    Fault(name="no-type", title="a stream without a content type", expected=_FULL,
          script=lambda wire: [[sse(_full(wire), kind=None)]]),
    Fault(name="gzip", title="a stream in gzip", expected=_FULL,
          script=lambda wire: [
              [head(Content_Encoding="gzip") + chunk(gzip.compress(_full(wire))) + chunk(b"")]
          ]),
    Fault(name="x-gzip", title="a stream in `x-gzip`", expected=_FULL,
          script=lambda wire: [
              [head(Content_Encoding="x-gzip") + chunk(gzip.compress(_full(wire))) + chunk(b"")]
          ]),
    Fault(name="long-header", title="a response header of 60 KB", expected=_FULL,
          script=lambda wire: [[sse(_full(wire), X_Long="x" * 60_000)]]),
    # -- silence, with the same time-out for all
    Fault(name="stall", title="the stream stops", script=_truncated(_begin, HOLD)),
    Fault(name="stall-head", title="no response head", script=_sends(HOLD)),
    Fault(name="heartbeats", title="`: hb` every 0.3 s, without end",
          script=_truncated(_begin, Repeat(chunk(b": hb\n\n"), 0.3))),
    Fault(name="drip-head", title="a byte of the head every 0.3 s",
          script=_sends(b"HTTP/1.1 200 OK\r\nX: ", Repeat(b"x", 0.3))),
    Fault(name="continue", title="100 Continue without end",
          script=_sends(Repeat(b"HTTP/1.1 100 Continue\r\n\r\n", 0.1))),
    Fault(name="bad-chunk", title="a gateway's 502 inside the chunked body",
          script=_truncated(_begin, 0.05, b"HTTP/1.1 502 Bad Gateway\r\n\r\n", HOLD)),
)  # fmt: skip


_PLAIN_FAULTS = (
    Fault(name="plain-complete", title="no fault", stream=False, expected=_FULL,
          script=lambda wire: [[http(wire.plain(_TEXT))]]),
    Fault(name="plain-error", title='200 and `{"success": false, "error": …}`', stream=False,
          script=_plain(_ERROR)),
    Fault(name="plain-html", title="200 and an HTML page", stream=False,
          script=_plain(_HTML, kind="text/html")),
    Fault(name="plain-empty", title="200 and an empty body", stream=False, script=_plain(b"")),
    Fault(name="plain-null", title="200 and `null`", stream=False, script=_plain(b"null")),
    Fault(name="plain-null-choices", title="`choices: null`", stream=False, messages=False,
          script=_plain(b'{"id": "c-1", "object": "chat.completion", "choices": null}')),
    Fault(name="plain-deep", title="200,000 nested lists", stream=False,
          script=_plain(b"[" * 200_000 + b"]" * 200_000)),
    Fault(name="plain-utf8", title="bytes that are not UTF-8", stream=False,
          expected={0: "\ufffd"}, error_allowed=True,
          script=lambda wire: [[http(wire.plain("@").replace(b"@", b"\xff"))]]),
    Fault(name="plain-delta", title="`delta` in place of `message`", stream=False,
          expected=_FULL, messages=False,
          script=lambda wire: [[http(wire.plain(_TEXT).replace(b'"message"', b'"delta"'))]]),
    Fault(name="plain-bom", title="UTF-8 BOM", stream=False, expected=_FULL,
          script=lambda wire: [[http(b"\xef\xbb\xbf" + wire.plain(_TEXT))]]),
    Fault(name="plain-no-content", title="a choice without content", stream=False,
          messages=False, script=_plain(b'{"id": "c-1", "choices": [{"index": 0}]}')),
    Fault(name="plain-204", title="204 No Content", stream=False,
          script=_sends(b"HTTP/1.1 204 No Content\r\n\r\n")),
    Fault(name="plain-401", title="401 in AceData's error format", stream=False,
          script=_plain(_ERROR, "401 Unauthorized")),
    Fault(name="plain-502", title="502 and a gateway's HTML page", stream=False,
          script=_plain(_HTML, "502 Bad Gateway", "text/html")),
    Fault(name="plain-cut", title="a body shorter than its length", stream=False,
          script=lambda wire: [[http(wire.plain(_TEXT))[:-20], 0.05, CLOSE]]),
    Fault(name="plain-drip", title="a byte of the body every 0.3 s", stream=False,
          script=_sends(head("application/json"), Repeat(chunk(b" "), 0.3))),
    Fault(name="plain-bad-chunk", title="a gateway's 502 inside the chunked body", stream=False,
          script=_sends(head("application/json") + chunk(b"{"), 0.05,
                        b"HTTP/1.1 502 Bad Gateway\r\n\r\n", HOLD)),
    Fault(name="redirect-302", title="302, which must not turn the POST into a GET", stream=False,
          script=lambda wire: [[http(b"", "302 Found", Location="?again")],
                               [http(wire.plain("of another page"))]]),
    Fault(name="redirect-origin", title="307 to another origin, which responds", stream=False,
          script=lambda wire: [[http(b"", "307 Temporary Redirect", Location="{elsewhere}")],
                               [http(wire.plain("of another origin"))]]),
    Fault(name="unasked", title="an unrequested response on an idle connection", calls=2,
          stream=False, expected=_FULL,
          script=lambda wire: [[http(wire.plain("1")), 0.05, http(wire.plain("unasked"))],
                               [http(wire.plain(_TEXT))]]),
    Fault(name="stale", title="a kept connection is reset when it is used again (retries on)",
          calls=2, retries=True, stream=False, expected=_FULL,
          script=lambda wire: [[http(wire.plain("1"))], [RESET], [http(wire.plain(_TEXT))]]),
)  # fmt: skip


_RETRY_FAULTS = (
    Fault(name="retry-429", title="429, then a stream (retries on)", retries=True, expected=_FULL,
          script=lambda wire: [[http(wire.busy, "429 Too Many Requests")], [sse(_full(wire))]]),
    Fault(name="retry-reset", title="a reset, then a stream (retries on)", retries=True,
          expected=_FULL, script=lambda wire: [[RESET], [sse(_full(wire))]]),
    Fault(name="retry-role", title="truncated before the first content, then a stream (retries on)",
          retries=True, expected=_FULL,
          script=lambda wire: [[sse(wire.begin, end=False), 0.05, CLOSE], [sse(_full(wire))]]),
    Fault(name="retry-event", title="error event before the first content, then a stream "
          "(retries on)", retries=True, expected=_FULL, messages=False,
          script=lambda wire: [[sse(wire.begin + b"data: " + wire.busy + b"\n\n")],
                               [sse(_full(wire))]]),
    Fault(name="retry-late", title="503 with `Retry-After: 86400` (retries on)", retries=True,
          script=lambda wire: [[http(wire.busy, "503 Busy", Retry_After="86400")]]),
)  # fmt: skip

FAULTS: tuple[Fault, ...] = (*_STREAM_FAULTS, *_PLAIN_FAULTS, *_RETRY_FAULTS)
"""All rows, in the order of the table."""
