"""The bytes of responses, in the two formats that the peers read.

A fault is written once, in terms of `Wire`, and sent in the format of the request.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import Any

__all__ = ["AnthropicWire", "OpenAIWire", "Wire", "chunk", "head", "http", "sse"]


def http(
    body: bytes, status: str = "200 OK", kind: str | None = "application/json", **more: str
) -> bytes:
    """Return a response with ``Content-Length``; *more* are headers, with ``_`` for ``-``."""
    return _lines(status, kind, {"Content-Length": str(len(body))} | more) + body


def head(kind: str | None = "text/event-stream", status: str = "200 OK", **more: str) -> bytes:
    """Return the head of a chunked response."""
    return _lines(status, kind, {"Transfer-Encoding": "chunked"} | more)


def chunk(data: bytes) -> bytes:
    """Return *data* as one chunk of a body; the last one is empty."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def sse(
    body: bytes, *, end: bool = True, kind: str | None = "text/event-stream", **more: str
) -> bytes:
    """Return a chunked response with *body*, and its last chunk if *end* is true."""
    return head(kind, **more) + (chunk(body) if body else b"") + (chunk(b"") if end else b"")


def _lines(status: str, kind: str | None, headers: dict[str, str]) -> bytes:
    fields = ({"Content-Type": kind} if kind else {}) | headers
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode("latin-1")


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


class Wire(ABC):
    """One format of responses. A stream is *begin*, any number of `delta`, *finish* and *done*."""

    begin: bytes
    finish: bytes
    done: bytes
    error: bytes
    """An ``event: error`` of this format."""
    busy: bytes
    """The body of a transient error."""

    @abstractmethod
    def delta(self, text: str) -> bytes:
        """Return the event that adds *text*."""

    @abstractmethod
    def plain(self, text: str) -> bytes:
        """Return the body of a complete plain response."""

    def stream(self, *texts: str) -> bytes:
        """Return the body of a complete stream."""
        return self.begin + b"".join(map(self.delta, texts)) + self.finish + self.done


class OpenAIWire(Wire):
    """Chat completions, in the format of AceData's documentation."""

    done = b"data: [DONE]\n\n"
    error = b'event: error\ndata: {"code": "api_error", "message": "it broke"}\n\n'
    busy = b'{"success": false, "error": {"code": "busy", "message": "later"}, "trace_id": "t"}'

    def __init__(self) -> None:
        self.begin = self.choice({"role": "assistant", "content": ""})
        self.finish = self.choice({}, reason="stop")

    def event(self, choices: Any, **more: Any) -> bytes:
        """Return an event with any *choices*."""
        facts = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        return b"data: %s\n\n" % _json(facts | {"choices": choices} | more)

    def choice(self, delta: Any, index: int = 0, reason: str | None = None) -> bytes:
        """Return the event of one choice."""
        return self.event([{"index": index, "delta": delta, "finish_reason": reason}])

    def delta(self, text: str) -> bytes:
        return self.choice({"content": text})

    def plain(self, text: str) -> bytes:
        message = {"role": "assistant", "content": text}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        facts = {"id": "c-1", "object": "chat.completion", "created": 1, "model": "m"}
        return _json(facts | {"choices": choices, "usage": usage})


class AnthropicWire(Wire):
    """Messages, in the format of Anthropic's client."""

    done = b'event: message_stop\ndata: {"type": "message_stop"}\n\n'
    error = (
        b'event: error\ndata: {"type": "error", "error": {"type": "api_error", '
        b'"message": "it broke"}}\n\n'
    )
    busy = b'{"type": "error", "error": {"type": "overloaded_error", "message": "later"}}'

    def __init__(self) -> None:
        message = self._message([], None)
        block = {"type": "text", "text": ""}
        self.begin = self._event("message_start", message=message)
        self.begin += self._event("content_block_start", index=0, content_block=block)
        ended = {"stop_reason": "end_turn", "stop_sequence": None}
        self.finish = self._event("content_block_stop", index=0)
        self.finish += self._event("message_delta", delta=ended, usage={"output_tokens": 1})

    def _event(self, kind: str, **more: Any) -> bytes:
        return b"event: %s\ndata: %s\n\n" % (kind.encode(), _json({"type": kind} | more))

    def _message(self, content: list[Any], reason: str | None) -> dict[str, Any]:
        return {
            "id": "m-1",
            "type": "message",
            "role": "assistant",
            "model": "m",
            "content": content,
            "stop_reason": reason,
            "stop_sequence": None,
            "usage": {"input_tokens": 1, "output_tokens": 1},
        }

    def delta(self, text: str) -> bytes:
        return self._event(
            "content_block_delta", index=0, delta={"type": "text_delta", "text": text}
        )

    def plain(self, text: str) -> bytes:
        return _json(self._message([{"type": "text", "text": text}], "end_turn"))
