"""Python types ↔ JSON Schema: what a model is told about a type, and what it wrote back as a value.

msgspec does both for what it knows: structs, dataclasses, `TypedDict`, `Literal`, ``Annotated[...,
msgspec.Meta(...)]``, and what contains them. Pydantic's models join in by their own methods, and
what else is pydantic's by `adapted`, so that pydantic need not be installed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from types import NoneType, UnionType
from typing import Annotated, Any, Union, cast, get_args, get_origin

import msgspec
from msgspec.inspect import DataclassType, Field, Metadata, StructType, Type, multi_type_info

from acechat.errors import ConfigurationError

__all__ = ["SchemaMismatchError", "adapted", "convert_hook", "read", "schema_of"]

_REF = "#/$defs/"

# What msgspec and pydantic raise for types that they cannot describe; NameError is about a type
# named in quotes, RuntimeError may be a RecursionError.
_UNDESCRIBABLE = (TypeError, ValueError, NameError, RuntimeError)

_PYDANTICS = {"pydantic", "annotated_types"}
_LIMITS = ("gt", "ge", "lt", "le", "multiple_of", "pattern", "min_length", "max_length", "tz")
"""What msgspec's `Meta` says, and pydantic does not read."""


class SchemaMismatchError(ValueError):
    """JSON does not fit a type; its text says where, in words that a model understands."""


class _StandIn(type):
    """A class that msgspec does not know, in the place of a type that pydantic is to read."""

    adapter: Any
    """Pydantic's ``TypeAdapter`` of that type."""

    def __instancecheck__(cls, instance: object) -> bool:
        return True  # msgspec asks after `convert_hook`

    def model_json_schema(cls, *, ref_template: str) -> Any:
        return cls.adapter.json_schema(ref_template=ref_template)

    def model_validate_json(cls, data: bytes) -> Any:
        return cls.adapter.validate_json(data)


def adapted(kind: Any) -> Any:
    """Return the type *kind* with stand-ins for those of its parts that pydantic is to read.

    msgspec reads pydantic's dataclasses without what they check, passes over pydantic's ``Field``
    in an annotation, and refuses unions that hold a model.
    """
    pydantic: Any = sys.modules.get("pydantic")
    if pydantic is None:
        return kind
    if _is_for_pydantic(kind):
        with suppress(*_UNDESCRIBABLE):  # it cannot read a struct
            adapter = pydantic.TypeAdapter(kind)
            return _StandIn(_name(kind), (), {"adapter": adapter})
    parts = get_args(kind)
    new = tuple(map(adapted, parts))
    if all(one is other for one, other in zip(new, parts, strict=True)):
        return kind
    outside: Any = Union if _is_union(kind) else get_origin(kind)
    return outside[new]


def _is_for_pydantic(kind: Any) -> bool:
    parts = get_args(kind)
    if get_origin(kind) is Annotated:
        said = {type(part).__module__.partition(".")[0] for part in parts[1:]}
        return not said.isdisjoint(_PYDANTICS) and _is_for_both(parts[:1])
    if not _is_union(kind):
        return _is_pydantics(kind) and hasattr(kind, "__dataclass_fields__")
    members = [part for part in parts if part is not NoneType]
    others = [part for part in members if not _is_pydantics(part)]
    return len(members) > 1 and len(others) < len(members) and _is_for_both(others)


def _is_union(kind: Any) -> bool:
    return get_origin(kind) in {Union, UnionType}


def _is_pydantics(kind: Any) -> bool:
    return isinstance(kind, type) and hasattr(kind, "__pydantic_validator__")


def _is_for_both(kinds: Any) -> bool:
    """Whether pydantic would read *kinds* as msgspec does: without msgspec's own, and limits."""
    with suppress(*_UNDESCRIBABLE):
        return not any(
            isinstance(part, StructType | Metadata)
            or any(getattr(part, limit, None) is not None for limit in _LIMITS)
            for part in _parts(multi_type_info(kinds), set())
        )
    return False


def _parts(of: object, seen: set[int]) -> Iterator[Type | Field]:
    """Yield what msgspec knows about a type, and about the types in it."""
    if isinstance(of, tuple):
        for part in cast("tuple[object, ...]", of):
            yield from _parts(part, seen)
    elif isinstance(of, Type | Field) and id(of) not in seen:
        seen.add(id(of))
        yield of
        for name in of.__struct_fields__:
            yield from _parts(getattr(of, name), seen)


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
        if "pydantic" in sys.modules:
            _check_dataclasses(kind)
        (schema,), known = msgspec.json.schema_components(
            [kind], ref_template=_REF + "{name}", schema_hook=describe
        )
    except _UNDESCRIBABLE as error:
        reason = str(error).partition("\n\nFor further information")[0].splitlines()[-1]
        raise ConfigurationError(f"{_name(kind)} cannot be told as JSON: {reason}") from None
    named.update(known)
    if "$ref" in schema:
        top = named[schema.pop("$ref").removeprefix(_REF)]
        schema = {**top, **schema}
    return _with_definitions(schema, named)


def _check_dataclasses(kind: Any) -> None:
    """Refuse what msgspec would read without the checks that it promises."""
    for part in _parts(multi_type_info([kind]), set()):
        if isinstance(part, DataclassType) and _is_pydantics(part.cls):
            raise TypeError(
                f"{_name(part.cls)} is a pydantic dataclass, which only pydantic checks: it can be "
                "in a list, a union, …, or in what is pydantic's"
            )


def _name(kind: Any) -> str:
    if _is_union(kind):
        return "_or_".join(map(_name, get_args(kind)))
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
        SchemaMismatchError: It is no JSON, or of another type; the text says what and where.
    """
    try:
        return msgspec.json.decode(data, type=kind, dec_hook=convert_hook)
    except msgspec.ValidationError as error:
        reason = str(error)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        reason = f"this is no JSON: {error}" if data else "this is empty, not JSON"
    raise SchemaMismatchError(reason)


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
