"""Validation of JSON values against a JSON Schema."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

__all__ = [
    "MAX_STEPS",
    "TYPES",
    "Validation",
    "as_list",
    "is_integer",
    "is_number",
    "item_rules",
    "resolve",
    "violation",
]


def is_number(value: object) -> bool:
    """Return True for a number that is no boolean."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_integer(value: Any) -> bool:
    """Return True for an integer, such as 1 or 1.0."""
    return is_number(value) and (isinstance(value, int) or value.is_integer())


TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": is_number,
    "integer": is_integer,
}
"""Name of a type -> whether a value is of it."""


def _is_multiple(value: float, step: float) -> bool:
    if isinstance(value, int) and isinstance(step, int):
        return value % step == 0
    times = value / step
    return math.isfinite(times) and math.isclose(times, round(times), abs_tol=1e-9)


_LIMITS: dict[str, tuple[type | tuple[type, ...], Callable[[Any, Any], bool], str]] = {
    "minimum": ((int, float), lambda value, limit: value >= limit, "must be at least {}"),
    "maximum": ((int, float), lambda value, limit: value <= limit, "must be at most {}"),
    "exclusiveMinimum": ((int, float), lambda value, limit: value > limit, "must be over {}"),
    "exclusiveMaximum": ((int, float), lambda value, limit: value < limit, "must be below {}"),
    "multipleOf": ((int, float), _is_multiple, "must be a multiple of {}"),
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
        lambda value, unique: not unique or _are_unique(value),
        "has equal items",
    ),
    "minProperties": (dict, lambda value, limit: len(value) >= limit, "needs {} fields or more"),
    "maxProperties": (dict, lambda value, limit: len(value) <= limit, "has more than {} fields"),
}
"""Keyword -> the type it applies to, the test, and the message."""

_MAX_DEPTH = 100
MAX_STEPS = 200_000
"""Subschemas applied to values, after which a validation gives up: references may double them."""


def resolve(reference: str, root: Mapping[str, Any]) -> Any:
    """Return the schema that *reference* names in *root*; None if there is none."""
    found: Any = root
    for step in reference.removeprefix("#").split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, list) and key.isdecimal() and int(key) < len(cast("list[Any]", found)):
            found = cast("list[Any]", found)[int(key)]
        elif isinstance(found, dict) and key in found:
            found = cast("dict[str, Any]", found)[key]
        else:
            return None
    return cast("Any", found) if reference[:1] == "#" and isinstance(found, dict | bool) else None


def violation(value: object, schema: Any, root: Mapping[str, Any] | None = None) -> str | None:
    """Return the first reason why *schema* does not permit *value*, with its path; None if it does.

    Unknown keywords are ignored, as the specification demands; so is ``format``.

    Args:
        value: Decoded JSON.
        schema: A schema that `check_schema` accepts, or a part of one.
        root: The schema in which references are resolved. None: *schema*.
    """
    return Validation(schema if root is None else root).violation(value, schema)


class Validation:
    """Validations with references to the schema *root*, in at most *steps* altogether.

    What cannot be checked in them is a violation.
    """

    def __init__(self, root: Mapping[str, Any], steps: int = MAX_STEPS) -> None:
        self._root = root
        self._left = steps

    def violation(self, value: object, schema: Any) -> str | None:
        """Return the first reason why *schema* does not permit *value*; None if it does."""
        return next(self.violations(value, schema, "", 0), None)

    def violations(self, value: Any, schema: Any, path: str, depth: int) -> Iterator[str]:
        """Yield the reasons why *schema* does not permit *value*, the part at *path*."""
        at = f"{path.removeprefix('.')}: " if path else ""
        self._left -= 1
        if schema is False:
            yield f"{at}not permitted"
        elif depth > _MAX_DEPTH or self._left < 0:
            yield f"{at}the schema is too deep to be checked"
        elif isinstance(schema, dict):
            rules = cast("dict[str, Any]", schema)
            yield from self._rules(value, rules, path, depth, at)

    def _problem(self, value: Any, schema: Any, path: str, depth: int) -> str | None:
        return next(self.violations(value, schema, path, depth + 1), None)

    def _rules(
        self, value: Any, rules: dict[str, Any], path: str, depth: int, at: str
    ) -> Iterator[str]:
        if "$ref" in rules:
            target = resolve(rules["$ref"], self._root)
            yield from self.violations(value, target, path, depth + 1)
        types = as_list(rules.get("type", list(TYPES)))
        if not any(TYPES[name](value) for name in types):
            yield f"{at}must be {' or '.join(types)}"
            return
        if "enum" in rules and not any(_equal(value, one) for one in rules["enum"]):
            yield f"{at}must be one of {rules['enum']}"
        if "const" in rules and not _equal(value, rules["const"]):
            yield f"{at}must be {rules['const']!r}"
        yield from (f"{at}{message}" for message in _beyond_limits(value, rules))
        yield from self._combined(value, rules, path, depth, at)
        if isinstance(value, dict):
            yield from self._fields(cast("dict[str, Any]", value), rules, path, depth, at)
        elif isinstance(value, list):
            yield from self._items(cast("list[Any]", value), rules, path, depth, at)

    def _items(
        self, value: list[Any], rules: dict[str, Any], path: str, depth: int, at: str
    ) -> Iterator[str]:
        first, items = item_rules(rules)
        for index, item in enumerate(value):
            rule = first[index] if index < len(first) else items
            yield from self.violations(item, rule, f"{path}[{index}]", depth + 1)
        if "contains" in rules:
            fitting = sum(not self._problem(item, rules["contains"], path, depth) for item in value)
            least, most = rules.get("minContains", 1), rules.get("maxContains", math.inf)
            if not least <= fitting <= most:
                yield f"{at}{fitting} items match 'contains'"

    def _fields(
        self, value: dict[str, Any], rules: dict[str, Any], path: str, depth: int, at: str
    ) -> Iterator[str]:
        needed = list(rules.get("required", []))
        for name, others in rules.get("dependentRequired", {}).items():
            needed += others if name in value else []
        yield from (f"{at}missing field {name!r}" for name in needed if name not in value)
        for name, rule in rules.get("dependentSchemas", {}).items():
            if name in value:
                yield from self.violations(value, rule, path, depth + 1)
        for name, inner in value.items():
            if self._problem(name, rules.get("propertyNames", True), path, depth):
                yield f"{at}unknown field {name!r}"
            for rule in _rules_of_field(name, rules):
                if rule is False:
                    yield f"{at}unknown field {name!r}"
                else:
                    yield from self.violations(inner, rule, f"{path}.{name}", depth + 1)

    def _combined(
        self, value: Any, rules: dict[str, Any], path: str, depth: int, at: str
    ) -> Iterator[str]:
        for rule in rules.get("allOf", []):
            yield from self.violations(value, rule, path, depth + 1)
        for keyword in ("anyOf", "oneOf"):
            if keyword in rules:
                results = [self._problem(value, rule, path, depth) for rule in rules[keyword]]
                fitting = results.count(None)
                if not fitting:
                    yield next(filter(None, results), f"{at}matches no alternative")
                elif keyword == "oneOf" and fitting > 1:
                    yield f"{at}matches {fitting} alternatives of oneOf, not one"
        if "not" in rules and not self._problem(value, rules["not"], path, depth):
            yield f"{at}matches the schema of 'not'"
        if "if" in rules:
            keyword = "else" if self._problem(value, rules["if"], path, depth) else "then"
            yield from self.violations(value, rules.get(keyword, True), path, depth + 1)


def _rules_of_field(name: str, rules: dict[str, Any]) -> list[Any]:
    known, patterns = rules.get("properties", {}), rules.get("patternProperties", {})
    matching = [known[name]] if name in known else []
    matching += [rule for pattern, rule in patterns.items() if re.search(pattern, name)]
    return matching or [rules.get("additionalProperties", True)]


def item_rules(rules: Mapping[str, Any]) -> tuple[list[Any], Any]:
    """Return the schemas of the first items, and that of all others."""
    items = rules.get("items", True)
    if isinstance(items, list):  # until draft 2019-09
        return cast("list[Any]", items), rules.get("additionalItems", True)
    return rules.get("prefixItems", []), items


def _beyond_limits(value: Any, rules: dict[str, Any]) -> Iterator[str]:
    if isinstance(value, bool):
        return
    for keyword, (kind, fits, message) in _LIMITS.items():
        limit = rules.get(keyword)
        if limit is not None and isinstance(value, kind) and not fits(value, limit):
            yield message.format(limit)


def as_list(value: Any) -> list[Any]:
    """Return *value* if it is a list, otherwise a list of it."""
    return cast("list[Any]", value) if isinstance(value, list) else [value]


def _canonical(value: Any) -> str:
    """Return JSON that is equal for equal values: 1 and 1.0 are, 1 and true are not."""
    return json.dumps(_whole(value), sort_keys=True)


def _whole(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _whole(inner) for key, inner in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return list(map(_whole, cast("list[Any]", value)))
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _equal(one: Any, other: Any) -> bool:
    return _canonical(one) == _canonical(other)


def _are_unique(values: list[Any]) -> bool:
    return len(set(map(_canonical, values))) == len(values)
