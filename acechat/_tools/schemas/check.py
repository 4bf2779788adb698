"""The validity of a JSON Schema itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from acechat._tools.schemas.validation import TYPES, as_list, is_integer, is_number, resolve

__all__ = ["check_schema"]

_FORMS: dict[str, tuple[Callable[[Any], bool], Sequence[str]]] = {
    "a number": (
        is_number,
        ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"],
    ),
    "a count": (
        lambda value: is_integer(value) and value >= 0,
        ["minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties",
         "minContains", "maxContains"],
    ),
    "an object": (
        TYPES["object"],
        ["properties", "patternProperties", "dependentRequired", "dependentSchemas", "$defs",
         "definitions"],
    ),
    "a list": (TYPES["array"], ["enum", "required", "allOf", "anyOf", "oneOf", "prefixItems"]),
    "a string": (TYPES["string"], ["pattern", "$ref"]),
    "true or false": (TYPES["boolean"], ["uniqueItems"]),
}  # fmt: skip
"""Form of a value -> its test, and the keywords that need it."""

_MAPS = ("properties", "patternProperties", "dependentSchemas", "$defs", "definitions")
"""Keywords whose value has a schema under each name."""

_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_SCHEMAS = (
    "not", "if", "then", "else", "items", "contains", "propertyNames", "additionalProperties",
    "additionalItems",
)  # fmt: skip


def check_schema(schema: Mapping[str, Any]) -> str | None:
    """Return the reason why *schema* cannot be used; None if it can."""
    pending: list[Any] = [schema]
    while pending:
        rules = pending.pop()
        if isinstance(rules, bool):
            continue
        if not isinstance(rules, dict):
            return f"{rules!r} is not a schema"
        problem, inner = _check_rules(cast("dict[str, Any]", rules), schema)
        if problem:
            return problem
        pending += inner
    return None


def _check_rules(rules: dict[str, Any], root: Mapping[str, Any]) -> tuple[str | None, list[Any]]:
    """Return the reason why the keywords of one schema cannot be used, and the schemas in it."""
    for form, (fits, names) in _FORMS.items():
        for name in names:
            if name in rules and not fits(rules[name]):
                return f"{name!r} is {rules[name]!r}, not {form}", []
    for name in as_list(rules.get("type", [])):
        if not isinstance(name, str) or name not in TYPES:
            return f"unknown type {name!r}", []
    if "$ref" in rules and resolve(rules["$ref"], root) is None:
        return f"{rules['$ref']!r} refers to nothing in it", []
    if rules.get("multipleOf", 1) <= 0:
        return f"'multipleOf' is {rules['multipleOf']!r}", []
    patterns = [rules["pattern"]] if "pattern" in rules else []
    for pattern in [*patterns, *rules.get("patternProperties", {})]:
        try:
            re.compile(pattern)
        except (re.error, OverflowError, RecursionError) as error:
            return f"invalid pattern {pattern!r}: {error}", []
    inner = [one for name in _MAPS for one in rules.get(name, {}).values()]
    inner += [one for name in _LISTS for one in rules.get(name, [])]
    return None, inner + [one for name in _SCHEMAS if name in rules for one in as_list(rules[name])]
