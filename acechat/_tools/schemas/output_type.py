"""A type for structured output, made of a JSON Schema."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, cast

from acechat._tools.schemas.check import check_schema
from acechat._tools.schemas.validation import resolve, violation
from acechat.errors import ConfigurationError

__all__ = ["type_of_schema"]

_DATA = {"enum", "const", "default", "examples"}
"""Keywords whose value is no schema."""

_UNSAFE = re.compile(r"[^a-zA-Z0-9_.-]")
_UNIONS = {"anyOf", "oneOf", "allOf", "not", "if", "enum", "const", "$ref"}


class _OfSchema(type):
    """A type whose values are those that its schema permits.

    It has the two methods of pydantic's models that are called for types that msgspec does not
    know (`acechat._tools.schema`).
    """

    schema: dict[str, Any]

    def __instancecheck__(cls, instance: object) -> bool:
        return True  # model_validate_json has checked it

    def model_json_schema(cls, *, ref_template: str) -> dict[str, Any]:
        """Return the schema, with all schemas that it refers to under ``$defs``."""
        top = {
            key: value
            for key, value in cls.schema.items()
            if key not in {"$schema", "$id", "$defs", "definitions"}
        }
        if "type" not in top and "properties" in top:
            top["type"] = "object"
        if not top or _UNIONS & top.keys():  # not accepted at the top of a tool's parameters
            top = {"allOf": [top]}
        names: dict[str, str] = {}
        definitions: dict[str, Any] = {}
        schema = _renamed(top, names, ref_template)
        while pending := [reference for reference in names if names[reference] not in definitions]:
            for reference in pending:
                found = resolve(reference, cls.schema)
                definitions[names[reference]] = _renamed(found, names, ref_template)
        return {**schema, "$defs": definitions} if definitions else schema

    def model_validate_json(cls, data: bytes) -> object:
        """Decode *data*.

        Raises:
            ValueError: The schema does not permit the value; the message has its path.
        """
        value: object = json.loads(data)
        if problem := violation(value, cls.schema):
            raise ValueError(problem)
        return value


def _renamed(schema: Any, names: dict[str, str], template: str) -> Any:
    """Return *schema* with its references renamed; add their new names to *names*."""
    if isinstance(schema, dict):
        rules = cast("dict[str, Any]", schema)
        if isinstance(rules.get("items"), list):  # the form until draft 2019-09
            rest = {"items": rules["additionalItems"]} if "additionalItems" in rules else {}
            kept = {key: rules[key] for key in rules if key not in {"items", "additionalItems"}}
            rules = {**kept, "prefixItems": rules["items"], **rest}
        renamed: dict[str, Any] = {}
        for key, value in rules.items():
            if key == "$ref" and isinstance(value, str):
                name = _UNSAFE.sub("_", value.rpartition("/")[2]) or "root"
                taken = {each for reference, each in names.items() if reference != value}
                names.setdefault(value, f"{name}{len(names)}" if name in taken else name)
                renamed[key] = template.format(model=names[value])
            elif key in _DATA:
                renamed[key] = value
            elif key not in {"$defs", "definitions"}:
                renamed[key] = _renamed(value, names, template)
        return renamed
    if isinstance(schema, list):
        return [_renamed(value, names, template) for value in cast("list[Any]", schema)]
    return schema


def type_of_schema(schema: Mapping[str, Any]) -> type[Any]:
    """Return a type for `Output` whose values, decoded JSON, are those that *schema* permits.

    Raises:
        ConfigurationError: *schema* is no JSON Schema.
    """
    given: Any = schema
    if not isinstance(given, Mapping):
        raise ConfigurationError(f"a JSON Schema is an object, not {given!r}")
    rules: dict[str, Any] = dict(schema)
    if problem := check_schema(rules):
        raise ConfigurationError(f"this is no JSON Schema: {problem}")
    return _OfSchema("Schema", (), {"schema": rules})
