"""Decode JSON bytes to structs: msgspec's typed decoder first, then `lenient`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, cast

import msgspec
from msgspec import Struct

from acechat._wire.error_response import error_from_value, find_trace_id, is_error
from acechat._wire.lenient import convert
from acechat._wire.sse import Event
from acechat.errors import ProtocolError
from acechat.types import (
    AssistantMessage,
    ChatCompletion,
    ChatCompletionChunk,
    Choice,
    FinishReason,
    FunctionCall,
    ToolCall,
    Usage,
)

__all__ = [
    "DECODE_ERRORS",
    "decode_chunk",
    "decode_completion",
    "decode_fast",
    "decode_fields",
    "decode_json",
    "decode_plain_chunk",
    "is_object",
    "to_fields",
    "with_arguments",
    "without_arguments",
]


class _FastMessage(Struct, frozen=True):
    content: str | None = None
    reasoning_content: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    name: str | None = None
    reasoning: Any = None
    """The name of the reasoning in some channels (docs/api.md#completion-variants)."""


class _FastChoice(Struct):
    index: int = 0
    message: _FastMessage = _FastMessage()
    finish_reason: FinishReason | None = None
    logprobs: Any = None


class _FastCompletion(Struct):
    choices: list[_FastChoice]
    id: str = ""
    object: str = "chat.completion"
    created: int | None = None
    model: str = ""
    usage: Usage | None = None
    system_fingerprint: str | None = None
    service_tier: str | None = None
    trace_id: Any = None

    # Present in error bodies with status 200.
    error: Any = None
    success: Any = None
    type: Any = None


_decode = msgspec.json.Decoder(_FastCompletion).decode


def decode_fast(body: bytes) -> tuple[ChatCompletion, Any] | None:
    """Decode a completion and its trace id; None if the body needs `decode_completion`.

    Raises:
        DECODE_ERRORS: As the typed decoder does.
    """
    decoded = _decode(body)
    if decoded.error is not None or decoded.success is not None or decoded.type is not None:
        return None
    choices: list[Choice] = []
    for choice in decoded.choices:
        message = choice.message
        if message.reasoning:
            return None
        public = AssistantMessage(
            content=message.content,
            reasoning_content=message.reasoning_content,
            refusal=message.refusal,
            tool_calls=message.tool_calls,
            name=message.name,
        )
        choices.append(Choice(choice.index, public, choice.finish_reason, choice.logprobs))
    completion = ChatCompletion(
        choices=choices,
        id=decoded.id,
        object=decoded.object,
        created=decoded.created,
        model=decoded.model,
        usage=decoded.usage,
        system_fingerprint=decoded.system_fingerprint,
        service_tier=decoded.service_tier,
    )
    return completion, decoded.trace_id


_chunk = msgspec.json.Decoder(ChatCompletionChunk)


_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""Raised by msgspec for bytes that it cannot decode; the last two are Python's own."""


def decode_json(data: bytes, subject: str = "response", *, status: int | None = None) -> Any:
    """Decode JSON to builtins.

    Args:
        data: The JSON.
        subject: The name of *data* in the error.
        status: HTTP status of the response, for the error; None within a stream.

    Raises:
        ProtocolError: *data* is not valid JSON.
    """
    try:
        return msgspec.json.decode(data)
    except DECODE_ERRORS as error:
        reason = f"{subject} is not valid JSON ({error})" if data else f"{subject} is empty"
    raise ProtocolError(reason, body=data, status=status)


def decode_completion(
    body: bytes, headers: Mapping[str, str], *, status: int = 200
) -> tuple[ChatCompletion, str | None]:
    """Decode a completion; return it and its trace id (None if not reported).

    Args:
        body: The complete response body.
        headers: Of the response, names in lower case.
        status: HTTP status of the response.

    Raises:
        APIError: The body is an error, in spite of a status of 2xx.
        ProtocolError: The body is neither a completion nor an error.
    """
    decoded = None
    with suppress(*DECODE_ERRORS):
        decoded = decode_fast(body)
    if decoded is not None:
        completion, trace_id = decoded
        fields: dict[str, Any] = {"trace_id": trace_id}
    else:
        fields = _decode_odd_body(body, headers, status)
        completion = convert(fields, ChatCompletion, body, status)
    if any(choice.message.tool_calls for choice in completion.choices):
        completion = _with_arguments(completion)
    return completion, find_trace_id(fields, headers)


def decode_fields(body: bytes) -> dict[str, Any]:
    """Return all fields of a *body* that `decode_completion` accepts.

    Only the known fields if the body is malformed in one that the typed decoder skipped.

    Raises:
        ProtocolError: Nested deeper than about a thousand levels, Python's limit.
    """
    with suppress(*DECODE_ERRORS):
        return cast("dict[str, Any]", msgspec.json.decode(body))
    return to_fields(decode_completion(body, {})[0])


def to_fields(completion: ChatCompletion) -> dict[str, Any]:
    """Return the known fields of *completion*.

    Raises:
        ProtocolError: Nested deeper than about a thousand levels, Python's limit.
    """
    with suppress(RecursionError):
        return cast("dict[str, Any]", msgspec.to_builtins(completion))
    raise ProtocolError("response is nested too deeply to convert to a dict")


def _decode_odd_body(body: bytes, headers: Mapping[str, str], status: int) -> dict[str, Any]:
    """Decode a *body* that the fast path rejected, and check that it is a completion."""
    kind = headers.get("content-type", "no content type")
    value = decode_json(body, f"response ({kind})", status=status)
    if is_error(value):
        raise error_from_value(value, headers, status=status, body=body)
    if not isinstance(value, dict):
        raise ProtocolError("response is not a JSON object", body=body, status=status)
    fields = cast("dict[str, Any]", value)
    if not isinstance(fields.get("choices"), list):
        raise ProtocolError("response has no list 'choices'", body=body, status=status)
    for choice in cast("list[Any]", fields["choices"]):
        if isinstance(choice, dict):
            _rename_reasoning(cast("dict[str, Any]", choice).get("message"))
    return fields


def _rename_reasoning(message: object) -> None:
    """Move ``reasoning``, the name in some channels, to ``reasoning_content``."""
    if isinstance(message, dict):
        fields = cast("dict[str, Any]", message)
        fields["reasoning_content"] = fields.get("reasoning_content") or fields.get("reasoning")


decode_plain_chunk = _chunk.decode
"""The typed decoder alone: its result may be an error event; it raises `DECODE_ERRORS`."""


def decode_chunk(data: bytes, headers: Mapping[str, str]) -> ChatCompletionChunk | None:
    """Decode the data of one event of a stream; None if it is blank.

    Raises:
        APIError: The event is an error.
        ProtocolError: The event is neither a chunk nor an error.
    """
    try:
        chunk = _chunk.decode(data)
    except DECODE_ERRORS:
        chunk = None
    if chunk is None or chunk.error:
        return _decode_odd_chunk(data, headers)
    if not chunk.choices and (isinstance(data, Event) or b'"success"' in data):
        with suppress(ProtocolError):  # malformed in a field that the typed decoder skips
            _decode_odd_chunk(data, headers)  # raises if it is an error
    return chunk


def _decode_odd_chunk(data: bytes, headers: Mapping[str, str]) -> ChatCompletionChunk | None:
    if not data.strip():
        return None
    named_error = isinstance(data, Event) and data.type == "error"
    try:
        value = decode_json(data, "stream event")
    except ProtocolError:
        if not named_error:
            raise
        value = {"message": data.decode(errors="replace")}
    if named_error or is_error(value):
        raise error_from_value(value, headers, status=None, body=data)
    if not isinstance(value, dict):
        raise ProtocolError("stream event is not a JSON object", body=data)
    fields = cast("dict[str, Any]", value)
    if fields.get("choices") is None:
        fields["choices"] = []
    return convert(fields, ChatCompletionChunk, data)


def _with_arguments(completion: ChatCompletion) -> ChatCompletion:
    """Replace empty arguments of tool calls by ``{}``, their meaning (docs/api.md#streams)."""
    choices: list[Choice] = []
    for choice in completion.choices:
        message = choice.message
        if message.tool_calls:
            calls = [with_arguments(call) for call in message.tool_calls]
            message = msgspec.structs.replace(message, tool_calls=calls)
        choices.append(msgspec.structs.replace(choice, message=message))
    return msgspec.structs.replace(completion, choices=choices)


def with_arguments(call: ToolCall) -> ToolCall:
    """Return *call*, with ``{}`` for empty arguments."""
    return call if call.function.arguments.strip() else without_arguments(call)


def without_arguments(call: ToolCall) -> ToolCall:
    """Return *call* with the arguments ``{}``."""
    return ToolCall(id=call.id, type=call.type, function=FunctionCall(name=call.function.name))


def is_object(text: str) -> bool:
    """Return True if *text* is a JSON object."""
    try:
        _object.decode(text)
    except DECODE_ERRORS:
        return False
    return True
