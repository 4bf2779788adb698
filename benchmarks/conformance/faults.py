"""The faults, as values: what the service sends, and what of it is an answer.

Most are those of the matrix that started acechat; the others are what real servers and gateways
were seen to do. Each was sent by somebody, or can be.
"""

from __future__ import annotations

import gzip
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
    HOLD = "not at all: silent, until the client goes"


CLOSE, RESET, HOLD = End.CLOSE, End.RESET, End.HOLD


class Repeat(Struct, frozen=True):
    """Send the same bytes again and again, until the client goes."""

    data: bytes
    every: float
    """Seconds between two times."""


Step: TypeAlias = bytes | float | End | Repeat
"""Bytes to send, seconds to wait, or what else to do."""

Script: TypeAlias = Callable[[Wire], Sequence[Sequence[Step]]]
"""The steps for each request of a cell; the last ones serve all further requests."""


class Fault(Struct, frozen=True, kw_only=True):
    """One row of the matrix."""

    name: str
    title: str
    script: Script

    answer: dict[int, str] | None = None
    """What the service did answer, by index of choice. None: no whole answer exists."""

    refusable: bool = False
    """Whether an error is as right as the answer."""

    stream: bool = True
    """Whether the client asks for a stream."""

    calls: int = 1
    """How often the client asks, with one client object; the last call counts."""

    retries: bool = False
    """Whether the client may send again; three attempts at most."""

    messages: bool = True
    """Whether the format of Anthropic has this fault, too."""


_TEXTS = ("Grüß", " Gott,", " 世界 \U0001f30d")
_WHOLE = {0: "".join(_TEXTS)}
_TEXT = _WHOLE[0]
_HTML = b"<html><head><title>Welcome</title></head><body>nginx</body></html>"
_REFUSED = b'{"success": false, "error": {"code": "used_up", "message": "no money"}}'


def _streams(make: Callable[[Wire], bytes], *more: Step) -> Script:
    """Answer with a clean chunked stream of these bytes."""
    return lambda wire: [[sse(make(wire)), *more]]


def _cut(make: Callable[[Wire], bytes], *ends: Step) -> Script:
    """Answer with a stream whose chunked body does not end."""
    return lambda wire: [[sse(make(wire), end=False), *ends]]


def _sends(*steps: Step) -> Script:
    return lambda _: [steps]


def _begun(wire: Wire) -> bytes:
    return wire.begin + b"".join(map(wire.delta, _TEXTS[:2]))


def _whole(wire: Wire) -> bytes:
    return wire.stream(*_TEXTS)


def _openai(make: Callable[[OpenAIWire], bytes]) -> Callable[[Wire], bytes]:
    def made(wire: Wire) -> bytes:
        return make(wire) if isinstance(wire, OpenAIWire) else b""

    return made


def _bytewise(wire: Wire) -> Sequence[Sequence[Step]]:
    pieces = b"".join(chunk(bytes([byte])) for byte in _whole(wire))
    return [[head() + pieces + chunk(b"")]]


def _two_choices(wire: OpenAIWire) -> bytes:
    events = [(1, "B"), (0, "A"), (1, "2"), (0, "1")]
    said = b"".join(wire.choice({"content": text}, index) for index, text in events)
    return said + b"".join(wire.choice({}, index, "stop") for index in (0, 1)) + wire.done


def _replaced(old: bytes, new: bytes) -> Script:
    return _streams(lambda wire: _whole(wire).replace(old, new))


def _plain(body: bytes, status: str = "200 OK", kind: str = "application/json") -> Script:
    return _sends(http(body, status, kind))


_OF_STREAMS = (
    Fault(name="whole", title="nothing is wrong", script=_streams(_whole), answer=_WHOLE),
    # -- how a stream ends
    Fault(name="cut-clean", title="stream cut cleanly: no finish reason, no `[DONE]`",
          script=_streams(_begun)),
    Fault(name="cut-close", title="stream cut, the connection's end is the body's end",
          script=lambda wire: [
              [b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + _begun(wire), CLOSE]
          ]),
    Fault(name="cut-event", title="stream cut cleanly inside an event",
          script=_streams(lambda wire: _begun(wire) + wire.delta("x")[:-9])),
    Fault(name="cut-fin", title="connection dropped inside the chunked body",
          script=_cut(_begun, 0.05, CLOSE)),
    Fault(name="cut-reset", title="connection reset inside the chunked body",
          script=_cut(_begun, 0.05, RESET)),
    Fault(name="empty", title="200 and a stream without any event", script=_streams(lambda _: b"")),
    Fault(name="no-done", title="finish reason and a clean end, but no `[DONE]`",
          script=_streams(lambda wire: _begun(wire) + wire.delta(_TEXTS[2]) + wire.finish),
          answer=_WHOLE, messages=False),
    Fault(name="done-alone", title="`[DONE]`, but no finish reason",
          script=_streams(lambda wire: _begun(wire) + wire.delta(_TEXTS[2]) + wire.done),
          answer=_WHOLE, messages=False),
    Fault(name="done-no-blank", title="`data: [DONE]` without its blank line",
          script=_streams(lambda wire: _whole(wire).rstrip()), answer=_WHOLE, messages=False),
    Fault(name="done-open", title="`[DONE]`, and the connection stays open",
          script=_cut(_whole, HOLD), answer=_WHOLE),
    # -- errors inside of streams
    Fault(name="error-data", title='`data: {"error": …}` in mid-stream', messages=False,
          script=_streams(lambda wire: _begun(wire) + b"data: " + _REFUSED + b"\n\n")),
    Fault(name="error-event", title="`event: error` in mid-stream",
          script=_streams(lambda wire: _begun(wire) + wire.error)),
    Fault(name="error-line", title="a bare line of JSON with an error, and the end",
          script=_streams(lambda wire: _begun(wire) + _REFUSED + b"\n")),
    Fault(name="bad-json", title="broken JSON in one event",
          script=_streams(
              lambda wire: _begun(wire) + wire.delta("@").replace(b'"@"', b"@") + wire.done)),
    Fault(name="bad-utf8", title="bytes that are no UTF-8 in one event",
          answer={0: "Grüß Gott,\ufffd"}, refusable=True,
          script=_streams(
              lambda wire: _begun(wire) + wire.delta("@").replace(b"@", b"\xff") + wire.finish
              + wire.done)),
    # -- something else than a stream
    Fault(name="error-200", title="stream asked, 200 and a JSON error come",
          script=_plain(_REFUSED)),
    Fault(name="html-200", title="stream asked, 200 and a page of HTML come",
          script=_plain(_HTML, kind="text/html")),
    Fault(name="json-200", title="stream asked, a whole plain answer comes", answer=_WHOLE,
          refusable=True,
          script=lambda wire: [[http(wire.answer(_TEXT))]]),
    # -- odd events
    Fault(name="null-choices", title="an event with `choices: null`", answer=_WHOLE, messages=False,
          script=_streams(_openai(lambda wire: wire.event(None) + _whole(wire)))),
    Fault(name="null-delta", title="an event with `delta: null`", answer=_WHOLE, messages=False,
          script=_streams(_openai(lambda wire: wire.choice(None) + _whole(wire)))),
    Fault(name="odd-created", title="`created` is a string", answer=_WHOLE, messages=False,
          script=_replaced(b'"created": 1', b'"created": "now"')),
    Fault(name="odd-reason", title="a finish reason and a field that are new", answer=_WHOLE,
          script=_replaced(b'"stop"', b'"pause_turn", "new": {"a": [1]}'), messages=False),
    Fault(name="two-choices", title="`n=2`, and the second choice comes first", messages=False,
          script=_streams(_openai(_two_choices)), answer={0: "A1", 1: "B2"}),
    # -- forms of server-sent events
    Fault(name="sse-ping", title="`id:` line, then a comment as keep-alive", answer=_WHOLE,
          script=_streams(lambda wire: b"id: 1\n: ping\n\n" + _whole(wire))),
    Fault(name="sse-retry", title="`retry:` before the first event", answer=_WHOLE,
          script=_streams(lambda wire: b"retry: 3000\n\n" + _whole(wire))),
    Fault(name="sse-no-data", title="`event: ping` without data", answer=_WHOLE,
          script=_streams(lambda wire: b"event: ping\n\n" + _whole(wire))),
    Fault(name="sse-empty-data", title="`data:` without anything", answer=_WHOLE,
          script=_streams(lambda wire: b"data:\n\n" + _whole(wire))),
    Fault(name="sse-bom", title="UTF-8 BOM", answer=_WHOLE,
          script=_streams(lambda wire: b"\xef\xbb\xbf" + _whole(wire))),
    Fault(name="sse-no-space", title="`data:` without a space", answer=_WHOLE,
          script=_replaced(b"data: ", b"data:")),
    Fault(name="sse-crlf", title="lines end with CRLF", answer=_WHOLE,
          script=_replaced(b"\n", b"\r\n")),
    Fault(name="sse-cr", title="lines end with CR", answer=_WHOLE, script=_replaced(b"\n", b"\r")),
    Fault(name="sse-separators", title="raw U+2028 and U+0085 in the text",
          script=_streams(lambda wire: wire.stream("a\u2028b\u0085c")),
          answer={0: "a\u2028b\u0085c"}),
    Fault(name="sse-lines", title="the JSON of one event on several `data:` lines", answer=_WHOLE,
          script=_replaced(b', "', b',\ndata: "')),
    Fault(name="sse-bytes", title="one byte per chunk", answer=_WHOLE, script=_bytewise),
    Fault(name="no-type", title="a stream without a content type", answer=_WHOLE,
          script=lambda wire: [[sse(_whole(wire), kind=None)]]),
    Fault(name="gzip", title="a stream in gzip", answer=_WHOLE,
          script=lambda wire: [
              [head(Content_Encoding="gzip") + chunk(gzip.compress(_whole(wire))) + chunk(b"")]
          ]),
    # -- silence, with the same time-out for all
    Fault(name="stall", title="the stream stops", script=_cut(_begun, HOLD)),
    Fault(name="stall-head", title="no head comes", script=_sends(HOLD)),
    Fault(name="heartbeats", title="`: hb` every 0.3 s for ever",
          script=_cut(_begun, Repeat(chunk(b": hb\n\n"), 0.3))),
    Fault(name="drip-head", title="a byte of the head every 0.3 s",
          script=_sends(b"HTTP/1.1 200 OK\r\nX: ", Repeat(b"x", 0.3))),
    Fault(name="continue", title="100 Continue for ever",
          script=_sends(Repeat(b"HTTP/1.1 100 Continue\r\n\r\n", 0.1))),
    Fault(name="bad-chunk", title="a gateway's 502 inside the chunked body",
          script=_cut(_begun, 0.05, b"HTTP/1.1 502 Bad Gateway\r\n\r\n", HOLD)),
)  # fmt: skip


_OF_PLAIN_CALLS = (
    Fault(name="plain-whole", title="nothing is wrong", stream=False, answer=_WHOLE,
          script=lambda wire: [[http(wire.answer(_TEXT))]]),
    Fault(name="plain-error", title='200 and `{"success": false, "error": …}`', stream=False,
          script=_plain(_REFUSED)),
    Fault(name="plain-html", title="200 and a page of HTML", stream=False,
          script=_plain(_HTML, kind="text/html")),
    Fault(name="plain-empty", title="200 and nothing", stream=False, script=_plain(b"")),
    Fault(name="plain-null", title="200 and `null`", stream=False, script=_plain(b"null")),
    Fault(name="plain-null-choices", title="`choices: null`", stream=False, messages=False,
          script=_plain(b'{"id": "c-1", "object": "chat.completion", "choices": null}')),
    Fault(name="plain-deep", title="200,000 nested lists", stream=False,
          script=_plain(b"[" * 200_000 + b"]" * 200_000)),
    Fault(name="plain-utf8", title="bytes that are no UTF-8", stream=False,
          answer={0: "\ufffd"}, refusable=True,
          script=lambda wire: [[http(wire.answer("@").replace(b"@", b"\xff"))]]),
    Fault(name="plain-204", title="204 No Content", stream=False,
          script=_sends(b"HTTP/1.1 204 No Content\r\n\r\n")),
    Fault(name="plain-401", title="401 in AceData's envelope", stream=False,
          script=_plain(_REFUSED, "401 Unauthorized")),
    Fault(name="plain-502", title="502 and a gateway's page", stream=False,
          script=_plain(_HTML, "502 Bad Gateway", "text/html")),
    Fault(name="plain-cut", title="a body shorter than its length", stream=False,
          script=lambda wire: [[http(wire.answer(_TEXT))[:-20], 0.05, CLOSE]]),
    Fault(name="plain-drip", title="a byte of the body every 0.3 s", stream=False,
          script=_sends(head("application/json"), Repeat(chunk(b" "), 0.3))),
    Fault(name="plain-bad-chunk", title="a gateway's 502 inside the chunked body", stream=False,
          script=_sends(head("application/json") + chunk(b"{"), 0.05,
                        b"HTTP/1.1 502 Bad Gateway\r\n\r\n", HOLD)),
    Fault(name="redirect-302", title="302, which must not turn the POST into a GET", stream=False,
          script=lambda wire: [[http(b"", "302 Found", Location="?again")],
                               [http(wire.answer("of another page"))]]),
    Fault(name="redirect-origin", title="307 to another origin, which answers", stream=False,
          script=lambda wire: [[http(b"", "307 Temporary Redirect", Location="{elsewhere}")],
                               [http(wire.answer("of another origin"))]]),
    Fault(name="unasked", title="an answer that nobody asked for, on an idle connection", calls=2,
          stream=False, answer=_WHOLE,
          script=lambda wire: [[http(wire.answer("1")), 0.05, http(wire.answer("unasked"))],
                               [http(wire.answer(_TEXT))]]),
    Fault(name="stale", title="a kept connection is reset when it is used again (retries on)",
          calls=2, retries=True, stream=False, answer=_WHOLE,
          script=lambda wire: [[http(wire.answer("1"))], [RESET], [http(wire.answer(_TEXT))]]),
)  # fmt: skip


_OF_RETRIES = (
    Fault(name="retry-429", title="429, then a stream (retries on)", retries=True, answer=_WHOLE,
          script=lambda wire: [[http(wire.busy, "429 Too Many Requests")], [sse(_whole(wire))]]),
    Fault(name="retry-reset", title="a reset, then a stream (retries on)", retries=True,
          answer=_WHOLE, script=lambda wire: [[RESET], [sse(_whole(wire))]]),
    Fault(name="retry-role", title="cut before the first content, then a stream (retries on)",
          retries=True, answer=_WHOLE,
          script=lambda wire: [[sse(wire.begin, end=False), 0.05, CLOSE], [sse(_whole(wire))]]),
    Fault(name="retry-event", title="error event before the first content, then a stream "
          "(retries on)", retries=True, answer=_WHOLE, messages=False,
          script=lambda wire: [[sse(wire.begin + b"data: " + wire.busy + b"\n\n")],
                               [sse(_whole(wire))]]),
    Fault(name="retry-late", title="503 with `Retry-After: 86400` (retries on)", retries=True,
          script=lambda wire: [[http(wire.busy, "503 Busy", Retry_After="86400")]]),
)  # fmt: skip

FAULTS: tuple[Fault, ...] = (*_OF_STREAMS, *_OF_PLAIN_CALLS, *_OF_RETRIES)
"""All rows, in the order of the table."""
