"""Completions and errors as bytes, in the service's format.

Source: docs/api.md#completion-variants, #streams, #error-bodies and #error-codes. The
service's gateway is written in Python, so its JSON has the separators of ``json.dumps``. The order
of the keys is that of the samples.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from http import HTTPStatus
from itertools import zip_longest
from typing import Any

from acechat.emulator.completion import ChoiceContent, CompletionContent
from acechat.emulator.plan import Head, Plan, Send, response_plan
from acechat.types import ToolCall

__all__ = [
    "DONE",
    "JSON_TYPE",
    "RefusalError",
    "as_event",
    "code_and_message",
    "envelope",
    "error_plan",
    "json_plan",
    "plain_plan",
    "stream_plan",
]

DONE = b"data: [DONE]\n\n"
JSON_TYPE = "application/json"

_STREAM_HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",
}
_ARGUMENTS_CHUNK = 4
"""Characters of arguments per event: few enough to split names, numbers and escapes."""


def as_event(value: Any, *, ensure_ascii: bool = True) -> bytes:
    """Encode *value* as one event of a stream."""
    return b"data: " + json.dumps(value, ensure_ascii=ensure_ascii).encode() + b"\n\n"


def envelope(code: str, message: str, trace_id: str) -> dict[str, Any]:
    """Return the JSON object of the service's errors."""
    return {"error": {"code": code, "message": message}, "trace_id": trace_id}


def json_plan(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Plan:
    """Return the plan of a response with *value* as JSON."""
    return response_plan(status, JSON_TYPE, json.dumps(value).encode(), headers or {})


def plain_plan(completion: CompletionContent) -> Plan:
    """Return the plan of a plain response: *completion* as one JSON object."""
    fields = {
        "id": completion.id,
        "model": completion.model,
        "object": "chat.completion",
        "created": completion.created,
        "choices": [
            {"index": index, "message": _message(content), "finish_reason": content.finish_reason}
            for index, content in enumerate(completion.choices)
        ],
        "usage": completion.usage,
    }
    body = json.dumps(fields, ensure_ascii=completion.ensure_ascii).encode()
    return response_plan(200, JSON_TYPE, body, {})


def _message(content: ChoiceContent) -> dict[str, Any]:
    text = "".join(content.text)
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None if content.tool_calls and not text else text,
    }
    if content.reasoning:
        message["reasoning_content"] = "".join(content.reasoning)
    if content.tool_calls:
        message["tool_calls"] = [_call(call) for call in content.tool_calls]
    return message


def _call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.function.name, "arguments": call.function.arguments}
    return {"id": call.id, "type": call.type, "function": function}


def stream_plan(completion: CompletionContent) -> Plan:
    """Return the plan of a streamed response; the events of the choices alternate."""
    by_choice = [_choice_events(content, index) for index, content in enumerate(completion.choices)]
    choices = [choice for row in zip_longest(*by_choice) for choice in row if choice]
    chunks = [_chunk(completion, [choice], None) for choice in choices]
    chunks.append(_chunk(completion, [], completion.usage))
    events = [as_event(chunk, ensure_ascii=completion.ensure_ascii) for chunk in chunks]
    return [Head(200, _STREAM_HEADERS), *(Send(event, event=True) for event in [*events, DONE])]


def _chunk(
    completion: CompletionContent, choices: list[dict[str, Any]], usage: Any
) -> dict[str, Any]:
    return {
        "id": completion.id,
        "object": "chat.completion.chunk",
        "created": completion.created,
        "model": completion.model,
        "system_fingerprint": None,
        "choices": choices,
        "usage": usage,
    }


def _choice_events(content: ChoiceContent, index: int) -> Iterator[dict[str, Any]]:
    for delta in _deltas(content):
        yield {"delta": delta, "logprobs": None, "finish_reason": None, "index": index}
    yield {"delta": {}, "logprobs": None, "finish_reason": content.finish_reason, "index": index}


def _deltas(content: ChoiceContent) -> Iterator[dict[str, Any]]:
    yield {"content": "", "role": "assistant"}
    yield {"content": ""}
    for delta in content.reasoning:
        yield {"reasoning_content": delta}
    for delta in content.text:
        yield {"content": delta}
    for index, call in enumerate(content.tool_calls):
        function = {"name": call.function.name, "arguments": ""}
        opening = {"index": index, "id": call.id, "type": call.type, "function": function}
        yield {"tool_calls": [opening]}
        arguments = call.function.arguments
        for start in range(0, len(arguments), _ARGUMENTS_CHUNK):
            more = {"arguments": arguments[start : start + _ARGUMENTS_CHUNK]}
            yield {"tool_calls": [{"index": index, "type": call.type, "function": more}]}


_CODES = {
    400: "bad_request",
    401: "invalid_token",
    403: "used_up",
    404: "no_api",
    413: "request_too_large",
    429: "too_many_requests",
    500: "api_error",
    503: "busy",
    504: "timeout",
}
"""The default code of each status. The one of 503 is not documented by the service."""

_MESSAGES = {
    "bad_request": "The json payload is not valid.",
    "no_token": "No token specified for the request.",
    "api_not_implemented": "The API is not implemented.",
    "token_mismatched": "The specified token is not matched with API.",
    "disabled": "Your application has been disabled because of abnormal usage.",
    "invalid_token": "The specified token is invalid or wrong.",
    "token_expired": "token expired.",
    "used_up": (
        "Your balance is not sufficient for current request, "
        "please buy more in Ace Data Cloud https://platform.acedata.cloud"
    ),
    "forbidden": "The content is refused by moderation.",
    "no_api": "API does not exist, please make sure url is correct.",
    "request_too_large": "The request body is too large.",
    "too_many_requests": "You have exceeded the rate limit.",
    "api_error": "Internal server error.",
    "busy": "api was throttled from upstream and is currently busy",
    "timeout": "The upstream inference timed out.",
}

_OFFER: dict[str, Any] = {
    "x402Version": 2,
    "error": "Payment Required",
    "accepts": [
        {
            "scheme": "exact",
            "network": "base",
            "maxAmountRequired": "4760750",
            "extra": {"name": "USD Coin", "version": "2"},
        }
    ],
}


class RefusalError(Exception):
    """The emulator rejects a request. None: the usual code or message."""

    def __init__(self, status: int, code: str | None = None, message: str | None = None) -> None:
        super().__init__(status, code, message)
        self.status = status
        self.code = code
        self.message = message


def code_and_message(status: int, code: str | None, message: str | None) -> tuple[str, str]:
    """Return code and message; None is replaced by the usual one."""
    code = (
        code or _CODES.get(status) or ("api_error" if status >= HTTPStatus(500) else "bad_request")
    )
    return code, message or _MESSAGES.get(code) or "The request failed."


def error_plan(
    status: int,
    code: str | None,
    message: str | None,
    trace_id: str,
    headers: dict[str, str] | None = None,
) -> Plan:
    """Return the plan of an error response; 402 without a code is an x402 payment offer."""
    if status == HTTPStatus.PAYMENT_REQUIRED and code is None and message is None:
        return json_plan(_OFFER, status, headers)
    return json_plan(envelope(*code_and_message(status, code, message), trace_id), status, headers)
