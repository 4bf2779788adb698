"""Python types → JSON Schema, and JSON → values of these types.

msgspec does both for the types it supports: structs, dataclasses, `TypedDict`, `Literal`,
``Annotated[..., msgspec.Meta(...)]``, and containers of them. Pydantic models use their own
methods. Other types of pydantic are replaced by `adapted`. pydantic is never imported here.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from types import NoneType, UnionType
from typing import Annotated, Any, TypeAlias, TypeGuard, Union, cast, get_args, get_origin

import msgspec
from msgspec.inspect import (
    DataclassType,
    Field,
    Metadata,
    StructType,
    Type,
    TypedDictType,
    multi_type_info,
)

from acechat._tools.descriptions import field_texts
from acechat._tools.repair import decode_repaired, repair_at
from acechat.errors import ConfigurationError

__all__ = ["SchemaMismatchError", "adapted", "convert_hook", "read", "schema_of"]

_REF = "#/$defs/"

_UNSAFE = re.compile(r"[^a-zA-Z0-9_.-]")
"""Characters that a URI fragment, which a reference is, cannot contain."""

_Record: TypeAlias = StructType | DataclassType | TypedDictType

# Raised by msgspec and pydantic for unsupported types. NameError: a forward reference that cannot
# be resolved. RuntimeError includes RecursionError.
_UNSUPPORTED = (TypeError, ValueError, NameError, RuntimeError)

_PYDANTIC_MODULES = {"pydantic", "annotated_types"}
_REPAIRABLE = {
    "dataclass_type",
    "dict_type",
    "frozen_set_type",
    "int_type",
    "list_type",
    "model_attributes_type",
    "model_type",
    "set_type",
    "tuple_type",
}
"""Kinds of pydantic's errors that `repair_at` can remove."""

_MAX_REPAIRS = 4
"""Validations of one value: JSON in a string may contain JSON in a string."""

_CONSTRAINTS = ("gt", "ge", "lt", "le", "multiple_of", "pattern", "min_length", "max_length", "tz")
"""Constraints of msgspec's `Meta`, which pydantic ignores."""


class SchemaMismatchError(ValueError):
    """JSON does not match a type; the message, sent to the model, has the reason and the path."""


class _StandIn(type):
    """A class unknown to msgspec that stands for a type that pydantic handles."""

    adapter: Any
    """Pydantic's ``TypeAdapter`` of that type."""

    def __instancecheck__(cls, instance: object) -> bool:
        return True  # msgspec checks the value that `convert_hook` returned

    def model_json_schema(cls, *, ref_template: str) -> Any:
        return cls.adapter.json_schema(ref_template=ref_template)

    def model_validate_json(cls, data: bytes) -> Any:
        return cls.adapter.validate_json(data)


def adapted(kind: Any) -> Any:
    """Return the type *kind* with the parts that need pydantic replaced by stand-ins.

    msgspec decodes pydantic's dataclasses without validation, ignores pydantic's ``Field`` in an
    annotation, and does not support unions with a model.
    """
    pydantic: Any = sys.modules.get("pydantic")
    if pydantic is None:
        return kind
    if _needs_pydantic(kind):
        with suppress(*_UNSUPPORTED):  # pydantic does not support structs
            adapter = pydantic.TypeAdapter(kind)
            return _StandIn(_name(kind), (), {"adapter": adapter})
    parts = get_args(kind)
    new = tuple(map(adapted, parts))
    if all(one is other for one, other in zip(new, parts, strict=True)):
        return kind
    origin: Any = Union if _is_union(kind) else get_origin(kind)
    return origin[new]


def _needs_pydantic(kind: Any) -> bool:
    parts = get_args(kind)
    if get_origin(kind) is Annotated:
        modules = {type(part).__module__.partition(".")[0] for part in parts[1:]}
        return not modules.isdisjoint(_PYDANTIC_MODULES) and _is_equal_in_both(parts[:1])
    if not _is_union(kind):
        return _is_pydantic_class(kind) and hasattr(kind, "__dataclass_fields__")
    members = [part for part in parts if part is not NoneType]
    others = [part for part in members if not _is_pydantic_class(part)]
    return len(members) > 1 and len(others) < len(members) and _is_equal_in_both(others)


def _is_union(kind: Any) -> bool:
    return get_origin(kind) in {Union, UnionType}


def _is_pydantic_class(kind: Any) -> bool:
    return isinstance(kind, type) and hasattr(kind, "__pydantic_validator__")


def _is_equal_in_both(kinds: Any) -> bool:
    """Return True if msgspec and pydantic treat *kinds* alike: no structs, no constraints."""
    with suppress(*_UNSUPPORTED):
        return not any(
            isinstance(part, StructType | Metadata)
            or any(getattr(part, limit, None) is not None for limit in _CONSTRAINTS)
            for part in _parts(multi_type_info(kinds), set())
        )
    return False


def _parts(of: object, seen: set[int]) -> Iterator[Type | Field]:
    """Yield msgspec's description of a type and of the types in it."""
    if isinstance(of, tuple):
        for part in cast("tuple[object, ...]", of):
            yield from _parts(part, seen)
    elif isinstance(of, Type | Field) and id(of) not in seen:
        seen.add(id(of))
        yield of
        for name in of.__struct_fields__:
            yield from _parts(getattr(of, name), seen)


def schema_of(kind: Any) -> dict[str, Any]:
    """Return the JSON Schema of the type *kind*.

    Returns:
        A self-contained schema: the fields of a struct are at the top level, the types that they
        refer to in ``$defs``.

    Raises:
        ConfigurationError: JSON cannot represent the type.
    """
    named: dict[str, Any] = {}
    prefixes: dict[Any, str] = {}

    def describe(custom: Any) -> dict[str, Any]:
        if not hasattr(custom, "model_json_schema"):
            raise NotImplementedError
        # The prefix keeps its definitions apart from those of the same name of other types.
        prefix = prefixes.get(custom)
        if prefix is None:
            prefix = _UNSAFE.sub("_", custom.__name__)
            prefix += str(len(prefixes)) if prefix in prefixes.values() else ""
            prefixes[custom] = prefix
        template = f"{_REF}{prefix}.{{model}}"
        schema: dict[str, Any] = custom.model_json_schema(ref_template=template)
        for name, inner in schema.pop("$defs", {}).items():
            named[f"{prefix}.{name}"] = inner
        return schema

    try:
        if "pydantic" in sys.modules:
            _check_dataclasses(kind)
        records = [part for part in _parts(multi_type_info([kind]), set()) if _is_record(part)]
        schemas, known = msgspec.json.schema_components(
            [kind, *(record.cls for record in records)],
            ref_template=_REF + "{name}",
            schema_hook=describe,
        )
    except _UNSUPPORTED as error:
        reason = str(error).partition("\n\nFor further information")[0].splitlines()[-1]
        raise ConfigurationError(
            f"cannot build a JSON Schema for {_name(kind)}: {reason}"
        ) from None
    named.update(known)
    schema, *references = schemas
    for record, reference in zip(records, references, strict=True):
        _add_texts(record, named[reference["$ref"].removeprefix(_REF)])
    if "$ref" in schema:
        top = named[schema.pop("$ref").removeprefix(_REF)]
        schema = {**top, **schema}
    return _with_definitions(schema, named)


def _is_record(part: Type | Field) -> TypeGuard[_Record]:
    return isinstance(part, _Record)


def _add_texts(record: _Record, schema: dict[str, Any]) -> None:
    """Add the texts of ``Annotated[..., "text"]`` to the fields in the *schema* of a class."""
    texts = field_texts(record.cls)
    if not texts:
        return
    properties: dict[str, Any] = schema.get("properties", {})  # none if it is written as an array
    for field in record.fields:
        if field.name in texts and field.encode_name in properties:
            properties[field.encode_name].setdefault("description", texts[field.name])


def _check_dataclasses(kind: Any) -> None:
    """Raise TypeError for a pydantic dataclass that msgspec would decode without validation."""
    for part in _parts(multi_type_info([kind]), set()):
        if isinstance(part, DataclassType) and _is_pydantic_class(part.cls):
            raise TypeError(
                f"{_name(part.cls)} is a pydantic dataclass, which only pydantic validates: use it "
                "in a list, a union or a pydantic type"
            )


def _name(kind: Any) -> str:
    if _is_union(kind):
        return "_or_".join(map(_name, get_args(kind)))
    return getattr(kind, "__name__", None) or str(kind)


def _with_definitions(schema: dict[str, Any], named: dict[str, Any]) -> dict[str, Any]:
    """Add the definitions that *schema* refers to, directly or through others."""
    used: dict[str, Any] = {}
    pending = [schema]
    while pending:
        for name in _references(pending.pop()):
            if name not in used:
                used[name] = named[name]
                pending.append(named[name])
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
    """Decode the JSON *data* as a value of the type *kind*.

    Raises:
        SchemaMismatchError: *data* is not JSON or does not match the type.
    """
    decoder = msgspec.json.Decoder(kind, dec_hook=convert_hook)
    try:
        return decode_repaired(decoder.decode, data)
    except msgspec.ValidationError as error:
        reason = str(error)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        reason = f"invalid JSON: {error}" if data else "empty text instead of JSON"
    raise SchemaMismatchError(reason)


def convert_hook(kind: Any, value: Any) -> Any:
    """Convert *value* to a type unknown to msgspec, which is a pydantic model or a stand-in."""
    problems: list[Any] = []
    for _ in range(_MAX_REPAIRS):
        try:
            return kind.model_validate_json(msgspec.json.encode(value))
        except ValueError as error:
            details: Any = getattr(error, "errors", None)
            if details is None:
                raise
            problems = details(include_url=False)
        holder = [value]
        repaired = [
            repair_at(holder, (0, *one["loc"]), float if one["type"] == "int_type" else str)
            for one in problems
            if one["type"] in _REPAIRABLE
        ]
        (value,) = holder
        if not any(repaired):
            break
    messages = [f"{_path(one['loc'])}{one['msg']}" for one in problems]
    raise ValueError("; ".join(messages))  # msgspec adds the path


def _path(location: tuple[int | str, ...]) -> str:
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location)
    return f"{path.removeprefix('.')}: " if path else ""
