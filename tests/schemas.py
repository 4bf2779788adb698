"""Schemas for tests: a table of kinds, and a strategy of schemas that have values."""

from __future__ import annotations

from hypothesis import strategies as st

NODE = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
        "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
    },
    "required": ["name", "next", "children"],
    "additionalProperties": False,
}

SCHEMAS = {
    "anything": {},
    "string": {"type": "string"},
    "nullable": {"type": ["integer", "null"]},
    "null": {"type": "null"},
    "boolean": {"type": "boolean"},
    "enum": {"enum": ["b", "a"]},
    "enum of objects": {"enum": [{"a": [1]}, None]},
    "enum and type": {"type": "integer", "enum": ["a", 7]},
    "const": {"const": {"a": 1}},
    "lengths": {"type": "string", "minLength": 20, "maxLength": 21},
    "short": {"type": "string", "maxLength": 3},
    "empty": {"type": "string", "maxLength": 0},
    "digits": {"type": "string", "pattern": "^[0-9]{3}-[0-9]{2,}$"},
    "alternatives": {"type": "string", "pattern": r"^(red|green)\s\w+$"},
    "pattern and length": {"type": "string", "pattern": "^[a-c]+$", "minLength": 9},
    "classes": {"type": "string", "pattern": r"^[^a-z\d]{2}\D.\S\W$"},
    "search": {"type": "string", "pattern": "x[0-9]y", "minLength": 5},
    "look-ahead": {"type": "string", "pattern": r"^(?=.*\d)[a-z0-9]{4,}$"},
    "group reference": {"type": "string", "pattern": r"^(a|b)-\1$"},
    "lazy": {"type": "string", "pattern": r"^a+?b*?$", "minLength": 3},
    "integer": {"type": "integer", "minimum": 3, "maximum": 3},
    "exclusive": {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 2},
    "fractions": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.001},
    "negative": {"type": "number", "maximum": -2.5},
    "float bounds": {"type": "integer", "minimum": 1.5, "maximum": 2.5},
    "huge bounds": {"type": "number", "minimum": 1e300},
    "over the largest integer": {"type": "integer", "exclusiveMinimum": 2**70},
    "multiple": {"type": "integer", "multipleOf": 7, "minimum": 15},
    "multiple of a fraction": {"type": "number", "multipleOf": 0.25, "exclusiveMinimum": 1},
    "multiple of an integer and a bound": {"type": "number", "multipleOf": 5, "maximum": -12},
    "items": {"type": "array", "items": {"type": "integer"}, "minItems": 3},
    "no items": {"type": "array", "items": {"type": "integer"}, "maxItems": 0},
    "tuple": {"type": "array", "prefixItems": [{"type": "string"}, {}], "items": False},
    "old tuple": {
        "type": "array", "items": [{"type": "string"}, {"const": 2}], "additionalItems": False,
        "$schema": "http://json-schema.org/draft-07/schema#",
    },
    "tuple and rest": {
        "type": "array", "prefixItems": [{"const": 1}], "items": {"type": "null"}, "minItems": 4,
    },
    "unique strings": {
        "type": "array", "items": {"type": "string"}, "minItems": 4, "uniqueItems": True,
    },
    "unique objects": {
        "type": "array", "minItems": 3, "uniqueItems": True,
        "items": {"type": "object", "properties": {"n": {"type": "integer", "minimum": 5}},
                  "required": ["n"]},
    },
    "unique enum": {"type": "array", "items": {"enum": [1, "1", True]}, "minItems": 3,
                    "uniqueItems": True},
    "unique booleans": {
        "type": "array", "items": {"type": "boolean"}, "minItems": 2, "uniqueItems": True,
    },
    "contains": {"type": "array", "items": {"type": "integer"}, "contains": {"minimum": 9},
                 "minContains": 2, "minItems": 3},
    "object": {
        "type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city"],
    },
    "required without property": {"type": "object", "required": ["a", "b"]},
    "closed": {"type": "object", "properties": {"a": {}}, "additionalProperties": False},
    "at least": {"type": "object", "minProperties": 3, "additionalProperties": {"type": "null"}},
    "at most": {"type": "object", "properties": {"a": {}, "b": {}, "c": {}}, "required": ["c"],
                "maxProperties": 2},
    "pattern properties": {
        "type": "object", "patternProperties": {"^x-": {"type": "integer"}}, "minProperties": 2,
        "additionalProperties": False,
    },
    "names": {"type": "object", "propertyNames": {"pattern": "^[a-z]{3}$"}, "minProperties": 2},
    "dependent": {"type": "object", "properties": {"a": {}, "b": {"type": "integer"}},
                  "required": ["a"], "dependentRequired": {"a": ["b", "c"]}},
    "dependent schema": {
        "type": "object", "required": ["a"], "properties": {"a": {"type": "string"}},
        "dependentSchemas": {"a": {"required": ["b"], "properties": {"b": {"type": "null"}}}},
    },
    "without type": {"properties": {"x": {"type": "number"}}, "required": ["x", "y"]},
    "reference": {"$ref": "#/$defs/A", "$defs": {"A": {"type": "array", "minItems": 1}}},
    "reference and sibling": {
        "$ref": "#/$defs/A", "minLength": 12, "$defs": {"A": {"type": "string", "maxLength": 12}},
    },
    "escaped reference": {"$ref": "#/$defs/a~1b~0", "$defs": {"a/b~": {"const": 3}}},
    "reference into a list": {"anyOf": [{"type": "string"}, {"$ref": "#/anyOf/0"}]},
    "recursive": {"$ref": "#/$defs/node", "$defs": {"node": NODE}},
    "recursive root": {
        "type": "object", "properties": {"child": {"$ref": "#"}, "n": {"type": "integer"}},
        "required": ["n"],
    },
    "mutually recursive": {
        "$ref": "#/$defs/a",
        "$defs": {
            "a": {"type": "object", "properties": {"b": {"$ref": "#/$defs/b"}}, "required": ["b"]},
            "b": {"type": "array", "items": {"$ref": "#/$defs/a"}, "maxItems": 3},
        },
    },
    "JSON": {
        "$ref": "#/$defs/json",
        "$defs": {"json": {"oneOf": [
            {"type": "array", "items": {"$ref": "#/$defs/json"}, "minItems": 1},
            {"type": "object", "additionalProperties": {"$ref": "#/$defs/json"},
             "minProperties": 1},
            {"type": ["string", "null"]},
        ]}},
    },
    "expression": {
        "anyOf": [
            {"type": "object", "properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}},
             "required": ["left", "right"]},
            {"type": "number"},
        ],
    },
    "anyOf": {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
    "anyOf with siblings": {
        "type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"],
        "anyOf": [{"required": ["b"], "properties": {"b": {"const": 1}}}, {"required": ["c"]}],
    },
    "first alternative is impossible": {"anyOf": [False, {"type": "string", "minLength": 2}]},
    "alternative excluded by a sibling": {
        "anyOf": [{"type": "string"}, {"type": "integer"}], "type": "integer",
    },
    "oneOf": {"oneOf": [{"type": "number"}, {"type": "integer"}]},
    "oneOf of tagged objects": {"oneOf": [
        {"type": "object", "properties": {"kind": {"const": kind}, "n": {"type": "integer"}},
         "required": ["kind", "n"]} for kind in "ab"
    ]},
    "allOf": {"allOf": [
        {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
        {"properties": {"a": {"minLength": 12}, "b": {"type": "integer"}}, "required": ["b"]},
    ]},
    "allOf of bounds": {"type": "integer",
                        "allOf": [{"minimum": 3}, {"maximum": 9}, {"multipleOf": 4}]},
    "allOf of types": {"allOf": [{"type": ["string", "integer"]}, {"type": ["integer", "null"]}]},
    "allOf with numbers and integers": {"allOf": [{"type": "number"}, {"type": "integer"}]},
    "allOf of enums": {"allOf": [{"enum": [1, 2, 3]}, {"enum": [3, 4]}]},
    "allOf of alternatives": {"allOf": [
        {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        {"anyOf": [{"type": "integer"}, {"type": "null"}]},
    ]},
    "allOf of patterns": {
        "type": "string", "allOf": [{"pattern": "^[a-z]{4}$"}, {"pattern": "[a-z]"}],
    },
    "allOf that closes": {
        "properties": {"a": {}, "b": {}},
        "allOf": [{"properties": {"a": {"type": "null"}}, "additionalProperties": False}],
        "type": "object",
    },
    "not a constant": {"type": "string", "not": {"const": "example"}},
    "not a type": {"not": {"type": ["string", "number"]}},
    "not required": {"type": "object", "properties": {"a": {}}, "not": {"required": ["a"]}},
    "if then": {
        "type": "object", "properties": {"a": {"const": 1}}, "required": ["a"],
        "if": {"properties": {"a": {"const": 1}}}, "then": {"required": ["b"]},
    },
    "if else": {
        "type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}},
        "if": {"required": ["z"]}, "else": {"properties": {"n": {"minimum": 70}}},
    },
    "examples": {"type": "string", "examples": ["Grüße"], "maxLength": 6},
    "wrong examples": {"type": "integer", "examples": ["x"], "default": None},
    "default": {"type": "string", "default": "blue"},
    "true and false": {"type": "object", "properties": {"a": True, "b": False}, "required": ["a"]},
}  # fmt: skip
"""Name -> a schema that has a value."""

FORMATS = [
    "date-time", "date", "time", "duration", "email", "idn-email", "hostname", "idn-hostname",
    "ipv4", "ipv6", "uri", "uri-reference", "iri", "iri-reference", "uri-template", "uuid",
    "json-pointer", "relative-json-pointer", "regex",
]  # fmt: skip
"""All formats of the specification."""

NAMES = st.sampled_from(["city", "days", "email", "x", "a b", "name", "ü"])


@st.composite
def _numbers(draw: st.DrawFn, kind: str) -> dict[str, object]:
    least = draw(st.integers(-1000, 1000))
    limits = {
        "minimum": least,
        "maximum": least + draw(st.integers(0, 50)),
        "exclusiveMinimum": least - 1,
        "exclusiveMaximum": least + draw(st.integers(51, 60)),
    }
    schema: dict[str, object] = {"type": kind}
    schema |= {name: limit for name, limit in limits.items() if draw(st.booleans())}
    if draw(st.booleans()):
        step = draw(st.sampled_from([1, 2, 3, 7]))
        schema = {"type": kind, "multipleOf": step, "minimum": least, "maximum": least + step}
    return schema


@st.composite
def _strings(draw: st.DrawFn) -> dict[str, object]:
    least = draw(st.integers(0, 12))
    schema: dict[str, object] = {"type": "string", "minLength": least}
    form = draw(st.sampled_from(["length", "pattern", "format", "plain"]))
    if form == "length":
        schema["maxLength"] = least + draw(st.integers(0, 5))
    elif form == "pattern":
        parts = ["[a-z]", r"\d", "(ab|c)", r"\w", "x?", r"[^\s]", "-"]
        pattern = "".join(draw(st.lists(st.sampled_from(parts), min_size=1, max_size=5)))
        schema["pattern"] = f"^{pattern}.*$"
    elif form == "format":
        return {"type": "string", "format": draw(st.sampled_from(FORMATS))}
    return schema


def _leaves() -> st.SearchStrategy[dict[str, object]]:
    values = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
    return st.one_of(
        _numbers("integer"),
        _numbers("number"),
        _strings(),
        st.sampled_from([{"type": "boolean"}, {"type": "null"}, {}, {"$ref": "#/$defs/leaf"}]),
        st.builds(lambda each: {"enum": each}, st.lists(values, min_size=1, max_size=4)),
        st.builds(lambda each: {"const": each}, values),
    )


@st.composite
def _objects(draw: st.DrawFn, inner: st.SearchStrategy[dict[str, object]]) -> dict[str, object]:
    properties = draw(st.dictionaries(NAMES, inner, max_size=4))
    schema: dict[str, object] = {"type": "object", "properties": properties}
    required = [name for name in properties if draw(st.booleans())]
    if required:
        schema["required"] = required
    if draw(st.booleans()):
        schema["additionalProperties"] = draw(st.sampled_from([False]) | inner)
    elif draw(st.booleans()):
        schema["minProperties"] = draw(st.integers(0, 6))
    if draw(st.booleans()):
        schema["maxProperties"] = max(
            len(required), int(str(schema.get("minProperties", 0))), draw(st.integers(0, 6))
        )
    return schema


@st.composite
def _arrays(draw: st.DrawFn, inner: st.SearchStrategy[dict[str, object]]) -> dict[str, object]:
    least = draw(st.integers(0, 4))
    schema: dict[str, object] = {"type": "array", "items": draw(inner), "minItems": least}
    if draw(st.booleans()):
        schema["maxItems"] = least + draw(st.integers(0, 3))
    if draw(st.booleans()):
        schema["prefixItems"] = draw(st.lists(inner, min_size=1, max_size=3))
    return schema


def _combined(inner: st.SearchStrategy[dict[str, object]]) -> st.SearchStrategy[dict[str, object]]:
    several = st.lists(inner, min_size=1, max_size=3)
    return st.one_of(
        _objects(inner),
        _arrays(inner),
        st.builds(lambda each: {"anyOf": each}, several),
        st.builds(lambda one: {"allOf": [one, {"title": "x"}]}, inner),
        st.builds(lambda one: {"oneOf": [one, False]}, inner),
        st.builds(lambda one: {**one, "description": "x", "default": 3}, inner),
    )


def schemas() -> st.SearchStrategy[dict[str, object]]:
    """Return schemas each of which has a value; some refer to themselves."""
    leaf = {"type": "array", "items": {"$ref": "#"}, "maxItems": 2}
    return st.recursive(_leaves(), _combined, max_leaves=12).map(
        lambda schema: {**schema, "$defs": {"leaf": leaf}}
    )
