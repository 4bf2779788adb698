"""Answers and errors as bytes, as the service writes them.

Source: the contract, 2.2, 2.4 and 3.1. The service's gateway is written in Python, so its JSON has
the separators of ``json.dumps``. The order of the keys is that of the samples.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

from acechat.emulator.completion import Answer, ChoiceContent
from acechat.emulator.plan import Head, Plan, Send, answer_with
from acechat.types import ToolCall

__all__ = ["DONE", "JSON_TYPE", "as_event", "envelope", "json_plan", "plain_plan", "stream_plan"]

DONE = b"data: [DONE]\n\n"
JSON_TYPE = "application/json"

_STREAM_HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",
}
_ARGUMENTS_PIECE = 4
"""Characters of arguments per event: enough to cut through names, numbers and escapes."""


def as_event(value: Any, *, ensure_ascii: bool = True) -> bytes:
    """Write one event of a stream."""
    return b"data: " + json.dumps(value, ensure_ascii=ensure_ascii).encode() + b"\n\n"


def envelope(code: str, message: str, trace_id: str) -> dict[str, Any]:
    """Return the service's error, as JSON."""
    return {"error": {"code": code, "message": message}, "trace_id": trace_id}


def json_plan(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Plan:
    """Plan to answer with JSON."""
    return answer_with(status, JSON_TYPE, json.dumps(value).encode(), headers or {})


def plain_plan(answer: Answer) -> Plan:
    """Plan to send the whole *answer* at once."""
    completion = {
        "id": answer.id,
        "model": answer.model,
        "object": "chat.completion",
        "created": answer.created,
        "choices": [
            {"index": index, "message": _message(said), "finish_reason": said.finish_reason}
            for index, said in enumerate(answer.choices)
        ],
        "usage": answer.usage,
    }
    body = json.dumps(completion, ensure_ascii=answer.ensure_ascii).encode()
    return answer_with(200, JSON_TYPE, body, {})


def _message(said: ChoiceContent) -> dict[str, Any]:
    text = "".join(said.text)
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None if said.tool_calls and not text else text,
    }
    if said.reasoning:
        message["reasoning_content"] = "".join(said.reasoning)
    if said.tool_calls:
        message["tool_calls"] = [_call(call) for call in said.tool_calls]
    return message


def _call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.function.name, "arguments": call.function.arguments}
    return {"id": call.id, "type": call.type, "function": function}


def stream_plan(answer: Answer) -> Plan:
    """Plan to send *answer* as a stream; its choices take turns."""
    turns = zip_longest(*(_news(said, index) for index, said in enumerate(answer.choices)))
    choices = [[choice] for turn in turns for choice in turn if choice]
    chunks = [_chunk(answer, news, None) for news in choices]
    chunks.append(_chunk(answer, [], answer.usage))
    events = [as_event(chunk, ensure_ascii=answer.ensure_ascii) for chunk in chunks]
    return [Head(200, _STREAM_HEADERS), *(Send(event, event=True) for event in [*events, DONE])]


def _chunk(answer: Answer, choices: list[dict[str, Any]], usage: Any) -> dict[str, Any]:
    return {
        "id": answer.id,
        "object": "chat.completion.chunk",
        "created": answer.created,
        "model": answer.model,
        "system_fingerprint": None,
        "choices": choices,
        "usage": usage,
    }


def _news(said: ChoiceContent, index: int) -> Iterator[dict[str, Any]]:
    for delta in _deltas(said):
        yield {"delta": delta, "logprobs": None, "finish_reason": None, "index": index}
    yield {"delta": {}, "logprobs": None, "finish_reason": said.finish_reason, "index": index}


def _deltas(said: ChoiceContent) -> Iterator[dict[str, Any]]:
    yield {"content": "", "role": "assistant"}
    yield {"content": ""}
    for piece in said.reasoning:
        yield {"reasoning_content": piece}
    for piece in said.text:
        yield {"content": piece}
    for index, call in enumerate(said.tool_calls):
        function = {"name": call.function.name, "arguments": ""}
        opening = {"index": index, "id": call.id, "type": call.type, "function": function}
        yield {"tool_calls": [opening]}
        arguments = call.function.arguments
        for start in range(0, len(arguments), _ARGUMENTS_PIECE):
            more = {"arguments": arguments[start : start + _ARGUMENTS_PIECE]}
            yield {"tool_calls": [{"index": index, "type": call.type, "function": more}]}
