"""The validity of a JSON Schema itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from acechat._tools.schemas.validation import TYPES, as_list, is_integer, is_number, resolve

__all__ = ["MAPS", "SCHEMAS", "SUBSCHEMAS", "check_schema", "keyword_problem"]


def _is_count(value: object) -> bool:
    return is_integer(value) and cast("float", value) >= 0


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(each, str) for each in cast("list[object]", value)
    )


def _are_lists_of_texts(value: object) -> bool:
    return isinstance(value, dict) and all(map(_are_texts, cast("dict[str, Any]", value).values()))


MAPS = ("properties", "patternProperties", "dependentSchemas", "$defs", "definitions")
"""Keywords whose value has a schema under each name."""

SUBSCHEMAS = ("allOf", "anyOf", "oneOf", "prefixItems")
"""Keywords whose value is a list of schemas."""

SCHEMAS = (
    "not", "if", "then", "else", "items", "contains", "propertyNames", "additionalProperties",
    "additionalItems",
)  # fmt: skip
"""Keywords whose value is a schema; ``items`` may be a list of them."""

_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_COUNTS = (
    "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties",
    "minContains", "maxContains",
)  # fmt: skip

_FORMS: dict[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(_NUMBERS, (is_number, "a number")),
    **dict.fromkeys(_COUNTS, (_is_count, "a count")),
    **dict.fromkeys(MAPS, (TYPES["object"], "an object")),
    **dict.fromkeys([*SUBSCHEMAS, "enum"], (TYPES["array"], "a list")),
    **dict.fromkeys(["pattern", "$ref"], (TYPES["string"], "a string")),
    "required": (_are_texts, "a list of names"),
    "dependentRequired": (_are_lists_of_texts, "an object of lists of names"),
    "uniqueItems": (TYPES["boolean"], "true or false"),
}
"""Keyword -> the test of its value, and the description of the values that pass it."""


def check_schema(schema: Mapping[str, Any]) -> str | None:
    """Return the reason why *schema* cannot be used; None if it can."""
    pending: list[Any] = [schema]
    while pending:
        one = pending.pop()
        if isinstance(one, bool):
            continue
        if not isinstance(one, dict):
            return f"{one!r} is not a schema"
        rules = cast("dict[str, Any]", one)
        for name, value in rules.items():
            if problem := keyword_problem(name, value, schema):
                return problem
        pending += [inner for name in MAPS for inner in rules.get(name, {}).values()]
        pending += [inner for name in SUBSCHEMAS for inner in rules.get(name, [])]
        pending += [inner for name in SCHEMAS if name in rules for inner in as_list(rules[name])]
    return None


def keyword_problem(name: str, value: Any, root: Mapping[str, Any]) -> str | None:
    """Return the reason why *value* cannot be that of the keyword *name*; None if it can.

    Schemas inside of *value* are not checked. References are resolved in *root*.
    """
    fits, form = _FORMS.get(name, (bool, ""))
    if form and not fits(value):
        return f"{name!r} is {value!r}, not {form}"
    match name:
        case "type":
            unknown = [each for each in as_list(value) if str(each) not in TYPES]
            return f"unknown type {unknown[0]!r}" if unknown else None
        case "$ref":
            return f"{value!r} refers to nothing in it" if resolve(value, root) is None else None
        case "multipleOf":
            return None if value > 0 else f"{name!r} is {value!r}"
        case "pattern" | "patternProperties":
            return _pattern_problem([value] if name == "pattern" else value)
        case _:
            return None


def _pattern_problem(patterns: Iterable[str]) -> str | None:
    for pattern in patterns:
        try:
            re.compile(pattern)
        except (re.error, OverflowError, RecursionError) as error:
            return f"invalid pattern {pattern!r}: {error}"
    return None
