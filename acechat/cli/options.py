"""Options of a request on the command line, and what is known of models."""

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

_OWN = {
    "model": "--model",
    "system": "--system",
    "messages": "--load FILE",
    "stream": "--no-stream",
}


_FUNCTION: object = getattr(collections.abc, "Callable")  # noqa: B009 - else of a partial type


_WORDS = [
    (dict, "a JSON object"),
    (list, "a JSON list"),
    (float, "a number"),
    (int, "a whole number"),
    (bool, "true or false"),
]


def complete_option(_: object, __: object, incomplete: str) -> list[str]:
    """Return the fields that begin so, for the shell."""
    return [f"{name}=" for name in ChatOptions.__annotations__ if name.startswith(incomplete)]


def read_options(pairs: Iterable[str]) -> ChatOptions:
    """Read what the command line says of the request.

    A value is JSON where the field is (``stop=["a","b"]``), and text where it is text.

    Raises:
        click.BadParameter: There is no such field, or it cannot have that value.
    """
    kinds = get_type_hints(ChatOptions)
    options: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        name = name.strip().replace("-", "_")
        if not equals:
            raise _wrong(f"{pair!r} is no KEY=VALUE: --option max_tokens=100")
        if name not in kinds:
            raise _wrong(_unknown(name, kinds))
        options[name] = _typed(name, value, _plain(kinds[name]))
    return cast("ChatOptions", options)


def _wrong(reason: str) -> click.BadParameter:
    return click.BadParameter(reason, param_hint="'--option'")


def _unknown(name: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches

    if name in _OWN:
        return f"{name!r} has an option of its own: {_OWN[name]}"
    close = get_close_matches(name, known, 1)
    hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(sorted(known))}"
    return f"unknown field {name!r}: {hint}"


def _typed(name: str, value: str, kind: Any) -> Any:
    try:
        return msgspec.json.decode(value, type=kind)
    except (msgspec.DecodeError, UnicodeError):  # it is text, not JSON
        pass
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError:
        wanted = " or ".join(word for type_, word in _WORDS if type_ in _parts(kind))
        raise _wrong(f"{name} must be {wanted}, not {value!r}") from None


def _parts(kind: Any) -> set[Any]:
    members = get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    return {get_origin(member) or member for member in members}


def _is_function(kind: Any) -> bool:
    return get_origin(kind) is _FUNCTION


def _plain(kind: Any) -> Any:
    """Return *kind* as msgspec can read it: it knows no union of two kinds of dict.

    The words of a Literal stay open, because the models' change faster than acechat.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in {Union, types.UnionType}:
        # A function, which Python code may give as a tool, cannot be typed on a command line.
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
    """In tokens; None where nobody has said."""

    context: int | None = None
    """Of the request and the answer together."""

    answer: int | None = None
    """Of the longest answer."""


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
    """Return the limits of *model*; `Limits()` for one that is newer than the list."""
    return _BY_NAME.get(model, _UNKNOWN)


def complete_model(_: object, __: object, incomplete: str) -> list[str]:
    """Return the models that begin so, for the shell: it has no time to ask the service."""
    return [name for name in _BY_NAME if name.startswith(incomplete)]
