"""Decode JSON bytes to structs: msgspec's typed decoder, then `lenient`, then `odd_json`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, cast

import msgspec
from msgspec import Struct

from acechat._wire.errors.response import error_from_value, find_trace_id, is_error
from acechat._wire.lenient import convert
from acechat._wire.odd_json import (
    Halves,
    decode_repaired,
    error_of_choice,
    has_too_many_values,
    normalize_choices,
    unwrap,
)
from acechat.errors import APIError, ProtocolError
from acechat.types import (
    AssistantMessage,
    ChatCompletion,
    Choice,
    FinishReason,
    FunctionCall,
    ToolCall,
    Usage,
)

__all__ = [
    "DECODE_ERRORS",
    "MAX_CALLS",
    "MAX_CHOICES",
    "SILENT_ENDS",
    "decode_completion",
    "decode_fast",
    "decode_fields",
    "decode_json",
    "is_object",
    "to_fields",
    "with_arguments",
    "without_arguments",
]


MAX_CHOICES, MAX_CALLS = 1024, 32_768
"""Limits of one response: several 100,000 of either would occupy the event loop for seconds."""


class _FastMessage(Struct, frozen=True):
    content: str | None = None
    reasoning_content: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    name: str | None = None
    reasoning: Any = None
    """The name of the reasoning in some channels (docs/api.md#completion-variants)."""

    error: None = None
    """Anything else is an error of the typed decoder."""


class _FastChoice(Struct):
    index: int = 0
    message: _FastMessage = _FastMessage()
    finish_reason: FinishReason | None = None
    logprobs: Any = None
    error: None = None


class _FastCompletion(Struct):
    choices: list[_FastChoice]
    id: str = ""
    object: str = "chat.completion"
    created: int | None = None
    model: str = ""
    usage: Usage | None = None
    system_fingerprint: str | None = None
    service_tier: str | None = None
    trace_id: str | None = None

    # Present in error bodies with status 200: a value is an error of the typed decoder.
    error: None = None
    success: None = None
    type: None = None


_decode = msgspec.json.Decoder(_FastCompletion).decode


def decode_fast(body: bytes) -> tuple[ChatCompletion, str | None] | None:
    """Decode a completion and its trace id; None if the body needs `decode_completion`.

    Raises:
        DECODE_ERRORS: As the typed decoder does.
    """
    decoded = _decode(body)
    if not decoded.choices:
        return None
    if len(decoded.choices) > MAX_CHOICES:
        raise ProtocolError(f"the response has more than {MAX_CHOICES:,} choices")
    choices: list[Choice] = []
    for choice in decoded.choices:
        message = choice.message
        if message.reasoning or choice.finish_reason == "error":
            return None
        if message.content is None and not message.tool_calls:
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


_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""Raised by msgspec for bytes that it cannot decode; the last two are Python's own."""


def decode_json(
    data: bytes,
    subject: str = "response",
    *,
    status: int | None = None,
    halves: Halves | None = None,
) -> Any:
    """Decode JSON to builtins, with the mistakes that `decode_repaired` accepts.

    Args:
        data: The JSON.
        subject: The name of *data* in the error.
        status: HTTP status of the response, for the error; None within a stream.
        halves: Characters split over events, see `join_halves`; None outside of streams.

    Raises:
        ProtocolError: *data* is not valid JSON.
    """
    reason = f"{subject} is empty"
    if not halves:
        try:
            return msgspec.json.decode(data)
        except DECODE_ERRORS as error:
            reason = f"{subject} is not valid JSON ({error})" if data else reason
    try:
        return decode_repaired(data, halves)
    except ValueError as error:
        reason = f"{subject} is not valid JSON ({error})" if halves else reason
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
        if not _has_content(completion):
            empty = ProtocolError("the response contains no completion", body=body, status=status)
            empty.partial = completion
            raise empty
    if calls := sum([len(choice.message.tool_calls or ()) for choice in completion.choices]):
        if calls > MAX_CALLS:
            raise ProtocolError(f"the response has more than {MAX_CALLS:,} tool calls", body=body)
        completion = _with_arguments(completion)
    return completion, find_trace_id(fields, headers)


def decode_fields(body: bytes) -> dict[str, Any]:
    """Return all fields of a *body* that `decode_completion` accepts.

    Only the known fields if one that the typed decoder skipped is nested too deeply.

    Raises:
        ProtocolError: Nested deeper than about a thousand levels, Python's limit.
    """
    with suppress(ProtocolError):
        return cast("dict[str, Any]", decode_json(body))
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
    if has_too_many_values(body):
        reason = "response of an unusual form has too many values"
        raise ProtocolError(reason, body=body, status=status)
    value = unwrap(decode_json(body, f"response ({kind})", status=status))
    if is_error(value):
        failure = error_from_value(value, headers, status=status, body=body)
        raise _with_partial(failure, cast("dict[str, Any]", value))
    if not isinstance(value, dict):
        raise ProtocolError("response is not a JSON object", body=body, status=status)
    fields = cast("dict[str, Any]", value)
    if not isinstance(fields.get("choices"), list):
        raise ProtocolError("response has no list 'choices'", body=body, status=status)
    if (error := error_of_choice(fields)) is not None:
        failure = error_from_value({"error": error}, headers, status=None, body=body)
        raise _with_partial(failure, fields)
    normalize_choices(fields, wanted="message")
    return fields


def _with_partial(failure: APIError, fields: dict[str, Any]) -> APIError:
    """Return *failure* with the completion beside it, if there is one."""
    with suppress(ProtocolError):
        normalize_choices(fields, wanted="message")
        completion = convert(fields, ChatCompletion, b"")
        failure.partial = completion if _has_content(completion) else None
    return failure


SILENT_ENDS = {None, "stop", "tool_calls", "function_call"}
"""Finish reasons that promise content; ``length`` and ``content_filter`` may come without any."""


def _has_content(completion: ChatCompletion) -> bool:
    """Return True if a choice has content, or a reason for having none."""
    return any(
        choice.message.content is not None
        or choice.message.reasoning_content
        or choice.message.refusal
        or choice.message.tool_calls
        or choice.finish_reason not in SILENT_ENDS
        for choice in completion.choices
    )


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
