"""``--schema``: a JSON Schema from a file, or from a short description, as an output type."""

from __future__ import annotations

import json
import re
from typing import Any, cast

import click

from acechat import Output
from acechat.cli.calls.validation import check_schema, violation
from acechat.cli.content.paths import typed_path

__all__ = ["output_type", "read_schema"]

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
_UNIONS = {"anyOf", "oneOf", "allOf", "not", "enum", "const", "$ref"}


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
        schema = json.loads(text)
    except ValueError as error:
        raise _invalid(f"{name} is not JSON: {error}") from None
    if not isinstance(schema, dict):
        raise _invalid(f"{name} is not a JSON Schema: it must be an object")
    schema = cast("dict[str, Any]", schema)
    if problem := check_schema(schema):
        raise _invalid(f"{name} is not a JSON Schema: {problem}")
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


class _Schema(type):
    """A type whose values are those that its schema permits.

    It has the two methods of pydantic's models that `Output` calls for types it does not know.
    """

    schema: dict[str, Any]

    def __instancecheck__(cls, instance: object) -> bool:
        return True  # model_validate_json has checked it

    def model_json_schema(cls, *, ref_template: str) -> dict[str, Any]:
        """Return the schema, with its definitions under ``$defs``."""
        schema = cast("dict[str, Any]", json.loads(json.dumps(cls.schema)))
        schema.pop("$schema", None)
        definitions: dict[str, Any] = {
            **(schema.pop("definitions", None) or {}),
            **(schema.pop("$defs", None) or {}),
        }
        if "type" not in schema and "properties" in schema:
            schema["type"] = "object"
        if _UNIONS & schema.keys():  # not accepted at the top of a tool's parameters
            schema = {"allOf": [schema]}
        schema = cast("dict[str, Any]", _with_references(schema, ref_template))
        if definitions:
            schema["$defs"] = _with_references(definitions, ref_template)
        return schema

    def model_validate_json(cls, data: bytes) -> object:
        """Decode *data*.

        Raises:
            ValueError: The schema does not permit the value; the message has its path.
        """
        value: object = json.loads(data)
        if problem := violation(value, cls.schema):
            raise ValueError(problem)
        return value


def _with_references(schema: Any, template: str) -> Any:
    if isinstance(schema, dict):
        fields = cast("dict[str, Any]", schema)
        return {
            key: template.format(model=value.rpartition("/")[2])
            if key == "$ref" and isinstance(value, str) and value.count("/") > 1
            else _with_references(value, template)
            for key, value in fields.items()
        }
    if isinstance(schema, list):
        return [_with_references(value, template) for value in cast("list[Any]", schema)]
    return schema


def output_type(schema: dict[str, Any]) -> Output[Any]:
    """Return the output type whose values are those that *schema* permits."""
    kind = _Schema("Schema", (), {"schema": schema})
    return Output(kind)
