"""A value that fits a JSON Schema, as empty as the schema allows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

__all__ = ["example_of"]

_EMPTY: dict[str, Any] = {"string": "", "integer": 0, "number": 0, "boolean": False, "array": []}
_DEEPEST = 20
"""Levels after which a schema that contains itself ends, in null."""


def example_of(schema: Mapping[str, Any]) -> Any:
    """Make a value of *schema*: required properties only, the first of an enum, else nothing.

    Lengths and ranges are not looked at.
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
    return _EMPTY.get(str(kind))


def _resolve(reference: str, root: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Any = root
    for name in reference.removeprefix("#").split("/")[1:]:
        key = name.replace("~1", "/").replace("~0", "~")
        inner = cast("Mapping[str, Any]", found).get(key) if isinstance(found, Mapping) else None
        found = cast("Any", inner)
    return cast("Mapping[str, Any]", found) if isinstance(found, Mapping) else {}
