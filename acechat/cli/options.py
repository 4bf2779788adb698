"""Request fields given by ``--option``, and the token limits of the known models."""

from __future__ import annotations

import collections.abc
import types
from collections.abc import Iterable
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints, is_typeddict

import click
import msgspec
from msgspec import Struct

from acechat import ChatOptions

__all__ = ["Limits", "complete_model", "complete_option", "limits_of", "read_options"]

_HAS_FLAG = {
    "model": "--model",
    "system": "--system",
    "messages": "--load FILE",
    "stream": "--no-stream",
}


_FUNCTION: object = getattr(collections.abc, "Callable")  # noqa: B009 - the attribute has a partial type


_TYPE_NAMES = [
    (dict, "a JSON object"),
    (list, "a JSON array"),
    (float, "a number"),
    (int, "an integer"),
    (bool, "true or false"),
]


def complete_option(_: object, __: object, incomplete: str) -> list[str]:
    """Return the request fields that begin with *incomplete*, for shell completion."""
    return [f"{name}=" for name in ChatOptions.__annotations__ if name.startswith(incomplete)]


def read_options(pairs: Iterable[str]) -> ChatOptions:
    """Parse ``KEY=VALUE`` pairs into request fields.

    A value is parsed as JSON if that fits the field's type (``stop=["a","b"]``), else as text.

    Raises:
        click.BadParameter: A pair has no ``=``, an unknown field, or a value of a wrong type.
    """
    kinds = get_type_hints(ChatOptions)
    options: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        name = name.strip().replace("-", "_")
        if not equals:
            raise _invalid(f"expected KEY=VALUE such as max_tokens=100, not {pair!r}")
        if name not in kinds:
            raise _invalid(_unknown(name, kinds))
        options[name] = _typed(name, value, _plain(kinds[name]))
    return cast("ChatOptions", options)


def _invalid(reason: str) -> click.BadParameter:
    return click.BadParameter(reason, param_hint="'--option'")


def _unknown(name: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches

    if name in _HAS_FLAG:
        return f"use {_HAS_FLAG[name]} instead of the field {name!r}"
    close = get_close_matches(name, known, 1)
    hint = f"did you mean {close[0]!r}?" if close else f"known fields: {', '.join(sorted(known))}"
    return f"unknown field {name!r}: {hint}"


def _typed(name: str, value: str, kind: Any) -> Any:
    try:
        return msgspec.json.decode(value, type=kind)
    except (msgspec.DecodeError, UnicodeError):  # the value is text, not JSON
        pass
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError:
        wanted = " or ".join(word for type_, word in _TYPE_NAMES if type_ in _parts(kind))
        raise _invalid(f"{name} must be {wanted}, not {value!r}") from None


def _parts(kind: Any) -> set[Any]:
    members = get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    return {get_origin(member) or member for member in members}


def _is_function(kind: Any) -> bool:
    return get_origin(kind) is _FUNCTION


def _plain(kind: Any) -> Any:
    """Return *kind* as msgspec accepts it: a union may hold only one kind of dict.

    A Literal becomes str, because the service adds values more often than acechat is released.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in {Union, types.UnionType}:
        # Functions are tools in Python code; no text describes one.
        plain, *more = [_plain(member) for member in arguments if not _is_function(member)]
        for member in more:
            plain = plain | member
        return plain
    if origin is Literal:
        return str
    if origin is collections.abc.Sequence:
        return types.GenericAlias(list, _plain(arguments[0]))
    if origin is collections.abc.Mapping:
        return types.GenericAlias(dict, arguments)
    if is_typeddict(kind):
        return dict[str, Any]
    return kind


class Limits(Struct, frozen=True):
    """Token limits of a model; None if unknown."""

    context: int | None = None
    """Prompt and completion together."""

    output: int | None = None
    """Longest completion."""


_UNKNOWN = Limits()


_KNOWN = {
    Limits(1_000_000, 128_000): (
        "claude-fable-5-1",
        "claude-fable-5",
        "claude-opus-5",
        "claude-opus-4-8",
        "claude-opus-4-7",
        "claude-opus-4-6",
        "claude-sonnet-5",
    ),
    Limits(1_000_000, 64_000): ("claude-sonnet-4-6",),
    Limits(200_000, 64_000): (
        "claude-opus-4-5-20251101",
        "claude-sonnet-4-5-20250929",
        "claude-sonnet-4-20250514",
        "claude-3-7-sonnet-20250219",
        "claude-haiku-4-5-20251001",
    ),
    Limits(200_000, 32_000): ("claude-opus-4-1-20250805", "claude-opus-4-20250514"),
    Limits(200_000, 8_192): (
        "claude-3-5-sonnet-20241022",
        "claude-3-5-sonnet-20240620",
        "claude-3-5-haiku-20241022",
    ),
    Limits(200_000, 4_096): ("claude-3-haiku-20240307", "claude-3-sonnet-20240229"),
}


_BY_NAME = {name: limits for limits, names in _KNOWN.items() for name in names}


def limits_of(model: str) -> Limits:
    """Return the limits of *model*; `Limits()` for a model that is not in the list."""
    return _BY_NAME.get(model, _UNKNOWN)


def complete_model(_: object, __: object, incomplete: str) -> list[str]:
    """Return known models that begin with *incomplete*, for shell completion; sends no request."""
    return [name for name in _BY_NAME if name.startswith(incomplete)]
