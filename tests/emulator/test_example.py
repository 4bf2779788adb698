"""Plausible values of JSON Schemas: what the emulator fills into arguments and outputs."""

from __future__ import annotations

import json
import re
import time

import msgspec
import pytest
from hypothesis import given, settings
from jsonschema import Draft7Validator, Draft202012Validator

from acechat import AsyncClient, Client, Output
from acechat.emulator import Service
from acechat.emulator.content.example import example_of
from acechat.emulator.content.pattern import is_slow, text_matching
from tests.schemas import FORMATS, SCHEMAS, schemas


def is_valid(value, schema):
    old = "draft-07" in str(schema.get("$schema"))
    return (Draft7Validator if old else Draft202012Validator)(schema).is_valid(value)


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_an_example_is_valid(schema):
    example = example_of(schema)

    assert is_valid(json.loads(json.dumps(example)), schema)


@settings(max_examples=300)
@given(schemas())
def test_an_example_of_any_schema_is_valid(schema):
    assert is_valid(example_of(schema), schema)


@pytest.mark.parametrize("form", [*FORMATS, "byte", "url", "other"])
def test_an_example_has_its_format(form):
    schema = {"type": "array", "items": {"type": "string", "format": form}, "minItems": 3,
              "uniqueItems": form != "byte"}  # fmt: skip

    example = example_of(schema)

    checker = Draft202012Validator.FORMAT_CHECKER
    Draft202012Validator(schema, format_checker=checker).validate(example)
    # These are checked where the packages of jsonschema's extra are missing, too.
    forms = {
        "date-time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ",
        "date": r"\d{4}-\d\d-\d\d",
        "time": r"\d\d:\d\d:\d\dZ",
        "duration": r"P\d+D",
        "uri": "https://.+",
        "uuid": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
        "hostname": r"[a-z0-9.]+",
        "json-pointer": "/.+",
    }
    assert form in checker.checkers or re.fullmatch(forms.get(form, ".+"), example[0])


@pytest.mark.parametrize(
    ("schema", "example"),
    [
        ({"type": "object", "properties": {"city": {"type": "string"}}}, {"city": "Paris"}),
        ({"properties": {"homeCity": {"type": "string"}}}, {"homeCity": "Paris"}),
        ({"properties": {"start_date": {"type": "string"}}}, {"start_date": "2026-01-16"}),
        ({"properties": {"age": {"type": "integer"}}}, {"age": 36}),
        ({"properties": {"age": {"type": "integer", "maximum": 9}}}, {"age": 9}),
        ({"properties": {"price": {"type": "number"}}}, {"price": 9.99}),
        ({"properties": {"tags": {"items": {"type": "string"}}}}, {"tags": ["example tag"]}),
        ({"properties": {"odd": {"type": "string"}}}, {"odd": "example odd"}),
        ({"type": "string", "examples": ["Rome", "Oslo"]}, "Rome"),
        ({"type": "string", "default": "Bern"}, "Bern"),
        ({"type": "string", "pattern": "^[A-Z]{3}-[0-9]{4}$"}, "AAA-0000"),
        ({"type": "string", "minLength": 10, "maxLength": 10}, "example ex"),
        ({"type": ["null", "boolean"]}, True),
        ({"type": "array", "items": {"type": "integer"}, "uniqueItems": True, "minItems": 3},
         [1, 2, 3]),
    ],
    ids=str,
)  # fmt: skip
def test_an_example_is_plausible(schema, example):
    assert example_of(schema) == example


@pytest.mark.parametrize(
    "schema",
    [
        False,
        {"$ref": "#"},
        {"$ref": "#/$defs/A", "$defs": {"A": {"anyOf": [{"$ref": "#/$defs/A"}] * 2}}},
        {"$ref": "#/$defs/A", "$defs": {"A": {"allOf": [{"$ref": "#/$defs/A"}] * 2}}},
        {"allOf": [{"anyOf": [{"minimum": each} for each in range(20)]}] * 20 + [False]},
        {"type": "object", "minProperties": 10**9, "propertyNames": {"pattern": "^(a+)+$"}},
        {"type": "array", "minItems": 10**9, "uniqueItems": True, "items": {"type": "string"}},
        {"type": "array", "minContains": 10**9, "contains": {"contains": {"$ref": "#"}}},
        {"type": "string", "minLength": 1e300},
        {"type": "string", "pattern": "^((((a{1000}){1000}){1000}){1000}b)$"},
        {"type": "string", "pattern": "^(a{0}){1000000000}b+$"},
        {"type": "string", "pattern": "^(a|a)*$", "minLength": 100, "not": {"pattern": "b"}},
        {"type": "string", "pattern": "(?<=b)a(?!a)", "minLength": 100},
        {"type": "string", "patternProperties": {"^(a+)+$": {}}},
        {"type": "integer", "multipleOf": 1e-300, "minimum": 1e300},
        {"type": "string", "not": {}},
    ],
    ids=str,
)
def test_an_example_of_a_schema_without_one_is_bounded(schema):
    began = time.thread_time()

    example = example_of(schema)

    assert len(json.dumps(example)) < 50_000
    assert time.thread_time() - began < 8  # 1.5 s on a machine without other load


@pytest.mark.parametrize(
    ("pattern", "slow"),
    [
        ("^[a-z]+-[0-9]{3}$", False),
        (r"^(\w+)\s(\w+)$", False),
        ("^(red|green)$", False),
        ("^(a+)+$", True),
        ("^([a-z]+[.])+[a-z]+$", True),
        ("^(a|b)*$", False),
        ("^(a|bc)*$", True),
        ("a*a*a*a*a*", True),
        ("a{30000}", True),
        ("(a{0}){30000}", True),
        ("^(?:a?){50}$", True),
    ],
)
def test_slow_patterns_are_known(pattern, slow):
    assert is_slow(pattern) is slow


@pytest.mark.parametrize(
    "pattern",
    [
        "^([a-z]+[.])+[a-z]+$",
        "^(a|bc)*$",
        r"^(?P<x>ab?)(?P=x)[^\W]\S\s\D$",
        "^(?>a+)b$",
        r"^a{2,}?[\d_][^\n]..$",
    ],
)
def test_texts_without_a_search_match_nevertheless(pattern):
    for variant in range(4):
        found = text_matching(pattern, 3, 40, variant, search=False)
        assert found is not None
        assert re.search(pattern, found)


class City(msgspec.Struct):
    name: str
    population: int
    districts: list[str]


def test_outputs_are_filled(acechat_service):
    with Client(acechat_service.token, base_url=acechat_service.url) as client:
        for strategy in ("auto", "json_schema"):
            reply = client.chat("A city?", output_type=Output(City, strategy=strategy))
            assert reply.output == City("Ada Lovelace", 1, ["example district"])
            with client.stream("A city?", output_type=Output(City, strategy=strategy)) as stream:
                assert [*stream.partials()][-1]["population"] == 1
        reply = client.chat("?", response_format={"type": "json_object"})
        assert json.loads(reply.text) == {}


async def output_of(service):
    async with AsyncClient(service.token, base_url=service.url) as client:
        return (await client.chat("Numbers?", output_type=dict[str, list[int]])).output


def test_outputs_are_filled_for_an_async_client():
    import asyncio

    with Service() as service:
        assert asyncio.run(output_of(service)) == {}


@pytest.mark.parametrize(
    "form", [3, {}, {"type": "text"}, {"type": "json_schema", "json_schema": 3}], ids=str
)
def test_other_response_formats_get_the_echo(acechat_service, form):
    with Client(acechat_service.token, base_url=acechat_service.url) as client:
        if form == 3:
            form = {"type": "json_schema"}
        assert client.chat("Hello", response_format=form).text.startswith("You said")
