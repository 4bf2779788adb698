"""Structs ↔ JSON bytes.

Decoding has two tiers. The first is msgspec's typed decoder, straight from the bytes. What it
refuses is decoded to builtins, and `_salvage` keeps every field that fits.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from math import isfinite
from typing import Any, cast

import msgspec

from acechat._refusals import error_from_value, find_trace_id, is_refusal
from acechat._salvage import convert
from acechat._sse import Event
from acechat._told import decode_told
from acechat.errors import ConfigurationError, ProtocolError
from acechat.types import (
    ChatCompletion,
    ChatCompletionChunk,
    Choice,
    FunctionCall,
    ImagePart,
    Model,
    ToolCall,
    UserMessage,
)

__all__ = [
    "UNREADABLE",
    "decode_chunk",
    "decode_completion",
    "decode_fields",
    "decode_json",
    "decode_models",
    "decode_plain_chunk",
    "encode",
    "is_object",
    "with_arguments",
    "without_arguments",
]

_chunk = msgspec.json.Decoder(ChatCompletionChunk)
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encoder = msgspec.json.Encoder()

_LARGE = 2**20
"""Characters from which on a request holds a picture, most likely."""

_MARKUP = 2**14
"""Bytes of a request beside its pictures; where there are more, msgspec makes room."""

_SHORT = 2**16
"""Bytes up to which a request is searched sooner than walked."""

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that it cannot decode; the last two are not its own."""


def encode(body: Mapping[str, Any]) -> bytes | bytearray:
    """Write a request.

    Returns:
        Bytes; of a request with large pictures a bytearray, so that nothing is ever there twice.
        msgspec makes room for half as much again where it is not told how much there will be.

    Raises:
        ConfigurationError: It holds what JSON cannot: NaN, infinity or a lone surrogate.
        TypeError: It holds an object that is no JSON.
    """
    try:
        size = _size_of_pictures(body.get("messages"))
        if size < _LARGE:
            written: bytes | bytearray = _encoder.encode(body)
        else:
            written = room = bytearray(size + _MARKUP)
            _encoder.encode_into(body, room)
        # msgspec makes null of NaN and infinity; to look for it in pictures takes too long.
        if len(written) > _SHORT or b"null" in written:
            _refuse_numbers(body)
    except RecursionError:
        raise ConfigurationError("the request is nested too deep, or holds itself") from None
    except UnicodeEncodeError as error:
        raise ConfigurationError(
            f"the request holds {error.object[error.start]!r}, half of a character, "
            "which cannot be sent"
        ) from None
    return written


def _refuse_numbers(value: object, path: str = "") -> None:
    """Raise for the first number that is not finite, and say where it is."""
    if isinstance(value, float):
        if not isfinite(value):
            raise ConfigurationError(f"{path[1:]} is {value}, which JSON cannot hold")
    elif isinstance(value, Mapping):
        for key, inner in cast("Mapping[Any, Any]", value).items():
            _refuse_numbers(inner, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(cast("list[Any]", value)):
            _refuse_numbers(inner, f"{path}[{number}]")


def _size_of_pictures(messages: list[object] | None) -> int:
    """Return how many characters the pictures have that users show."""
    size = 0
    if type(messages) is list:  # extra_body may make them anything
        for message in messages:
            if isinstance(message, UserMessage) and not isinstance(message.content, str):
                for part in message.content:
                    if isinstance(part, ImagePart):
                        size += len(part.image_url.url)
    return size


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
        told = decode_told(body)
    if told is not None:
        completion, trace_id = told
        fields: dict[str, Any] = {"trace_id": trace_id}
    else:
        fields = _answer(body, headers, status)
        completion = convert(fields, ChatCompletion, body, status)
    if any(choice.message.tool_calls for choice in completion.choices):
        completion = _with_arguments(completion)
    return completion, find_trace_id(fields, headers)


def decode_fields(body: bytes) -> dict[str, Any] | None:
    """Decode every field of a *body* that was decoded to an answer.

    None where a field is broken that the typed decoder skipped, because it does not know it.
    """
    try:
        return cast("dict[str, Any]", msgspec.json.decode(body))
    except UNREADABLE:
        return None


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


def decode_models(body: bytes) -> list[Model]:
    """Decode ``GET /v1/models``: ``{"data": [{"id": …}, …]}``.

    Raises:
        ProtocolError: It has no such list.
    """
    value = decode_json(body, "the list of models")
    entries = cast("dict[str, Any]", value).get("data") if isinstance(value, dict) else None
    if not isinstance(entries, list):
        raise ProtocolError("the list of models has no data", body=body)
    return [convert(entry, Model, body) for entry in cast("list[dict[str, Any]]", entries)]


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
