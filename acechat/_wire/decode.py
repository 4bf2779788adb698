"""JSON bytes -> structs: msgspec's typed decoder first; what it refuses goes through `lenient`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, cast

import msgspec
from msgspec import Struct

from acechat._wire.error_response import error_from_value, find_trace_id, is_refusal
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
    "UNREADABLE",
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
    """Some channels call the thoughts so."""


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

    # Of an answer that is none.
    error: Any = None
    success: Any = None
    type: Any = None


_decode = msgspec.json.Decoder(_FastCompletion).decode


def decode_fast(body: bytes) -> tuple[ChatCompletion, Any] | None:
    """Decode a whole answer and its trace id; return None for one that needs a second look.

    Raises:
        UNREADABLE: As the typed decoder does.
    """
    told = _decode(body)
    if told.error is not None or told.success is not None or told.type is not None:
        return None
    choices: list[Choice] = []
    for choice in told.choices:
        message = choice.message
        if message.reasoning:
            return None
        said = AssistantMessage(
            content=message.content,
            reasoning_content=message.reasoning_content,
            refusal=message.refusal,
            tool_calls=message.tool_calls,
            name=message.name,
        )
        choices.append(Choice(choice.index, said, choice.finish_reason, choice.logprobs))
    completion = ChatCompletion(
        choices=choices,
        id=told.id,
        object=told.object,
        created=told.created,
        model=told.model,
        usage=told.usage,
        system_fingerprint=told.system_fingerprint,
        service_tier=told.service_tier,
    )
    return completion, told.trace_id


_chunk = msgspec.json.Decoder(ChatCompletionChunk)


_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that it cannot decode; the last two are not its own."""


def decode_json(data: bytes, what: str = "the answer", *, status: int | None = None) -> Any:
    """Decode JSON to builtins.

    Raises:
        ProtocolError: It is none.
    """
    try:
        return msgspec.json.decode(data)
    except UNREADABLE as error:
        reason = f"{what} is no JSON ({error})" if data else f"{what} is empty"
    raise ProtocolError(reason, body=data, status=status)


def decode_completion(
    body: bytes, headers: Mapping[str, str], *, status: int = 200
) -> tuple[ChatCompletion, str | None]:
    """Decode a whole answer; return it and its trace id.

    Raises:
        APIError: It is an error, though its status is 2xx.
        ProtocolError: It is neither.
    """
    told = None
    with suppress(*UNREADABLE):
        told = decode_fast(body)
    if told is not None:
        completion, trace_id = told
        fields: dict[str, Any] = {"trace_id": trace_id}
    else:
        fields = _answer(body, headers, status)
        completion = convert(fields, ChatCompletion, body, status)
    if any(choice.message.tool_calls for choice in completion.choices):
        completion = _with_arguments(completion)
    return completion, find_trace_id(fields, headers)


def decode_fields(body: bytes) -> dict[str, Any]:
    """Decode every field of a *body* that was decoded to a completion.

    Only the known ones if a field is malformed that the typed decoder skipped.

    Raises:
        ProtocolError: They are nested too deep: about a thousand levels, Python's limit.
    """
    with suppress(*UNREADABLE):
        return cast("dict[str, Any]", msgspec.json.decode(body))
    return to_fields(decode_completion(body, {})[0])


def to_fields(completion: ChatCompletion) -> dict[str, Any]:
    """Return the known fields of *completion*.

    Raises:
        ProtocolError: They are nested too deep: about a thousand levels, Python's limit.
    """
    with suppress(RecursionError):
        return cast("dict[str, Any]", msgspec.to_builtins(completion))
    raise ProtocolError("the answer is nested too deep to be made a dict")


def _answer(body: bytes, headers: Mapping[str, str], status: int) -> dict[str, Any]:
    """Decode a *body* that is odd in some way, and make sure that it is an answer."""
    kind = headers.get("content-type", "no content type")
    value = decode_json(body, f"the answer ({kind})", status=status)
    if is_refusal(value):
        raise error_from_value(value, headers, status=status, body=body)
    if not isinstance(value, dict):
        raise ProtocolError("the answer is no JSON object", body=body, status=status)
    fields = cast("dict[str, Any]", value)
    if not isinstance(fields.get("choices"), list):
        raise ProtocolError("the answer has no list of choices", body=body, status=status)
    for choice in cast("list[Any]", fields["choices"]):
        if isinstance(choice, dict):
            _name_reasoning(cast("dict[str, Any]", choice).get("message"))
    return fields


def _name_reasoning(message: object) -> None:
    """Some channels call the thoughts *reasoning*."""
    if isinstance(message, dict):
        said = cast("dict[str, Any]", message)
        said["reasoning_content"] = said.get("reasoning_content") or said.get("reasoning")


decode_plain_chunk = _chunk.decode
"""The first tier alone: what it returns may be an error, what it raises is `UNREADABLE`."""


def decode_chunk(data: bytes, headers: Mapping[str, str]) -> ChatCompletionChunk | None:
    """Decode one event of a stream; return None for one that says nothing.

    Raises:
        APIError: It is an error.
        ProtocolError: It is neither a chunk nor an error.
    """
    try:
        chunk = _chunk.decode(data)
    except UNREADABLE:
        chunk = None
    if chunk is None or chunk.error:
        return _decode_odd_chunk(data, headers)
    if not chunk.choices and (isinstance(data, Event) or b'"success"' in data):
        with suppress(ProtocolError):  # of a field that the typed decoder skips
            _decode_odd_chunk(data, headers)  # raises what it says otherwise
    return chunk


def _decode_odd_chunk(data: bytes, headers: Mapping[str, str]) -> ChatCompletionChunk | None:
    if not data.strip():
        return None
    named_error = isinstance(data, Event) and data.type == "error"
    try:
        value = decode_json(data, "an event of the stream")
    except ProtocolError:
        if not named_error:
            raise
        value = {"message": data.decode(errors="replace")}
    if named_error or is_refusal(value):
        raise error_from_value(value, headers, status=None, body=data)
    if not isinstance(value, dict):
        raise ProtocolError("an event of the stream is no JSON object", body=data)
    fields = cast("dict[str, Any]", value)
    if fields.get("choices") is None:
        fields["choices"] = []
    return convert(fields, ChatCompletionChunk, data)


def _with_arguments(completion: ChatCompletion) -> ChatCompletion:
    """Make empty arguments of tool calls ``{}``, which is what they mean (contract, 2.4)."""
    choices: list[Choice] = []
    for choice in completion.choices:
        message = choice.message
        if message.tool_calls:
            calls = [with_arguments(call) for call in message.tool_calls]
            message = msgspec.structs.replace(message, tool_calls=calls)
        choices.append(msgspec.structs.replace(choice, message=message))
    return msgspec.structs.replace(completion, choices=choices)


def with_arguments(call: ToolCall) -> ToolCall:
    """Make empty arguments of *call* ``{}``."""
    return call if call.function.arguments.strip() else without_arguments(call)


def without_arguments(call: ToolCall) -> ToolCall:
    """Make the arguments of *call* ``{}``."""
    return ToolCall(id=call.id, type=call.type, function=FunctionCall(name=call.function.name))


def is_object(text: str) -> bool:
    """Whether *text* is a JSON object."""
    try:
        _object.decode(text)
    except UNREADABLE:
        return False
    return True
