"""Decoded JSON → structs, though some of it does not fit.

An answer that was paid for is not lost because ``created`` changed its type.
"""

from __future__ import annotations

from decimal import Decimal
from types import UnionType
from typing import Any, TypeVar, Union, cast, get_args, get_origin

import msgspec
from msgspec import Struct

from acechat.errors import ProtocolError

__all__ = ["convert"]

_T = TypeVar("_T")

_PRECIOUS = {
    "choices",
    "message",
    "delta",
    "content",
    "tool_calls",
    "function",
}
"""Fields that carry the answer: one that does not fit is an error, not a loss."""


class _UnfitError(Exception):
    """A value has not the type that it should."""


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
                found = msgspec.json.encode(found).decode()
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
