"""A value that fits a JSON Schema, as small as the schema allows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

__all__ = ["example_of"]

_LEAST = (("minimum", 0), ("exclusiveMinimum", 1))
_MOST = (("maximum", 0), ("exclusiveMaximum", -1))
_DEEPEST = 20
"""Levels after which a schema that contains itself ends, in null."""


def example_of(schema: Mapping[str, Any]) -> Any:
    """Make a value of *schema*: required properties only, the first of an enum, the least else.

    Patterns, formats and multiples are not looked at.
    """
    return _example(schema, schema, _DEEPEST)


def _example(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> Any:
    if not depth:
        return None
    if "$ref" in schema:
        return _example(_resolve(str(schema["$ref"]), root), root, depth - 1)
    if "const" in schema:
        return schema["const"]
    for key in ("enum", "anyOf", "oneOf", "allOf"):
        options = cast("list[Any]", schema.get(key) or [])
        if options:
            return options[0] if key == "enum" else _example(options[0], root, depth - 1)
    kind: object = schema.get("type", "object" if "properties" in schema else None)
    if isinstance(kind, list):
        kind = next(iter(cast("list[object]", kind)), None)
    if kind == "object":
        properties = cast("dict[str, dict[str, Any]]", schema.get("properties") or {})
        names = cast("list[str]", schema.get("required") or [])
        return {name: _example(properties.get(name, {}), root, depth - 1) for name in names}
    if kind == "array":
        return _items(schema, root, depth - 1)
    if kind == "string":
        return "x" * int(schema.get("minLength") or 0)
    if kind in {"integer", "number"}:
        return _number(schema)
    return False if kind == "boolean" else None


def _items(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> list[Any]:
    """As many items as there must be; those of a tuple have a schema each."""
    each = cast("list[dict[str, Any]]", schema.get("prefixItems") or [])
    rest = schema.get("items")
    more = max(int(schema.get("minItems") or 0) - len(each), 0)
    every = [*each, *[cast("dict[str, Any]", rest) if isinstance(rest, dict) else {}] * more]
    return [_example(item, root, depth) for item in every]


def _number(schema: Mapping[str, Any]) -> float:
    """The number nearest to 0 within the bounds, by whole steps from those that are excluded."""
    least = [schema[key] + step for key, step in _LEAST if key in schema]
    most = [schema[key] + step for key, step in _MOST if key in schema]
    return cast("float", min([max([0, *least]), *most]))


def _resolve(reference: str, root: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Any = root
    for name in reference.removeprefix("#").split("/")[1:]:
        key = name.replace("~1", "/").replace("~0", "~")
        inner = cast("Mapping[str, Any]", found).get(key) if isinstance(found, Mapping) else None
        found = cast("Any", inner)
    return cast("Mapping[str, Any]", found) if isinstance(found, Mapping) else {}
