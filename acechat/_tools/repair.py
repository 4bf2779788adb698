"""Accept JSON that means a value of a type, but writes a part of it in another form.

Channels of the service write integers as ``3.0``, which JSON Schema permits, and lists and objects
as strings that contain JSON.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import msgspec

__all__ = ["decode_repaired", "repair_at"]

_T = TypeVar("_T")

_MISMATCH = re.compile(r"Expected `([^`]*)`, got `(str|float)`(?: - at `\$([^`]*)`)?")
"""msgspec's message, with the expected types, the type found, and the path."""

_STEP = re.compile(r"\.([^.\[\]]+)|\[(?:\d+|\.\.\.)\]")

_MAX_REPAIRS = 256
"""Repaired paths of one value, such as the fields of a record; each costs a decoding."""

_MAX_INTEGER = 2.0**63
"""Larger floats are not exact enough to be meant as integers."""

_EACH = None
"""A step of a path: each item of a list, or each value of an object."""


def decode_repaired(decode: Callable[[bytes | str], _T], data: bytes | str) -> _T:
    """Decode *data*; if it does not match the type, decode it with repairs.

    Raises:
        msgspec.ValidationError: *data* does not match the type.
        msgspec.DecodeError: *data* is not JSON.
        UnicodeError: As above.
        RecursionError: It is nested too deeply.
    """
    try:
        return decode(data)
    except msgspec.ValidationError as error:
        mismatch = str(error)
    holder = [msgspec.json.decode(data)]
    for _ in range(_MAX_REPAIRS):
        path, kind = _repairable_path(mismatch)
        if not path or not repair_at(holder, path, kind):
            break
        try:
            return decode(msgspec.json.encode(holder[0]))
        except msgspec.ValidationError as error:
            mismatch = str(error)
    raise msgspec.ValidationError(mismatch)


def _repairable_path(mismatch: str) -> tuple[Sequence[str | None], type[float | str]]:
    """Return the path in msgspec's message, below a list, and the type of the value there.

    The path is empty for a mismatch that cannot be repaired.

    All items of a list are repaired at once, because each further message would cost a decoding.
    """
    found = _MISMATCH.fullmatch(mismatch)
    if found is None:
        return (), str
    expected, path = set(found[1].split(" | ")), found[3] or ""
    kind = float if found[2] == "float" else str
    if not expected & ({"int"} if kind is float else {"array", "object"}):
        return (), kind
    steps = list(_STEP.finditer(path))
    if "".join(step[0] for step in steps) != path:  # a field with such a character in its name
        return (), kind
    return [_EACH, *(step[1] for step in steps)], kind


def repair_at(holder: Any, path: Sequence[int | str | None], kind: type[float | str]) -> bool:
    """Repair the values of the type *kind* at *path*, in place; return whether one has changed."""
    *steps, last = path
    found: list[Any] = [holder]
    for step in steps:
        found = [container[key] for container in found for key in _keys(container, step)]
    changed = False
    for container in found:
        for key in _keys(container, last):
            old = container[key]
            new = _repaired(old) if isinstance(old, kind) else old
            if new is not old:
                container[key] = new
                changed = True
    return changed


def _keys(container: Any, step: int | str | None) -> list[Any]:
    """Return the keys or indices in *container* that *step* stands for; empty if it has none."""
    if isinstance(container, dict):
        entries = cast("dict[str, Any]", container)
        if step is _EACH:
            return list(entries)
        return [step] if step in entries else []
    if isinstance(container, list):
        size = len(cast("list[Any]", container))
        if step is _EACH:
            return list(range(size))
        return [step] if isinstance(step, int) and step < size else []
    return []


def _repaired(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer() and abs(value) < _MAX_INTEGER:
        return int(value)
    if isinstance(value, str) and value.lstrip()[:1] in {"[", "{"}:
        try:
            return msgspec.json.decode(value)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return value
    return value
