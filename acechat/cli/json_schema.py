"""Types of msgspec from a JSON Schema, for ``acechat batch --schema``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Union, cast

import msgspec
from msgspec import UNSET, Meta, UnsetType

from acechat.errors import ConfigurationError

__all__ = ["type_of"]

_IGNORED = {"title", "$schema", "$id", "$defs", "definitions", "default", "examples", "format"}
_SIMPLE: dict[str, Any] = {
    "string": str, "integer": int, "number": float, "boolean": bool, "null": None,
}  # fmt: skip
_LIMITS = {
    "minimum": "ge", "maximum": "le", "exclusiveMinimum": "gt", "exclusiveMaximum": "lt",
    "multipleOf": "multiple_of", "minLength": "min_length", "maxLength": "max_length",
    "minItems": "min_length", "maxItems": "max_length", "pattern": "pattern",
    "description": "description",
}  # fmt: skip
_STRUCTURE = {
    "type", "enum", "const", "anyOf", "oneOf", "$ref", "properties", "required", "items",
    "additionalProperties",
}  # fmt: skip


def type_of(schema: Mapping[str, Any]) -> Any:
    """Return a type whose values are those that *schema* permits.

    Raises:
        ConfigurationError: The schema uses a keyword that is not supported, or refers to itself.
    """
    return _type(schema, schema, ())


def _type(schema: Any, root: Mapping[str, Any], way: tuple[str, ...]) -> Any:
    if not isinstance(schema, dict):
        raise ConfigurationError(f"the JSON Schema has {schema!r} where an object must be")
    fields = cast("dict[str, Any]", schema)
    unknown = fields.keys() - _IGNORED - _LIMITS.keys() - _STRUCTURE
    if unknown:
        raise ConfigurationError(f"the JSON Schema uses {min(unknown)!r}, which is not supported")
    limits = {_LIMITS[name]: value for name, value in fields.items() if name in _LIMITS}
    plain = _plain(fields, root, way)
    return Annotated[plain, Meta(**limits)] if limits else plain


def _plain(fields: dict[str, Any], root: Mapping[str, Any], way: tuple[str, ...]) -> Any:
    if "$ref" in fields:
        return _referred(str(fields["$ref"]), root, way)
    values = [fields["const"]] if "const" in fields else fields.get("enum")
    if values is not None:
        return Literal[tuple(values)]
    parts = fields.get("anyOf") or fields.get("oneOf")
    if parts is not None:
        return _union([_type(part, root, way) for part in parts])
    kind = fields.get("type", "object" if "properties" in fields else None)
    if isinstance(kind, list):
        kinds = cast("list[str]", kind)
        return _union([_plain({**fields, "type": each}, root, way) for each in kinds])
    if kind == "array":
        item: Any = _type(fields.get("items", {}), root, way)
        return list[item]
    if kind == "object":
        return _object(fields, root, way)
    if kind is None:
        return Any
    if kind not in _SIMPLE:
        raise ConfigurationError(f"the JSON Schema has the unknown type {kind!r}")
    return _SIMPLE[kind]


def _union(kinds: list[Any]) -> Any:
    return Union[tuple(kinds)]  # noqa: UP007 - of types that are known at run time only


def _referred(name: str, root: Mapping[str, Any], way: tuple[str, ...]) -> Any:
    if name in way:
        raise ConfigurationError(f"the JSON Schema refers to itself: {name}")
    found: Any = root
    for part in name.removeprefix("#").strip("/").split("/"):
        found = cast("dict[str, Any]", found).get(part) if isinstance(found, dict) else None
    return _type(found, root, (*way, name))


def _object(fields: dict[str, Any], root: Mapping[str, Any], way: tuple[str, ...]) -> Any:
    properties = cast("dict[str, Any]", fields.get("properties") or {})
    if not properties:
        return dict[str, Any]
    required = set(fields.get("required", ()))
    members: list[Any] = []
    names = {f"field_{number}": name for number, name in enumerate(properties)}
    for field, name in names.items():
        kind = _type(properties[name], root, way)
        members.append((field, kind) if name in required else (field, kind | UnsetType, UNSET))
    return msgspec.defstruct(
        str(fields.get("title") or "Answer"),
        members,
        kw_only=True,
        rename=names,
        forbid_unknown_fields=fields.get("additionalProperties") is False,
    )
