"""Combined keywords of JSON Schemas: alternatives, references and ``allOf`` as plain keywords."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from math import gcd, lcm
from typing import Any, cast

from acechat._tools.schemas.check import MAPS, SCHEMAS, SUBSCHEMAS, keyword_problem
from acechat._tools.schemas.validation import as_list, resolve
from acechat.emulator.content.pattern import is_slow

__all__ = ["Expansion", "sound"]

_MAX_NESTING = 60
"""References and combinations within each other, of which a value has no part."""


def sound(schema: Any, root: Mapping[str, Any]) -> Any:
    """Return *schema* without the keywords whose value has a wrong form.

    A ``pattern`` for which a search could take too long is renamed ``unchecked``.
    """
    if not isinstance(schema, dict):
        return schema if isinstance(schema, bool) else True
    rules = {
        name: value
        for name, value in cast("dict[str, Any]", schema).items()
        if keyword_problem(name, value, root) is None
    }
    if "pattern" in rules and is_slow(rules["pattern"]):
        rules["unchecked"] = rules.pop("pattern")
    if any(map(is_slow, rules.get("patternProperties", ()))):
        del rules["patternProperties"]
    for name in rules.keys() & MAPS:
        rules[name] = {key: sound(inner, root) for key, inner in rules[name].items()}
    for name in rules.keys() & SUBSCHEMAS:
        rules[name] = [sound(inner, root) for inner in rules[name]]
    for name in rules.keys() & SCHEMAS:
        inner = [sound(each, root) for each in as_list(rules[name])]
        rules[name] = inner if isinstance(rules[name], list) else inner[0]
    return rules


class Expansion:
    """Expands schemas of *root*, in at most *work* steps altogether."""

    def __init__(self, root: Any, work: int) -> None:
        self._root = root
        self.work: int = work
        self._references: dict[int, tuple[Any, frozenset[str]]] = {}
        """Id of a schema -> the schema, which keeps the id, and its references."""

    def mentions(self, schema: Any, references: frozenset[str]) -> bool:
        """Return whether *schema* has one of *references*, outside of its definitions."""
        return not references.isdisjoint(self._references_of(schema))

    def _references_of(self, schema: Any) -> frozenset[str]:
        if not isinstance(schema, dict | list):
            return frozenset()
        known = self._references.get(id(cast("object", schema)))
        if known is not None:
            return known[1]
        found: frozenset[str] = frozenset()
        if isinstance(schema, dict):
            rules = cast("dict[str, Any]", schema)
            inner = [rules[name] for name in rules if name not in {"$defs", "definitions"}]
            found |= {rules["$ref"]} if isinstance(rules.get("$ref"), str) else frozenset()
        else:
            inner = cast("list[Any]", schema)
        found = found.union(*map(self._references_of, inner))
        self._references[id(cast("object", schema))] = schema, found
        return found

    def expand(
        self, schema: Any, active: frozenset[str]
    ) -> Iterator[tuple[dict[str, Any], frozenset[str]]]:
        """Yield the ways to fulfil *schema*: each a dict of plain keywords, and its references.

        Alternatives that contain one of the references *active*, in which the schema is nested,
        come last, so that recursion ends.
        """
        yield from self._expand([[schema]], {}, frozenset(), active, 0)

    def _expand(
        self,
        pending: list[list[Any]],
        flat: dict[str, Any],
        seen: frozenset[str],
        active: frozenset[str],
        depth: int,
    ) -> Iterator[tuple[dict[str, Any], frozenset[str]]]:
        if not pending:
            yield flat, seen
            return
        alternatives, *rest = pending
        if len(alternatives) > 1:
            alternatives = sorted(alternatives, key=lambda each: self.mentions(each, active))
        for schema in alternatives:
            self.work -= 1
            if self.work <= 0 or depth > _MAX_NESTING:
                return
            if schema is False:
                continue
            rules = cast("dict[str, Any]", schema) if isinstance(schema, dict) else {}
            plain = {name: value for name, value in rules.items() if name not in _COMBINED}
            references = seen | {rules["$ref"]} if "$ref" in rules else seen
            more = [*self._parts(rules), *rest]
            yield from self._expand(more, _merged(flat, plain), references, active, depth + 1)

    def _parts(self, rules: dict[str, Any]) -> Iterator[list[Any]]:
        """Yield the schemas that a value has to fulfil, too: alternatives for each."""
        if "$ref" in rules:
            yield [resolve(rules["$ref"], self._root)]
        yield from ([each] for each in rules.get("allOf", ()))
        dependent = rules.get("dependentSchemas", {})
        yield from ([dependent[name]] for name in rules.get("required", ()) if name in dependent)
        yield from (rules[name] for name in ("anyOf", "oneOf") if name in rules)
        if "if" in rules:
            then = {"allOf": [rules["if"], rules.get("then", True)]}
            yield [then, rules.get("else", True)]


_COMBINED = {"allOf", "anyOf", "oneOf", "if", "then", "else", "$ref", "$defs", "definitions"}


def _merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Return the keywords that permit what both permit, as far as keywords can express it."""
    merged = dict(one)
    for name, value in other.items():
        key = "patterns" if name == "pattern" else name
        given = [value] if name == "pattern" else value
        merged[key] = _JOIN.get(key, _first)(merged[key], given) if key in merged else given
    return merged


def _first(one: Any, _: Any) -> Any:
    return one


def _both(one: Any, other: Any) -> Any:
    return one if one == other else {"allOf": [one, other]}


def _by_name(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    joined = {name: _both(one[name], other[name]) for name in one.keys() & other.keys()}
    return {**one, **other, **joined}


def _types(one: Any, other: Any) -> list[str]:
    first, second = as_list(one), as_list(other)
    common = [kind for kind in first if kind in second]
    for these, those in ((first, second), (second, first)):
        if "integer" in these and "number" in those and "integer" not in common:
            common.append("integer")
    return common


def _values(one: list[Any], other: list[Any]) -> list[Any]:
    known = {json.dumps(each, sort_keys=True) for each in other}
    return [each for each in one if json.dumps(each, sort_keys=True) in known]


def _multiple(one: float, other: float) -> float:
    a, b = Fraction(str(one)), Fraction(str(other))
    common = Fraction(lcm(a.numerator, b.numerator), gcd(a.denominator, b.denominator))
    return common.numerator if common.denominator == 1 else float(common)


_JOIN: dict[str, Callable[[Any, Any], Any]] = {
    "type": _types,
    "enum": _values,
    "multipleOf": _multiple,
    "properties": _by_name,
    "patternProperties": _by_name,
    "dependentRequired": lambda one, other: {
        name: [*one.get(name, ()), *other.get(name, ())] for name in {**one, **other}
    },
    "not": lambda one, other: {"anyOf": [one, other]},
    "uniqueItems": lambda one, other: one or other,
    **dict.fromkeys(["required", "patterns"], lambda one, other: [*one, *other]),
    **dict.fromkeys(["items", "additionalProperties", "propertyNames"], _both),
    **dict.fromkeys(["minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"], max),
    **dict.fromkeys(["maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"], min),
}
"""Keyword -> how two of its values are joined; otherwise the first is taken."""
