"""Names, schemas and results of MCP servers, as the service accepts them."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from itertools import permutations

import pytest

from acechat import ImagePart, Tool
from acechat.mcp import tools as _mcp_tools
from acechat.mcp.server import Server
from acechat.mcp.tools import Parameters, parts_of, repaired, unique_names

types = pytest.importorskip("mcp.types")

NAMES = {
    "in Chinese": (["查询天气", "查询时间"], ""),
    "in Chinese with a prefix": (["查询天气", "查询时间"], "web_"),
    "punctuation": (["a.b", "a/b", "a b", "a_b"], ""),
    "too long": (["x" * 70 + "1", "x" * 70 + "2", "x" * 64], ""),
    "too long with a prefix": (["x" * 60 + "1", "x" * 60 + "2"], "mine_"),
    "a prefix that is too long": (["a", "b"], "p" * 80),
    "a prefix that is cleaned": (["a", "b"], "my server: "),
    "empty": (["", " "], ""),
    "half characters": (["\ud800", "\ud801"], ""),
    "control characters": (["a\n", "a\t", "a\0"], ""),
}


@pytest.mark.parametrize(("names", "prefix"), NAMES.values(), ids=NAMES)
def test_names_are_valid_and_unique_in_any_order(names, prefix):
    first = unique_names(names, prefix=prefix)

    assert len(set(first.values())) == len(names)
    for name in first.values():
        Tool(name=name, function=print)  # raises for a name that the service rejects
    for order in permutations(names):
        assert unique_names(order, prefix=prefix) == first


def test_valid_names_are_unchanged():
    names = ["forecast", "show.everything", "a_b", "a.b", "x" * 64]

    new = unique_names(names)

    assert new["forecast"] == "forecast"
    assert new["show.everything"] == "show_everything"
    assert new["a_b"] == "a_b"
    assert re.fullmatch("a_b_[0-9a-f]{12}", new["a.b"])
    assert new["x" * 64] == "x" * 64


def test_a_name_equal_to_a_digest_does_not_change_others():
    taken = unique_names(["é"])["é"]

    new = unique_names(["é", taken])

    assert new[taken] == taken
    assert new["é"] != taken


def parameters_of(schema):
    tool = {"name": "x", "inputSchema": schema}
    repaired(tool)
    types.Tool.model_validate(tool)  # mcp accepts it
    return Parameters.of(tool["inputSchema"])


PROPERTIES = {"url": {"type": "string"}, "file": {"type": "string"}}
NODE = {"properties": {"child": {"$ref": "#"}}, "anyOf": [{"required": ["child"]}]}

ACCEPTED = {
    "none": (None, {"type": "object", "properties": {}}),
    "empty": ({}, {"type": "object", "properties": {}}),
    "without properties": ({"type": "object"}, {"type": "object", "properties": {}}),
    "without a type": (
        {"properties": PROPERTIES},
        {"type": "object", "properties": PROPERTIES},
    ),
    "nulls": (
        {"type": "object", "properties": None, "required": None, "title": None},
        {"type": "object", "properties": {}},
    ),
    "an empty array, as PHP writes it": (
        {"type": "object", "properties": []},
        {"type": "object", "properties": {}},
    ),
    "or null": ({"type": ["object", "null"]}, {"type": "object", "properties": {}}),
}


@pytest.mark.parametrize(("given", "sent"), ACCEPTED.values(), ids=ACCEPTED)
def test_a_schema_gets_a_type_and_properties(given, sent):
    parameters = parameters_of(given)

    assert parameters.schema == sent
    assert parameters.restore({"url": "x"}) == {"url": "x"}


@pytest.mark.parametrize(
    "keyword",
    [
        {"anyOf": [{"required": ["url"]}, {"required": ["file"]}]},
        {"oneOf": [{"required": ["url"]}, {"required": ["file"]}]},
        {"allOf": [{"required": ["url"]}]},
        {"not": {"required": ["url", "file"]}},
        {"enum": [{"url": "x"}]},
        {"const": {"url": "x"}},
        {"$ref": "#/$defs/a", "$defs": {"a": {"type": "object"}}},
    ],
    ids=lambda keyword: next(iter(keyword)),
)
def test_a_schema_with_a_union_at_the_top_level_is_wrapped(keyword):
    parameters = parameters_of({"type": "object", "properties": PROPERTIES, **keyword})

    assert set(parameters.schema) - {"$defs"} == {"type", "properties", "required"}
    inner = parameters.schema["properties"]["arguments"]
    assert inner["properties"] == PROPERTIES
    assert {**inner, **parameters.schema}.keys() >= keyword.keys()
    assert parameters.restore({"arguments": {"url": "x"}}) == {"url": "x"}
    assert parameters.restore({"url": "x"}) == {"url": "x"}  # the model omitted the wrapper
    with pytest.raises(ValueError, match="'arguments' must be an object"):
        parameters.restore({"arguments": "x"})


def test_references_in_a_wrapped_schema_point_to_their_targets():
    definitions = {"leaf": {"type": "string"}, "tree": {"items": {"$ref": "#/$defs/leaf"}}}
    literal = {"const": {"$ref": "#"}}
    given = {"$id": "https://x", **NODE, "$defs": definitions, "patternProperties": {"a": literal}}

    schema = parameters_of(given).schema

    inner = schema["properties"]["arguments"]
    assert inner["properties"]["child"] == {"$ref": "#/properties/arguments"}
    assert schema["$defs"] == definitions
    assert inner["patternProperties"] == {"a": literal}
    assert "$id" not in json.dumps(schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array"},
        {"type": ["string"]},
        {"type": 1},
        {"properties": [1]},
        {"$defs": 1},
        True,
        "x",
    ],
)
def test_a_schema_of_no_object_is_rejected(schema):
    with pytest.raises(ValueError, match="inputSchema"):
        parameters_of(schema)


def test_properties_are_renamed_for_the_service_and_restored_for_the_server():
    given = {
        "properties": {
            "filter[name]": {},
            "filter{name}": {},
            "日期": {},
            "a.b-c": {},
            "y" * 70: {},
        },
        "required": ["日期", "a.b-c"],
    }

    parameters = parameters_of(given)

    names = list(parameters.schema["properties"])
    assert all(re.fullmatch("[a-zA-Z0-9_.-]{1,64}", name) for name in names)
    assert len(set(names)) == len(given["properties"])
    assert parameters.schema["required"] == [names[2], "a.b-c"]
    sent = dict.fromkeys(names, 1)
    assert parameters.restore(sent) == dict.fromkeys(given["properties"], 1)


PNG, JPEG = b"\x89PNG\r\n\x1a\n" + bytes(9), b"\xff\xd8\xff\xe0" + bytes(9)
GIF, WEBP = b"GIF89a" + bytes(9), b"RIFF....WEBP" + bytes(9)
SVG = b"<svg xmlns='http://www.w3.org/2000/svg'/>"


def text_of(data):
    return data if isinstance(data, str) else b64encode(data).decode()


def image_content(data, declared):
    return types.ImageContent(data=text_of(data), mime_type=declared)


def blob(data, declared):
    resource = types.BlobResourceContents(uri="file:///x", blob=text_of(data), mime_type=declared)
    return types.EmbeddedResource(resource=resource)


def result_of(*content, **more):
    return types.CallToolResult(content=list(content), **more)


@pytest.mark.parametrize("make", [image_content, blob])
@pytest.mark.parametrize("declared", ["image/png", "image/jpg", "application/octet-stream", ""])
@pytest.mark.parametrize(
    ("data", "kind"), [(PNG, "png"), (JPEG, "jpeg"), (GIF, "gif"), (WEBP, "webp")]
)
def test_the_image_type_is_that_of_its_bytes(make, declared, data, kind):
    (part,) = parts_of(result_of(make(data, declared)))

    assert isinstance(part, ImagePart)
    assert part.image_url.url == f"data:image/{kind};base64,{text_of(data)}"


@pytest.mark.parametrize("make", [image_content, blob])
@pytest.mark.parametrize(
    "data", [SVG, b"BM" + bytes(20), b"II*\0" + bytes(20), b"", "no base64!", "é", "A"]
)
def test_an_unsupported_image_becomes_text(make, data):
    (part,) = parts_of(result_of(make(data, "image/svg+xml,<script>" + "x" * 1000)))

    assert part.text.startswith("(image/svg+xml,<script>")
    assert part.text.endswith(": not supported)")
    assert len(part.text) < 300


STRUCTURED = {
    "repeated": ({"a": 1.0}, ['{"a": 1}'], 1),
    "repeated by the official package": ({"result": "rain"}, ["rain"], 1),
    "a number": ({"result": 3}, ["3"], 1),
    "a list, an item for each text": ({"result": ["a", {"b": 1}, 2]}, ["a", '{"b": 1}', "2"], 3),
    "texts that are JSON": ({"result": ["1", "[]"]}, ["1", "[]"], 2),
    "a text in quotes": ({"result": "rain"}, ['"rain"'], 1),
    "a summary": ({"rows": [1, 2]}, ["2 rows"], 2),
    "a part": ({"a": 1, "b": 2}, ['{"a": 1}'], 2),
    "no text": ({"a": 1}, [], 1),
    "an empty list": ({"result": []}, [], 1),
    "an empty object": ({}, ["done"], 2),
    "large numbers": ({"n": 2**80}, ["see"], 2),
    "text that nests": ({"a": 1}, ["[" * 100_000], 2),
}


@pytest.mark.parametrize(("structured", "texts", "count"), STRUCTURED.values(), ids=STRUCTURED)
def test_structured_content_is_added_unless_repeated_in_texts(structured, texts, count):
    content = [types.TextContent(text=text) for text in texts]

    parts = parts_of(result_of(*content, structured_content=structured))

    assert [part.text for part in parts[: len(texts)]] == texts
    assert len(parts) == count
    if count > len(texts):
        assert json.loads(parts[-1].text) == structured


def test_a_result_that_is_too_large_is_rejected(monkeypatch):
    monkeypatch.setattr(_mcp_tools, "_MAX_RESULT", 1000)
    large, half = "x" * 1001, "x" * 501

    for content, structured in [
        ([types.TextContent(text=large)], None),
        ([types.TextContent(text=half), types.TextContent(text=half)], None),
        ([image_content(PNG * 100, "image/png")], None),
        ([blob(b"x" * 1000, "font/woff")], None),
        ([types.AudioContent(data=large, mime_type="audio/wav")], None),
        ([types.TextContent(text=half)], {"a": half}),
    ]:
        with pytest.raises(ValueError, match=r"more than 1,000"):
            parts_of(result_of(*content, structured_content=structured))


def test_errors_show_neither_headers_nor_the_secret_parts_of_a_url():
    url = "https://ada:password@example.com/mcp?key=0123456789"
    server = Server(url, {"Authorization": "Bearer sk-0123456789", "X-Debug": "1"})

    reason = server.reason(
        ExceptionGroup("", [OSError(f"401 for {url}: Bearer sk-0123456789, sk-0123456789, 1")])
    )

    assert str(server) == "the connection to the MCP server 'https://example.com/mcp'"
    assert reason == "OSError: 401 for https://example.com/mcp: …, …, 1"
