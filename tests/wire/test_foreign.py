"""Tools, tool choices and content parts in the formats of other APIs."""

from __future__ import annotations

import pytest

from acechat._wire.foreign import convert_part, convert_tool, convert_tool_choice
from acechat.errors import ConfigurationError

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
OURS = {"type": "function", "function": {"name": "f", "description": "d", "parameters": SCHEMA}}
NAMED = {"name": "f", "description": "d"}

TOOLS = {
    "ours": OURS,
    "anthropic": NAMED | {"input_schema": SCHEMA},
    "anthropic custom": {"type": "custom", **NAMED, "input_schema": SCHEMA},
    "openai responses": {"type": "function", **NAMED, "parameters": SCHEMA},
    "openai functions=": NAMED | {"parameters": SCHEMA},
    "mcp": NAMED | {"inputSchema": SCHEMA},
}


@pytest.mark.parametrize("tool", TOOLS.values(), ids=TOOLS)
def test_a_function_in_any_format_is_sent_in_that_of_the_service(tool):
    assert convert_tool(tool) == OURS


def test_strict_and_cache_control_of_a_tool_are_kept():
    tool = NAMED | {"input_schema": SCHEMA, "strict": True, "cache_control": {"type": "ephemeral"}}

    converted = convert_tool(tool)

    assert converted["function"]["strict"] is True
    assert converted["cache_control"] == {"type": "ephemeral"}


@pytest.mark.parametrize(
    ("tool", "named"),
    [
        ({"type": "web_search_20250305", "name": "web_search"}, "web_search_options={}"),
        ({"type": "web_search_preview"}, "web_search_options={}"),
        ({"type": "bash_20250124", "name": "bash"}, "'bash_20250124' is not a function"),
        ({"type": "computer_use_preview"}, "'computer_use_preview' is not a function"),
        ({"type": "custom", "custom": {"name": "x"}}, "'custom' is not a function"),
        ({"functionDeclarations": []}, "'functionDeclarations' is not a function"),
        ({"toolSpec": {"name": "f"}}, "'toolSpec' is not a function"),
        ({"name": "f"}, "'name' is not a function"),
    ],
)
def test_a_tool_that_is_no_function_is_refused_by_name(tool, named):
    with pytest.raises(ConfigurationError, match=named):
        convert_tool(tool)


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("auto", "auto"),
        ("any", "required"),
        ("later", "later"),
        ({"type": "auto"}, "auto"),
        ({"type": "any"}, "required"),
        ({"type": "none"}, "none"),
        ({"type": "tool", "name": "f"}, {"type": "function", "function": {"name": "f"}}),
        ({"type": "function", "name": "f"}, {"type": "function", "function": {"name": "f"}}),
        (
            {"type": "function", "function": {"name": "f"}},
            {"type": "function", "function": {"name": "f"}},
        ),
        ({"type": "later"}, {"type": "later"}),
        (5, 5),
        ({"type": 5}, {"type": 5}),
    ],
)
def test_a_tool_choice_in_any_format(given, sent):
    assert convert_tool_choice(given) == sent


DATA = "data:image/png;base64,aGk="
HTTPS = "https://example.com/x.png"


@pytest.mark.parametrize(
    ("part", "url"),
    [
        (
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": "aGk="},
            },
            DATA,
        ),
        ({"type": "image", "source": {"type": "url", "url": HTTPS}}, HTTPS),
        ({"type": "image", "url": HTTPS}, HTTPS),
        ({"type": "image", "base64": "aGk=", "mime_type": "image/png"}, DATA),
        (
            {"type": "image", "source_type": "base64", "data": "aGk=", "mime_type": "image/png"},
            DATA,
        ),
        ({"type": "input_image", "image_url": HTTPS}, HTTPS),
    ],
)
def test_an_image_in_any_format(part, url):
    assert convert_part(part) == {"type": "image_url", "image_url": {"url": url}}


def test_the_detail_of_an_image_is_kept():
    part = {"type": "input_image", "image_url": HTTPS, "detail": "low"}

    assert convert_part(part)["image_url"] == {"url": HTTPS, "detail": "low"}


def test_a_text_of_the_responses_api():
    assert convert_part({"type": "input_text", "text": "Hi"}) == {"type": "text", "text": "Hi"}


@pytest.mark.parametrize(
    "part",
    [
        {"type": "text", "text": "Hi"},
        {"type": "image_url", "image_url": {"url": HTTPS}},
        {"type": "image_url", "image_url": HTTPS},
        {"type": "file", "file": {"filename": "x.pdf"}},
        {"type": "later"},
    ],
)
def test_other_parts_are_sent_unchanged(part):
    assert convert_part(part) is part


@pytest.mark.parametrize(
    ("part", "hint"),
    [
        ({"type": "image", "source": {"type": "file", "file_id": "x"}}, r"use image\(\.\.\.\)"),
        ({"type": "image"}, r"use image\(\.\.\.\)"),
        ({"type": "input_image", "file_id": "x"}, r"use image\(\.\.\.\)"),
        ({"type": "tool_use", "id": "1", "name": "f", "input": {}}, "'tool_use': .*tool_calls"),
        ({"type": "tool_result", "tool_use_id": "1"}, "'tool_result': .*tool_call_id"),
        ({"type": "function_call"}, "'function_call': .*tool_calls"),
        ({"type": "function_call_output"}, "'function_call_output': .*tool_call_id"),
        ({"type": "thinking", "thinking": "x"}, "'thinking': leave it out"),
        ({"type": "redacted_thinking"}, "'redacted_thinking': leave it out"),
    ],
)
def test_a_part_that_this_api_has_elsewhere_is_refused_by_name(part, hint):
    with pytest.raises(ConfigurationError, match=hint):
        convert_part(part)
