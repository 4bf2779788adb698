"""Structs ↔ JSON bytes.

Decoding has two tiers. The first is msgspec's typed decoder, straight from the bytes. What it
refuses is decoded to builtins, and `_salvage` keeps every field that fits: an answer that was paid
for is not lost because ``created`` changed its type.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from decimal import Decimal
from math import isfinite
from types import UnionType
from typing import Any, TypeVar, Union, cast, get_args, get_origin

import msgspec
from msgspec import Struct

from acechat._refusals import error_from_value, find_trace_id, is_refusal
from acechat._sse import Event
from acechat._told import decode_told
from acechat.errors import ConfigurationError, ProtocolError
from acechat.types import (
    ChatCompletion,
    ChatCompletionChunk,
    Choice,
    FunctionCall,
    Model,
    ToolCall,
)

__all__ = [
    "UNREADABLE",
    "convert",
    "decode_chunk",
    "decode_completion",
    "decode_fields",
    "decode_json",
    "decode_models",
    "decode_plain_chunk",
    "encode",
]

_T = TypeVar("_T")

_chunk = msgspec.json.Decoder(ChatCompletionChunk)
_encoder = msgspec.json.Encoder()

_PRECIOUS = {
    "choices",
    "message",
    "delta",
    "content",
    "tool_calls",
    "function",
}
"""Fields that carry the answer: one that does not fit is an error, not a loss."""


UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that it cannot decode; the last two are not its own."""


class _UnfitError(Exception):
    """A value has not the type that it should."""


def encode(body: Mapping[str, Any]) -> bytes:
    """Write a request.

    Raises:
        ConfigurationError: It holds what JSON cannot: NaN, infinity or a lone surrogate.
        TypeError: It holds an object that is no JSON.
    """
    try:
        for name, value in body.items():
            _check_numbers(value, name)
        return _encoder.encode(body)
    except RecursionError:
        raise ConfigurationError("the request is nested too deep, or holds itself") from None
    except UnicodeEncodeError as error:
        raise ConfigurationError(
            f"the request holds {error.object[error.start]!r}, half of a character, "
            "which cannot be sent"
        ) from None


def _check_numbers(value: object, path: str) -> None:
    if isinstance(value, float):
        if not isfinite(value):
            raise ConfigurationError(f"{path} is {value}, which JSON cannot hold")
    elif isinstance(value, dict):
        for key, inner in cast("dict[Any, Any]", value).items():
            _check_numbers(inner, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(cast("list[Any]", value)):
            _check_numbers(inner, f"{path}[{number}]")


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
    if call.function.arguments.strip():
        return call
    return ToolCall(id=call.id, type=call.type, function=FunctionCall(name=call.function.name))


def convert(fields: dict[str, Any], cls: type[_T], data: bytes, status: int | None = None) -> _T:
    """Make a struct of decoded JSON, leaving out the fields that do not fit.

    Raises:
        ProtocolError: One does not fit that may not be left out.
    """
    try:
        return msgspec.convert(fields, cls)
    except msgspec.ValidationError as error:
        reason = f"the answer has another form ({error})"
    try:
        return cast("_T", _salvage(fields, cls))
    except _UnfitError:
        raise ProtocolError(reason, body=data, status=status) from None


def _salvage(value: Any, kind: Any) -> Any:
    """Convert *value* to *kind*, leaving out the fields that do not fit."""
    try:
        fit = msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError:
        pass
    else:
        if not isinstance(fit, Decimal) or fit.is_finite():
            return fit
    if get_origin(kind) in {Union, UnionType}:
        for option in get_args(kind):
            try:
                return _salvage(value, option)
            except _UnfitError:
                continue
    elif get_origin(kind) is list and isinstance(value, list):
        (item,) = get_args(kind)
        return [_salvage(entry, item) for entry in cast("list[Any]", value)]
    elif isinstance(kind, type) and issubclass(kind, Struct) and isinstance(value, dict):
        return _salvage_struct(cast("dict[str, Any]", value), kind)
    elif kind is int and isinstance(value, float) and value.is_integer():
        return int(value)
    elif kind is str and isinstance(value, list):
        return _joined(cast("list[Any]", value))
    raise _UnfitError


def _salvage_struct(value: dict[str, Any], kind: type[Struct]) -> Struct:
    kept: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        found = value.get(field.encode_name)
        if found is None or (found in ("", {}, False) and field.encode_name == "tool_calls"):
            continue
        if field.name == "arguments" and not isinstance(found, str):  # a value, not its text
            try:
                found = _encoder.encode(found).decode()
            except RecursionError:
                raise _UnfitError from None
        try:
            kept[field.name] = _salvage(found, field.type)
        except _UnfitError:
            if field.encode_name in _PRECIOUS or field.required:
                raise
    try:
        return kind(**kept)
    except TypeError:  # a required field is missing
        raise _UnfitError from None


def _joined(parts: list[Any]) -> str:
    """Join the texts of *parts*: some servers answer in parts, as requests may be written."""
    told = [
        cast("dict[str, Any]", part).get("text") if isinstance(part, dict) else part
        for part in parts
    ]
    texts = [text for text in told if isinstance(text, str)]
    if parts and not texts:
        raise _UnfitError
    return "".join(texts)
