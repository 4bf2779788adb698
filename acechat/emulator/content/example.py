"""Plausible values of JSON Schemas."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, cast

from acechat._tools.schemas.validation import Validation, as_list, item_rules, violation
from acechat.emulator.content.leaves import number, text
from acechat.emulator.content.merging import Expansion, sound

__all__ = ["example_of"]

_MAX_DEPTH = 20
"""Levels after which a value ends, with null."""

_MAX_SIZE = 20_000
"""Characters of an example, about. Whatever would exceed it is null, empty or shorter."""

_MAX_WORK = 20_000
"""Schemas that are applied for one example."""

_MAX_TRIES = 40
"""Values that are tried for one schema."""

_COMPLEX = {
    "allOf", "anyOf", "oneOf", "not", "if", "$ref", "enum", "const", "pattern", "uniqueItems",
    "contains", "propertyNames", "patternProperties", "dependentSchemas", "dependentRequired",
    "additionalProperties", "maxProperties", "minProperties",
}  # fmt: skip
"""Keywords for which the first value that is tried may be wrong."""

_KEYWORDS_OF = {
    "object": {
        "properties", "required", "additionalProperties", "patternProperties", "minProperties",
        "maxProperties", "propertyNames", "dependentRequired", "dependentSchemas",
    },
    "array": {"items", "prefixItems", "minItems", "maxItems", "contains", "uniqueItems"},
    "string": {"minLength", "maxLength", "patterns", "unchecked", "format"},
    "number": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"},
}  # fmt: skip
"""Type -> the keywords that suggest it where the type is not given."""

_KINDS = ("string", "integer", "number", "object", "array", "boolean", "null")


def example_of(schema: Any) -> Any:
    """Return a plausible value that *schema* permits.

    It is plausible by the names of properties, the formats and the examples of the schema, and
    bounded in size and in time, whatever the schema demands: of a million items it has a part.
    A schema that permits no value, or only values that are nested more than 20 levels deep, gets
    one that it does not permit. Keywords with a wrong form are ignored, and so are ``$anchor``,
    ``$dynamicRef`` and ``unevaluated...``.
    """
    try:
        root = sound(schema, schema)
        value = _Example(root, optional=True).value(root)
        if violation(value, root) is None:
            return value
        # Optional properties are what other parts of a schema may forbid.
        least = _Example(root, optional=False).value(root)
        return value if violation(least, root) else least
    except (RecursionError, OverflowError):
        return None


class _Example:
    """An example of the schema *root*, with the characters and the tries that are left for it."""

    def __init__(self, root: Any, *, optional: bool) -> None:
        self._optional = optional
        self._left = _MAX_SIZE
        self._expansion = Expansion(root, _MAX_WORK)
        self._validation = Validation(root)

    def _is_exhausted(self) -> bool:
        return self._left <= 0 or self._expansion.work <= 0

    def _permits(self, schema: Any, value: Any) -> bool:
        return self._validation.violation(value, schema) is None

    def value(
        self,
        schema: Any,
        name: str = "",
        variant: int = 0,
        depth: int = _MAX_DEPTH,
        active: frozenset[str] = frozenset("#"),
    ) -> Any:
        """Return an example of *schema*, a part of the root.

        Args:
            schema: The part.
            name: The name of the property that has it.
            variant: 0 for the usual value; others give other values, if there are any.
            depth: The number of levels that it may have.
            active: The references in which it is nested.
        """
        first: Any = None
        self._left -= 4
        self._expansion.work -= 1
        left = self._left
        rules = cast("dict[str, Any]", schema) if isinstance(schema, dict) else {}
        complicated = not _COMPLEX.isdisjoint(rules)
        for tries, value in enumerate(self._candidates(schema, name, variant, depth, active)):
            if not complicated or self._permits(schema, value):
                return value
            if not tries:
                first, left = value, self._left
            if tries >= _MAX_TRIES or self._expansion.work <= 0:
                break
        self._left = left
        return first

    def _candidates(
        self, schema: Any, name: str, variant: int, depth: int, active: frozenset[str]
    ) -> Iterator[Any]:
        """Yield values that *schema* may permit, the most plausible first."""
        if depth <= 0 or self._left <= 0:
            return
        left = self._left
        for other in (variant, variant + 1, variant + 2):
            for flat, references in self._expansion.expand(schema, active):
                for value in self._of_rules(flat, name, other, depth, active | references):
                    yield value
                    self._left = left

    def _of_rules(
        self, rules: dict[str, Any], name: str, variant: int, depth: int, active: frozenset[str]
    ) -> Iterator[Any]:
        if "const" in rules or "enum" in rules:
            values = [rules["const"]] if "const" in rules else rules["enum"]
            for at in range(len(values)):
                yield self._constant(values[(at + variant) % len(values)])
            return
        given = [*as_list(rules.get("examples", [])), rules.get("default")]
        for value in given[variant:]:
            if value not in (None, "", [], {}) and self._permits(_unpatterned(rules), value):
                yield self._constant(value)
        for kind in _kinds(rules):
            match kind:
                case "object":
                    yield self._object(rules, variant, depth - 1, active)
                case "array":
                    yield self._items(rules, name, variant, depth - 1, active)
                case "string":
                    written = text(rules, name, variant, max(self._left, 0))
                    self._left -= len(written)
                    yield written
                case "integer" | "number":
                    yield number(rules, name, variant, whole=kind == "integer")
                case _:
                    yield variant % 2 == 0 if kind == "boolean" else None

    def _constant(self, value: Any) -> Any:
        size = len(json.dumps(value))
        self._left -= size
        return value if self._left > 0 else None

    def _object(
        self, rules: Mapping[str, Any], variant: int, depth: int, active: frozenset[str]
    ) -> dict[str, Any]:
        known: dict[str, Any] = rules.get("properties", {})
        wanted = self._names(rules, known, active)
        required = set(rules.get("required", ()))
        example: dict[str, Any] = {}
        for name in wanted:
            self._left -= len(name)
            if self._is_exhausted():
                break
            example[name] = self.value(_rule_of(name, rules), name, variant, depth, active)
            if self._is_exhausted() and name not in required:
                del example[name]  # it may be incomplete
        return example

    def _names(
        self, rules: Mapping[str, Any], known: dict[str, Any], active: frozenset[str]
    ) -> list[str]:
        """Return the names of the properties: the required, then optional ones."""
        names = list(dict.fromkeys(rules.get("required", ())))
        required = set(names)
        most = int(min(rules.get("maxProperties", _MAX_SIZE), _MAX_SIZE))
        least = int(min(rules.get("minProperties", 0), _MAX_SIZE))
        optional = [
            name
            for name, rule in known.items()
            if rule is not False
            and name not in required
            and not self._expansion.mentions(rule, active)
        ]
        if self._optional and "propertyNames" not in rules:
            names += optional[: max(0, most - len(names))]
        dependent = rules.get("dependentRequired", {})
        for name in names if dependent else ():  # it grows
            names += [other for other in dependent.get(name, ()) if other not in names]
        more = self._more_names(rules, optional)
        while len(names) < min(least, most) and len(names) * 8 < self._left:
            found = next((one for one in islice(more, _MAX_TRIES) if one not in names), None)
            if found is None:
                break
            names.append(found)
        # In the order of the schema, as models write them.
        order = {name: at for at, name in enumerate(known)}
        return sorted(names, key=lambda name: order.get(name, len(order)))

    def _more_names(self, rules: Mapping[str, Any], optional: list[str]) -> Iterator[str]:
        form = rules.get("propertyNames", True)
        yield from (name for name in optional if self._permits(form, name))
        patterns = rules.get("patternProperties", {})
        schemas = [{"type": "string", "pattern": pattern} for pattern in patterns]
        if rules.get("additionalProperties", True) is not False:
            schemas = [{"type": "string"}]
        for schema in schemas:
            for variant in range(_MAX_SIZE):
                both = {"allOf": [schema, form]} if form is not True else schema
                name = self.value(both, "key", variant)
                if not isinstance(name, str) or self._expansion.work <= 0:
                    break
                yield name

    def _items(
        self,
        rules: Mapping[str, Any],
        name: str,
        variant: int,
        depth: int,
        active: frozenset[str],
    ) -> list[Any]:
        first, rest = item_rules(rules)
        least = min(rules.get("minItems", 0), _MAX_SIZE)
        most = min(rules.get("maxItems", _MAX_SIZE), _MAX_SIZE)
        contained = int(min(rules.get("minContains", 1), most)) if "contains" in rules else 0
        usual = len(first) or (0 if self._expansion.mentions(rest, active) else 1)
        size = int(min(most, max(least, contained, usual if self._optional else 0)))
        singular = name.removesuffix("s")
        items: list[Any] = []
        for at in range(size):
            if self._is_exhausted():
                break
            rule = first[at] if at < len(first) else rest
            if rule is False:
                break
            if at < contained:
                rule = {"allOf": [rule, rules["contains"]]}
            other = variant + (at if rules.get("uniqueItems") else 0)
            items.append(self.value(rule, singular, other, depth, active))
            if self._is_exhausted() and len(items) > least:
                items.pop()  # it may be incomplete
        return items


def _kinds(rules: Mapping[str, Any]) -> list[str]:
    """Return the types to try: null last."""
    if "type" in rules:
        return sorted(as_list(rules["type"]), key=lambda kind: kind == "null")
    suggested = [kind for kind, names in _KEYWORDS_OF.items() if not names.isdisjoint(rules)]
    return list(dict.fromkeys([*suggested, *_KINDS]))


def _rule_of(name: str, rules: Mapping[str, Any]) -> Any:
    known = rules.get("properties", {})
    matching = [known[name]] if name in known else []
    matching += [
        rule
        for pattern, rule in rules.get("patternProperties", {}).items()
        if re.search(pattern, name)
    ]
    matching = matching or [rules.get("additionalProperties", True)]
    return matching[0] if len(matching) == 1 else {"allOf": matching}


def _unpatterned(rules: dict[str, Any]) -> dict[str, Any]:
    """Return *rules* as a schema: ``patterns`` is a list made of several schemas."""
    patterns = [{"pattern": pattern} for pattern in rules.get("patterns", ())]
    return {**rules, "allOf": patterns} if patterns else rules
