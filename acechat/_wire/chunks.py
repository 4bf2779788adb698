"""Decode the events of a stream to chunks, merge their usage, convert a completion to a chunk."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from typing import Any, cast

import msgspec

from acechat._wire.decode import DECODE_ERRORS, decode_json
from acechat._wire.errors.response import error_from_value, is_error
from acechat._wire.lenient import convert
from acechat._wire.odd_json import (
    Halves,
    error_of_choice,
    has_too_many_values,
    normalize_choices,
    unwrap,
)
from acechat._wire.sse import Event
from acechat.errors import ProtocolError
from acechat.types import (
    ChatCompletion,
    ChatCompletionChunk,
    ChunkChoice,
    Delta,
    FunctionCallDelta,
    ToolCallDelta,
    Usage,
)

__all__ = [
    "add_missing",
    "as_chunk",
    "chunks_of_halves",
    "decode_beside_error",
    "decode_chunk",
    "decode_head",
    "decode_plain_chunk",
    "is_odd",
    "merge_logprobs",
    "merge_usage",
    "merge_usage_fields",
]

_chunk = msgspec.json.Decoder(ChatCompletionChunk)
_encoder = msgspec.json.Encoder(decimal_format="number")

_OTHER_FORM = re.compile(rb'"(?:message|text|error)"\s*:')
"""A field that has the content, or an error, in a choice without content."""

decode_plain_chunk = _chunk.decode
"""The typed decoder alone: its result may be an error event; it raises `DECODE_ERRORS`."""


def decode_chunk(
    data: bytes, headers: Mapping[str, str], halves: Halves | None = None
) -> ChatCompletionChunk | None:
    """Decode the data of one event of a stream; None if it has no meaning for the completion.

    Args:
        data: The event's data.
        headers: Of the response, names in lower case.
        halves: Characters split over events, see `join_halves`; changed in place.

    Raises:
        APIError: The event is an error.
        ProtocolError: The event is neither a chunk nor an error.
    """
    try:
        chunk = _chunk.decode(data)
    except DECODE_ERRORS:
        chunk = None
    if chunk is None or chunk.error or halves or is_odd(chunk, data):
        return _decode_odd_chunk(data, headers, halves)
    if not chunk.choices and (isinstance(data, Event) or b'"success"' in data):
        with suppress(ProtocolError):  # malformed in a field that the typed decoder skips
            _decode_odd_chunk(data, headers)  # raises if it is an error
    return chunk


def is_odd(chunk: ChatCompletionChunk, data: bytes) -> bool:
    """Return True if a choice of *chunk* may have content or an error in an unusual field."""
    searched = found = False
    for choice in chunk.choices:
        delta = choice.delta
        if choice.finish_reason == "error":
            return True
        if not (delta.content or delta.tool_calls or delta.reasoning_content):
            if not searched:
                searched, found = True, _OTHER_FORM.search(data) is not None
            if found:
                return True
    return False


def _decode_value(data: bytes, halves: Halves | None) -> object:
    if has_too_many_values(data):
        raise ProtocolError("stream event of an unusual form has too many values", body=data)
    return unwrap(decode_json(data, "stream event", halves=halves))


def _decode_odd_chunk(
    data: bytes, headers: Mapping[str, str], halves: Halves | None = None
) -> ChatCompletionChunk | None:
    if not data.strip():
        return None
    kind = data.type if isinstance(data, Event) else "message"
    try:
        value = _decode_value(data, halves)
    except ProtocolError:
        if kind == "message":
            raise
        if kind != "error":
            return None  # a heartbeat, say
        value = {"message": data.decode(errors="replace")}
    if kind == "error" or is_error(value):
        raise error_from_value(value, headers, status=None, body=data)
    if not isinstance(value, dict):
        if kind != "message":
            return None
        raise ProtocolError("stream event is not a JSON object", body=data)
    fields = cast("dict[str, Any]", value)
    if (error := error_of_choice(fields)) is not None:
        raise error_from_value({"error": error}, headers, status=None, body=data)
    fields.pop("error", None)  # without members, else it was raised
    return _as_chunk(fields, data)


def _as_chunk(fields: dict[str, Any], data: bytes) -> ChatCompletionChunk:
    normalize_choices(fields, wanted="delta")
    if fields.get("choices") is None:
        fields["choices"] = []
    return convert(fields, ChatCompletionChunk, data)


def decode_head(data: bytes) -> ChatCompletionChunk:
    """Decode the fields of an event that was added before; its choices may have failed."""
    with suppress(*DECODE_ERRORS):
        return _chunk.decode(data)
    return decode_chunk(data, {}) or ChatCompletionChunk(choices=[])


def decode_beside_error(data: bytes) -> tuple[ChatCompletionChunk, bytes] | None:
    """Decode the choices of an event that contains an error, too.

    Returns:
        The chunk and its JSON without the error; None if there are no usable choices.
    """
    if has_too_many_values(data):
        return None
    with suppress(ProtocolError):
        value = unwrap(decode_json(data))
        if isinstance(value, dict):
            fields = cast("dict[str, Any]", value)
            if fields.get("choices"):
                fields.pop("error", None)
                chunk = _as_chunk(fields, data)
                return chunk, _encoder.encode(chunk)
    return None


def chunks_of_halves(halves: Halves) -> list[ChatCompletionChunk]:
    """Return chunks with U+FFFD for each character that was begun and not continued."""
    chunks: list[ChatCompletionChunk] = []
    for number, name, call in halves:
        value: Any = "\ufffd"
        if name == "tool_calls":
            value = [{"index": call, "function": {"arguments": value}}]
        choice = ChunkChoice(msgspec.convert({name: value}, Delta), number)
        chunks.append(ChatCompletionChunk([choice]))
    return chunks


def merge_usage(old: Usage | None, new: Usage) -> Usage:
    """Merge the usage of two events, see `merge_usage_fields`."""
    if old is None:
        return new
    one, other = (
        cast("dict[str, Any]", msgspec.to_builtins(usage, builtin_types=(Decimal,)))
        for usage in (old, new)
    )
    return msgspec.convert(merge_usage_fields(one, other), Usage)


def merge_usage_fields(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Merge the usage of two events, field by field; neither is changed.

    A later value replaces an earlier one unless it is 0 or missing: some services report the tokens
    of the prompt in the first event and those of the completion in the last one. A total that one
    of them computed without knowing the other part is corrected.
    """
    if not old:
        return new
    merged = _merged(old, new)
    for name, value in merged.items():
        known = old.get(name)
        if isinstance(value, dict) and isinstance(known, dict):
            merged[name] = _merged(cast("dict[str, Any]", known), cast("dict[str, Any]", value))
    prompt, completion = merged.get("prompt_tokens"), merged.get("completion_tokens")
    total = merged.get("total_tokens") or 0
    counts = (prompt, completion, total)
    if prompt and completion and all(isinstance(count, int) for count in counts):
        merged["total_tokens"] = max(total, prompt + completion)
    return merged


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    return old | {name: value for name, value in new.items() if value or old.get(name) is None}


def as_chunk(completion: ChatCompletion) -> tuple[ChatCompletionChunk, bytes]:
    """Convert a complete completion to the one chunk of an equivalent stream, and its JSON."""
    choices: list[ChunkChoice] = []
    for choice in completion.choices:
        message = choice.message
        calls = [
            ToolCallDelta(
                index=number,
                id=call.id,
                type=call.type,
                function=FunctionCallDelta(call.function.name, call.function.arguments),
            )
            for number, call in enumerate(message.tool_calls or ())
        ]
        delta = Delta(
            content=message.content,
            role=message.role,
            reasoning_content=message.reasoning_content,
            refusal=message.refusal,
            tool_calls=calls or None,
        )
        choices.append(ChunkChoice(delta, choice.index, choice.finish_reason, choice.logprobs))
    chunk = ChatCompletionChunk(
        choices=choices,
        id=completion.id,
        created=completion.created,
        model=completion.model,
        system_fingerprint=completion.system_fingerprint,
        service_tier=completion.service_tier,
        usage=completion.usage,
    )
    return chunk, _encoder.encode(chunk)


def merge_logprobs(parts: Sequence[Any]) -> Any:
    """Join the log probabilities of all chunks: ``{"content": [one entry per token]}`` each."""
    if not parts:
        return None
    merged: dict[str, Any] = {}
    for part in parts:
        fields = cast("dict[str, Any]", part) if isinstance(part, dict) else {}
        for key, value in fields.items():
            known = merged.get(key)
            if isinstance(value, list):
                if not isinstance(known, list):
                    known = merged[key] = []
                cast("list[Any]", known).extend(cast("list[Any]", value))
            elif known is None:
                merged[key] = value
    return merged or parts[-1]


def add_missing(known: dict[str, Any], fields: dict[str, Any], skip: str = "") -> None:
    """Add the *fields* missing in *known*, in time proportional to *fields* alone.

    ``fields.keys() - known.keys()`` would iterate over *known* for each event.
    """
    for key, value in fields.items():
        if key != skip and key not in known:
            known[key] = value
