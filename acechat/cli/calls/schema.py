"""``--schema``: a JSON Schema from a file, or from a short description, as an output type."""

from __future__ import annotations

import json
import re
from typing import Any

import click

from acechat import ConfigurationError, Output
from acechat.cli.content.paths import typed_path

__all__ = ["read_schema"]

_TYPES = {
    "str": "string",
    "string": "string",
    "text": "string",
    "int": "integer",
    "integer": "integer",
    "float": "number",
    "number": "number",
    "bool": "boolean",
    "boolean": "boolean",
}
_FIELD = re.compile(
    r"(?P<name>[A-Za-z_][A-Za-z0-9_.-]{0,63})(?:\s+(?P<type>[A-Za-z]+)(?P<many>\[\])?)?"
)


def read_schema(source: str) -> dict[str, Any]:
    """Return the JSON Schema that *source* is, names or describes.

    Args:
        source: A JSON Schema, the path of one, or fields such as ``name, age int, bio: one line``.

    Raises:
        BadParameter: It is none of these.
    """
    if source.lstrip().startswith("{"):
        return _checked(source, "the schema")
    path = typed_path(source)
    try:
        if path.is_file():
            return _checked(path.read_text("utf-8-sig"), repr(source))
    except (OSError, ValueError) as error:
        if source.endswith(".json"):
            raise _invalid(f"cannot read {source!r}: {error}") from None
    if source.endswith(".json"):
        raise _invalid(f"there is no file {source!r}")
    return _described(source)


def _invalid(reason: str) -> click.BadParameter:
    return click.BadParameter(reason, param_hint="'--schema'")


def _checked(text: str, name: str) -> dict[str, Any]:
    try:
        schema: dict[str, Any] = json.loads(text)
        Output.from_schema(schema)
    except ConfigurationError as error:
        raise _invalid(f"{name}: {error}") from None
    except (ValueError, RecursionError) as error:
        raise _invalid(f"{name} is not JSON: {error}") from None
    return schema


def _described(source: str) -> dict[str, Any]:
    """Return the schema of fields separated by commas, or by lines if there are several."""
    lines = source.strip().split("\n" if "\n" in source.strip() else ",")
    properties: dict[str, Any] = {}
    for line in filter(None, map(str.strip, lines)):
        field, _, description = line.partition(":")
        match = _FIELD.fullmatch(field.strip())
        if match is None:
            raise _invalid(
                f"cannot read the field {line!r}: expected 'name', 'name int' or "
                "'name int: description', or the path of a JSON Schema"
            )
        kind = _TYPES.get((match["type"] or "str").lower())
        if kind is None:
            raise _invalid(
                f"unknown type {match['type']!r} of the field {match['name']!r}: "
                "use str, int, float or bool"
            )
        if match["name"] in properties:
            raise _invalid(f"the field {match['name']!r} appears twice")
        entry: dict[str, Any] = {"type": kind}
        if match["many"]:
            entry = {"type": "array", "items": entry}
        if description.strip():
            entry["description"] = description.strip()
        properties[match["name"]] = entry
    if not properties:
        raise _invalid("it has no field: expected 'name, age int'")
    return {"type": "object", "properties": properties, "required": list(properties)}
