"""Convert decoded JSON to structs, dropping optional fields of the wrong type.

A billed completion must not be lost because the type of ``created`` changed.
"""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal
from functools import lru_cache
from types import UnionType
from typing import Any, TypeVar, Union, cast, get_args, get_origin

import msgspec
from msgspec import Struct

from acechat.errors import ProtocolError
from acechat.types import Cost

__all__ = ["convert"]

_T = TypeVar("_T")

_ESSENTIAL = {
    "choices",
    "message",
    "delta",
    "content",
    "tool_calls",
    "function",
}
"""Fields that carry the completion: a wrong type here is an error; other fields are dropped."""


class _UnfitError(Exception):
    """A value does not fit its declared type."""


def convert(fields: dict[str, Any], cls: type[_T], data: bytes, status: int | None = None) -> _T:
    """Convert decoded JSON to *cls*, dropping optional fields that do not fit.

    Args:
        fields: The decoded JSON object.
        cls: A struct type.
        data: The bytes that *fields* were decoded from, for the error.
        status: HTTP status of the response, for the error; None within a stream.

    Raises:
        ProtocolError: A required or essential field does not fit.
    """
    reason = ""
    try:
        converted = msgspec.convert(fields, cls)
    except msgspec.ValidationError as error:
        reason = f"response does not match the schema: {error}"
        try:
            converted = cast("_T", _fit(fields, cls))
        except _UnfitError:
            converted = None
    if converted is None:
        raise ProtocolError(reason, body=data, status=status)
    if hasattr(converted, "usage") and b'"cost"' in data:  # last: lists have many
        return cast("_T", _with_exact_cost(converted, data))
    return converted


class _Charge(Struct):
    cost: Cost | None = None


class _Charged(Struct):
    usage: _Charge | None = None


_charged = msgspec.json.Decoder(_Charged)


def _with_exact_cost(completion: Any, data: bytes) -> Any:
    """Read the cost from the JSON text: floats would round its digits."""
    charge = None
    with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        charge = _charged.decode(data).usage
    if charge is None or charge.cost is None or completion.usage is None:
        return completion
    usage = msgspec.structs.replace(completion.usage, cost=charge.cost)
    return msgspec.structs.replace(completion, usage=usage)


def _fit(value: Any, kind: Any) -> Any:
    """Convert *value* to *kind*, dropping optional fields that do not fit."""
    try:
        fitted = msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError:
        pass
    else:
        if not isinstance(fitted, Decimal) or fitted.is_finite():
            return fitted
    if get_origin(kind) in {Union, UnionType}:
        for option in get_args(kind):
            try:
                return _fit(value, option)
            except _UnfitError:
                continue
    elif get_origin(kind) is list and isinstance(value, list):
        (item,) = get_args(kind)
        return [_fit(entry, item) for entry in cast("list[Any]", value)]
    elif isinstance(kind, type) and issubclass(kind, Struct) and isinstance(value, dict):
        return _fit_struct(cast("dict[str, Any]", value), kind)
    elif kind is int and isinstance(value, float) and value.is_integer():
        return int(value)
    elif kind is str and isinstance(value, list):
        return _joined(cast("list[Any]", value))
    raise _UnfitError


_fields = lru_cache(maxsize=64)(msgspec.structs.fields)
"""Looking them up anew takes most of the time of a conversion (measured)."""


def _fit_struct(value: dict[str, Any], kind: type[Struct]) -> Struct:
    kept: dict[str, Any] = {}
    for field in _fields(kind):
        found = value.get(field.encode_name)
        if found is None or (found in ("", {}, False) and field.encode_name == "tool_calls"):
            continue
        if field.name == "arguments" and not isinstance(
            found, str
        ):  # the arguments themselves, not their JSON text
            try:
                found = msgspec.json.encode(found).decode()
            except RecursionError:
                raise _UnfitError from None
        try:
            kept[field.name] = _fit(found, field.type)
        except _UnfitError:
            if field.encode_name in _ESSENTIAL or field.required:
                raise
    try:
        return kind(**kept)
    except TypeError:  # a required field is missing
        raise _UnfitError from None


def _joined(parts: list[Any]) -> str:
    """Join the texts of *parts*: some servers return content as a list of parts."""
    found = [
        cast("dict[str, Any]", part).get("text") if isinstance(part, dict) else part
        for part in parts
    ]
    texts = [text for text in found if isinstance(text, str)]
    if parts and not texts:
        raise _UnfitError
    return "".join(texts)
