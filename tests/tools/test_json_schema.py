"""JSON Schemas that users give: their validity, their values, and the type made of them."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator, Draft202012Validator

from acechat import Client, ConfigurationError, Output
from acechat._tools.output import OutputSpec
from acechat._tools.schemas.check import check_schema
from acechat._tools.schemas.validation import violation
from acechat.emulator import call
from tests.schemas import SCHEMAS, schemas

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "city", "x-y"]), inner, max_size=3)
    ),
    max_leaves=6,
)


def official(schema):
    old = "draft-07" in str(schema.get("$schema"))
    return (Draft7Validator if old else Draft202012Validator)(schema)


@pytest.mark.parametrize(
    ("value", "schema", "reason"),
    [
        ({"name": "A", "age": 1}, PERSON, None),
        ({"name": "A", "age": 1.0}, PERSON, None),
        ({"name": "A", "age": True}, PERSON, "age: must be integer"),
        ({"name": "A"}, PERSON, "missing field 'age'"),
        ({"a": 1}, {"additionalProperties": False, "properties": {}}, "unknown field 'a'"),
        ({"a": 1}, {"additionalProperties": {"type": "string"}}, "a: must be string"),
        ({"x-a": 1}, {"patternProperties": {"^x": {"type": "null"}}}, "x-a: must be null"),
        ({"Ab": 1}, {"propertyNames": {"pattern": "^[a-z]+$"}}, "unknown field 'Ab'"),
        ({"a": 1}, {"dependentRequired": {"a": ["b"]}}, "missing field 'b'"),
        ({"a": 1}, {"dependentSchemas": {"a": {"required": ["b"]}}}, "missing field 'b'"),
        ({}, {"minProperties": 1}, "needs 1 fields or more"),
        ({"a": 1}, {"maxProperties": 0}, "has more than 0 fields"),
        ([1, "a"], {"items": {"type": "integer"}}, "[1]: must be integer"),
        ([1, "a"], {"prefixItems": [{}, {"type": "null"}]}, "[1]: must be null"),
        ([1, "a"], {"items": [{}, {"type": "null"}]}, "[1]: must be null"),
        ([1, 2], {"items": [{}], "additionalItems": False}, "[1]: not permitted"),
        ([1, 1], {"uniqueItems": True}, "has equal items"),
        ([1, 1.0], {"uniqueItems": True}, "has equal items"),
        ([1, True, [1], {"a": 1}], {"uniqueItems": True}, None),
        ([1, 1], {"uniqueItems": False}, None),
        ([], {"minItems": 1}, "needs 1 items or more"),
        ([1], {"contains": {"type": "string"}}, "0 items match 'contains'"),
        ([1, 1], {"contains": {"const": 1}, "maxContains": 1}, "2 items match 'contains'"),
        ([], {"contains": {"const": 1}, "minContains": 0}, None),
        (5, {"maximum": 4}, "must be at most 4"),
        (4, {"exclusiveMaximum": 4}, "must be below 4"),
        (4, {"exclusiveMinimum": 4}, "must be over 4"),
        (True, {"maximum": 0}, None),
        (0.3, {"multipleOf": 0.1}, None),
        (10**30 + 1, {"multipleOf": 10}, "must be a multiple of 10"),
        (1e308, {"multipleOf": 1e-10}, "must be a multiple of"),
        ("abc", {"maxLength": 2}, "has more than 2 characters"),
        ("abc", {"pattern": "^b"}, "does not match ^b"),
        ("c", {"enum": ["a", "b"]}, "must be one of ['a', 'b']"),
        (True, {"const": 1}, "must be 1"),
        ({"a": 1.0}, {"const": {"a": 1}}, None),
        (None, {"type": ["string", "null"]}, None),
        (1, {"anyOf": [{"type": "string"}, {"type": "integer"}]}, None),
        (1.5, {"anyOf": [{"type": "string"}, {"type": "integer"}]}, "must be string"),
        (1, {"anyOf": []}, "matches no alternative"),
        (1, {"oneOf": [{"type": "number"}, {"type": "integer"}]}, "matches 2 alternatives"),
        (1, {"not": {"type": "integer"}}, "matches the schema of 'not'"),
        (1, {"not": {}}, "matches the schema of 'not'"),
        (1, {"allOf": [{"minimum": 2}]}, "must be at least 2"),
        (1, {"if": {"const": 1}, "then": {"minimum": 2}}, "must be at least 2"),
        (3, {"if": {"const": 1}, "then": {"minimum": 9}, "else": False}, "not permitted"),
        ({"child": {"child": 1}}, {"$ref": "#/$defs/n", "$defs": {"n": {
            "type": "object", "properties": {"child": {"$ref": "#/$defs/n"}}}}},
         "child.child: must be object"),
        (1, {"anyOf": [True, {"$ref": "#/anyOf/0"}]}, None),
        (1, {"$ref": "#"}, "too deep to be checked"),
    ],
)  # fmt: skip
def test_values_are_validated(value, schema, reason):
    found = violation(value, schema)

    assert check_schema(schema) is None
    assert (found is None) == (reason is None)
    assert reason is None or reason in found


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
@settings(max_examples=15)
@given(value=VALUES)
def test_a_validation_agrees_with_jsonschema(schema, value):
    assert (violation(value, schema) is None) == official(schema).is_valid(value)


@given(schemas(), VALUES)
def test_a_validation_of_any_schema_agrees_with_jsonschema(schema, value):
    assert check_schema(schema) is None
    assert (violation(value, schema) is None) == official(schema).is_valid(value)


def test_references_that_double_end():
    twice = {"anyOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/A"}]}
    began = time.process_time()

    found = violation(1, {"$ref": "#/$defs/A", "$defs": {"A": twice}})

    assert "too deep to be checked" in found
    assert time.process_time() - began < 10


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ([], "an object, not []"),
        ("x", "an object, not 'x'"),
        ({"type": "set"}, "unknown type 'set'"),
        ({"type": [{}]}, "unknown type {}"),
        ({"$ref": "#/$defs/X"}, "refers to nothing"),
        ({"$ref": "#/anyOf/7", "anyOf": []}, "refers to nothing"),
        ({"$ref": "other.json"}, "refers to nothing"),
        ({"$ref": 3}, "'$ref' is 3, not a string"),
        ({"pattern": "("}, "invalid pattern"),
        ({"patternProperties": {"(": {}}}, "invalid pattern"),
        ({"items": 3}, "3 is not a schema"),
        ({"properties": {"a": {"anyOf": [None]}}}, "None is not a schema"),
        ({"properties": []}, "'properties' is [], not an object"),
        ({"required": "a"}, "'required' is 'a', not a list of names"),
        ({"minLength": -1}, "'minLength' is -1, not a count"),
        ({"maximum": True}, "'maximum' is True, not a number"),
        ({"uniqueItems": 1}, "'uniqueItems' is 1, not true or false"),
        ({"multipleOf": 0}, "'multipleOf' is 0"),
    ],
)
def test_what_is_no_schema_is_refused(schema, reason):
    with pytest.raises(ConfigurationError) as caught:
        Output.from_schema(schema)

    assert reason in str(caught.value)


def test_data_in_a_schema_may_look_like_a_schema():
    schema = {"const": {"type": "set"}, "default": {"pattern": "("}}

    assert check_schema(schema) is None
    assert OutputSpec(Output.from_schema(schema)).schema["properties"]


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_the_schema_that_is_sent_permits_the_same_values(schema):
    sent = OutputSpec(Output.from_schema(schema)).schema

    Draft202012Validator.check_schema(sent)
    assert sent["type"] == "object"
    wrapped = list(sent.get("properties", ())) == ["value"]
    for value in [{}, [], 1, "a", None, {"a": 1}, {"name": "x", "next": None, "children": []}]:
        given = {"value": value} if wrapped else value
        if wrapped or "type" in schema:  # otherwise the parameters of a tool are an object
            assert Draft202012Validator(sent).is_valid(given) == official(schema).is_valid(value)


def test_an_output_of_a_schema_is_decoded_json(acechat_service):
    acechat_service.script(
        call("answer", name="Ada"),
        call("answer", name="Ada", age=36),
        call("answer", value=[1, 2]),
    )
    with Client(acechat_service.token, base_url=acechat_service.url) as client:
        reply = client.chat("Who?", output_type=Output.from_schema(PERSON))
        numbers = Output.from_schema({"type": "array", "items": {"type": "integer"}})
        assert client.chat("Two", output_type=numbers).output == [1, 2]

    assert reply.output == {"name": "Ada", "age": 36}
    assert "missing field 'age'" in json.dumps(acechat_service.requests[1].json)


def test_strategy_and_retries_are_those_of_output():
    output = Output.from_schema(PERSON, strategy="prompt", retries=3)

    assert (output.strategy, output.retries) == ("prompt", 3)
    with pytest.raises(ConfigurationError, match="retries"):
        Output.from_schema(PERSON, retries=-1)
