"""``--option KEY=VALUE``: the request's other fields, typed as the contract types them."""

from __future__ import annotations

import collections.abc
import types
from collections.abc import Iterable
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints, is_typeddict

import click
import msgspec

from acechat import ChatOptions

__all__ = ["complete_option", "read_options"]

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
