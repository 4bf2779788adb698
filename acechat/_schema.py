"""Python types ↔ JSON Schema: what a model is told about a type, and what it wrote back as a value.

msgspec does both for what it knows: structs, dataclasses, `TypedDict`, `Literal`, ``Annotated[...,
msgspec.Meta(...)]``, and what contains them. Pydantic's models join in by their own methods, so
that pydantic need not be installed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import msgspec

from acechat.errors import ConfigurationError

__all__ = ["MisfitError", "convert_hook", "read", "schema_of"]

_REF = "#/$defs/"

# What msgspec raises for types that it cannot describe; NameError is about a type named in quotes.
_UNDESCRIBABLE = (TypeError, ValueError, NameError, RecursionError)


class MisfitError(ValueError):
    """JSON does not fit a type; its text says where, in words that a model understands."""


def schema_of(kind: Any) -> dict[str, Any]:
    """Describe the type *kind*.

    Returns:
        A schema that needs nothing else: a struct's own fields stand at the top, and the types
        that they name in ``$defs``.

    Raises:
        ConfigurationError: JSON cannot hold such a type.
    """
    named: dict[str, Any] = {}

    def describe(custom: Any) -> dict[str, Any]:
        if not hasattr(custom, "model_json_schema"):
            raise NotImplementedError
        # Its definitions are named after it: msgspec may know others of the same name.
        template = f"{_REF}{custom.__name__}.{{model}}"
        schema: dict[str, Any] = custom.model_json_schema(ref_template=template)
        for name, inner in schema.pop("$defs", {}).items():
            named[f"{custom.__name__}.{name}"] = inner
        return schema

    try:
        (schema,), known = msgspec.json.schema_components(
            [kind], ref_template=_REF + "{name}", schema_hook=describe
        )
    except _UNDESCRIBABLE as error:
        reason = str(error).splitlines()[-1]
        raise ConfigurationError(f"{_name(kind)} cannot be told as JSON: {reason}") from None
    named.update(known)
    if "$ref" in schema:
        top = named[schema.pop("$ref").removeprefix(_REF)]
        schema = {**top, **schema}
    return _with_definitions(schema, named)


def _name(kind: Any) -> str:
    return getattr(kind, "__name__", None) or str(kind)


def _with_definitions(schema: dict[str, Any], named: dict[str, Any]) -> dict[str, Any]:
    """Add what *schema* refers to, and what that refers to."""
    used: dict[str, Any] = {}
    waiting = [schema]
    while waiting:
        for name in _references(waiting.pop()):
            if name not in used:
                used[name] = named[name]
                waiting.append(named[name])
    return {**schema, "$defs": used} if used else schema


def _references(schema: Any) -> Iterator[str]:
    """Yield the names that *schema* refers to."""
    if isinstance(schema, dict):
        for key, value in cast("dict[str, Any]", schema).items():
            if key == "$ref" and isinstance(value, str):
                yield value.removeprefix(_REF)
            else:
                yield from _references(value)
    elif isinstance(schema, list):
        for value in cast("list[Any]", schema):
            yield from _references(value)


def read(kind: Any, data: bytes | str) -> Any:
    """Read the JSON *data* as a value of the type *kind*.

    Raises:
        MisfitError: It is no JSON, or of another type; the text says what is wrong, and where.
    """
    try:
        return msgspec.json.decode(data, type=kind, dec_hook=convert_hook)
    except msgspec.ValidationError as error:
        reason = str(error)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        reason = f"this is no JSON: {error}" if data else "this is empty, not JSON"
    raise MisfitError(reason)


def convert_hook(kind: Any, value: Any) -> Any:
    """Make a value of a type that msgspec does not know: it is pydantic's, see `schema_of`."""
    try:
        return kind.model_validate_json(msgspec.json.encode(value))
    except ValueError as error:
        problems: Any = getattr(error, "errors", None)
        if problems is None:
            raise
        told = [f"{_path(one['loc'])}{one['msg']}" for one in problems(include_url=False)]
    raise ValueError("; ".join(told))  # msgspec adds where


def _path(place: tuple[int | str, ...]) -> str:
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place)
    return f"{path.removeprefix('.')}: " if path else ""
