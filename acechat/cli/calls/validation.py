"""Validation of JSON values against a JSON Schema, with the keywords that models are given."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

__all__ = ["check_schema", "violation"]

_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "integer": lambda value: (
        (isinstance(value, int) or (isinstance(value, float) and value.is_integer()))
        and not isinstance(value, bool)
    ),
}

_LIMITS: dict[str, tuple[type | tuple[type, ...], Callable[[Any, Any], bool], str]] = {
    "minimum": ((int, float), lambda value, limit: value >= limit, "must be at least {}"),
    "maximum": ((int, float), lambda value, limit: value <= limit, "must be at most {}"),
    "exclusiveMinimum": ((int, float), lambda value, limit: value > limit, "must be over {}"),
    "exclusiveMaximum": ((int, float), lambda value, limit: value < limit, "must be below {}"),
    "multipleOf": (
        (int, float),
        lambda value, step: math.isclose(value / step, round(value / step), abs_tol=1e-9),
        "must be a multiple of {}",
    ),
    "minLength": (str, lambda value, limit: len(value) >= limit, "needs {} characters or more"),
    "maxLength": (str, lambda value, limit: len(value) <= limit, "has more than {} characters"),
    "pattern": (
        str,
        lambda value, pattern: re.search(pattern, value) is not None,
        "does not match {}",
    ),
    "minItems": (list, lambda value, limit: len(value) >= limit, "needs {} items or more"),
    "maxItems": (list, lambda value, limit: len(value) <= limit, "has more than {} items"),
    "uniqueItems": (
        list,
        lambda value, unique: (
            not unique or not any(item in value[:at] for at, item in enumerate(value))
        ),
        "has equal items",
    ),
    "minProperties": (dict, lambda value, limit: len(value) >= limit, "needs {} fields or more"),
    "maxProperties": (dict, lambda value, limit: len(value) <= limit, "has more than {} fields"),
}
"""Keyword -> the type it applies to, the test, and the message."""

_MAX_DEPTH = 100


def violation(value: object, schema: Mapping[str, Any]) -> str | None:
    """Return the first reason why *schema* does not permit *value*, with its path; None if it does.

    Unknown keywords are ignored, as the specification demands.
    """
    return next(_violations(value, schema, schema, "", 0), None)


def check_schema(schema: Mapping[str, Any]) -> str | None:
    """Return the reason why *schema* cannot be used; None if it can."""
    pending: list[Any] = [schema]
    while pending:
        one = pending.pop()
        if isinstance(one, list):
            pending += cast("list[Any]", one)
        if not isinstance(one, dict):
            continue
        fields = cast("dict[str, Any]", one)
        for name in _list(fields.get("type", [])):
            if name not in _TYPES and not isinstance(name, dict):
                return f"unknown type {name!r}"
        reference = fields.get("$ref")
        if isinstance(reference, str) and _resolved(reference, schema) is None:
            return f"{reference!r} refers to nothing in it"
        pattern = fields.get("pattern")
        if isinstance(pattern, str):
            try:
                re.compile(pattern)
            except re.error as error:
                return f"invalid pattern {pattern!r}: {error}"
        pending += [
            value
            for key, value in fields.items()
            if key not in {"enum", "const", "default", "examples"}
        ]
    return None


def _list(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else [value]


def _resolved(reference: str, root: Mapping[str, Any]) -> Any:
    if reference == "#":
        return root
    found: Any = root
    for step in reference.removeprefix("#/").split("/"):
        key = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, dict) or key not in found:
            return None
        found = cast("dict[str, Any]", found)[key]
    return found


def _violations(
    value: Any, schema: Any, root: Mapping[str, Any], path: str, depth: int
) -> Iterator[str]:
    at = f"{path.removeprefix('.')}: " if path else ""
    if schema is False:
        yield f"{at}not permitted"
    if not isinstance(schema, dict) or depth > _MAX_DEPTH:
        return
    rules = cast("dict[str, Any]", schema)
    if "$ref" in rules:
        yield from _violations(value, _resolved(rules["$ref"], root), root, path, depth + 1)
    types = _list(rules.get("type", list(_TYPES)))
    if not any(_TYPES[name](value) for name in types):
        yield f"{at}must be {' or '.join(types)}"
        return
    if "enum" in rules and not any(_equal(value, one) for one in rules["enum"]):
        yield f"{at}must be one of {rules['enum']}"
    if "const" in rules and not _equal(value, rules["const"]):
        yield f"{at}must be {rules['const']!r}"
    yield from (f"{at}{message}" for message in _beyond_limits(value, rules))
    yield from _combined(value, rules, root, path, depth)
    if isinstance(value, dict):
        yield from _fields(cast("dict[str, Any]", value), rules, root, path, depth)
    elif isinstance(value, list):
        items = rules.get("items", True)
        first = rules.get("prefixItems", [])
        for index, item in enumerate(cast("list[Any]", value)):
            rule = first[index] if index < len(first) else items
            yield from _violations(item, rule, root, f"{path}[{index}]", depth + 1)


def _beyond_limits(value: Any, rules: dict[str, Any]) -> Iterator[str]:
    if isinstance(value, bool):
        return
    for keyword, (kind, fits, message) in _LIMITS.items():
        limit = rules.get(keyword)
        if limit is not None and isinstance(value, kind) and not fits(value, limit):
            yield message.format(limit)


def _fields(
    value: dict[str, Any], rules: dict[str, Any], root: Mapping[str, Any], path: str, depth: int
) -> Iterator[str]:
    known: dict[str, Any] = rules.get("properties", {})
    patterns: dict[str, Any] = rules.get("patternProperties", {})
    at = f"{path.removeprefix('.')}: " if path else ""
    for name in rules.get("required", []):
        if name not in value:
            yield f"{at}missing field {name!r}"
    for name, inner in value.items():
        matching = [known[name]] if name in known else []
        matching += [rule for pattern, rule in patterns.items() if re.search(pattern, name)]
        if not matching and rules.get("additionalProperties") is False:
            yield f"{at}unknown field {name!r}"
            continue
        for rule in matching or [rules.get("additionalProperties", True)]:
            yield from _violations(inner, rule, root, f"{path}.{name}", depth + 1)


def _combined(
    value: Any, rules: dict[str, Any], root: Mapping[str, Any], path: str, depth: int
) -> Iterator[str]:
    def problems(rule: Any) -> list[str]:
        found = next(_violations(value, rule, root, path, depth + 1), None)
        return [found] if found else []

    at = f"{path.removeprefix('.')}: " if path else ""
    for rule in rules.get("allOf", []):
        yield from problems(rule)
    for keyword in ("anyOf", "oneOf"):
        if keyword in rules:
            results = [problems(rule) for rule in rules[keyword]]
            fitting = sum(not one for one in results)
            if not fitting:
                yield next(filter(None, results), [f"{at}matches no alternative"])[0]
            elif keyword == "oneOf" and fitting > 1:
                yield f"{at}matches {fitting} alternatives of oneOf, not one"
    if "not" in rules and not problems(rules["not"]):
        yield f"{at}matches the schema of 'not'"


def _equal(one: Any, other: Any) -> bool:
    return (type(one) is type(other) and one == other) or (
        _TYPES["number"](one) and _TYPES["number"](other) and one == other
    )
