"""Counting tokens: requests in Anthropic's format, and the count of the response."""

from __future__ import annotations

import json

import pytest

from acechat._wire.endpoints import build_count, decode_count
from acechat._wire.messages import gather_messages
from acechat.errors import ConfigurationError, ProtocolError
from acechat.types import (
    AssistantMessage,
    FunctionCall,
    ImagePart,
    ImageURL,
    SystemMessage,
    TextPart,
    ToolCall,
    ToolMessage,
    UserMessage,
)

MODEL = "claude-sonnet-4-20250514"


def counted(*messages, tools=None):
    gathered = gather_messages([], messages=messages, system=None)
    return json.loads(build_count(gathered, model=MODEL, tools=tools).body)


def text(words):
    return {"type": "text", "text": words}


def test_a_count_is_posted_to_its_own_endpoint():
    request = build_count([UserMessage(content="Hi")], model=MODEL, tools=None)

    assert (request.method, request.path) == ("POST", "/messages/count_tokens")
    assert json.loads(request.body) == {
        "model": MODEL,
        "messages": [{"role": "user", "content": [text("Hi")]}],
    }


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (UserMessage(content="Hi"), {"role": "user", "content": [text("Hi")]}),
        ({"role": "user", "content": "Hi"}, {"role": "user", "content": [text("Hi")]}),
        (
            UserMessage(content=[TextPart("Hi"), ImagePart(ImageURL("https://host/cat.png"))]),
            {
                "role": "user",
                "content": [
                    text("Hi"),
                    {"type": "image", "source": {"type": "url", "url": "https://host/cat.png"}},
                ],
            },
        ),
        (
            UserMessage(content=[ImagePart(ImageURL("data:image/png;base64,iVBO"))]),
            {
                "role": "user",
                "content": [
                    {
                        "type": "image",
                        "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"},
                    }
                ],
            },
        ),
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": "https://host/c.png"}]},
            {
                "role": "user",
                "content": [
                    {"type": "image", "source": {"type": "url", "url": "https://host/c.png"}}
                ],
            },
        ),
        (
            AssistantMessage(content="Hi", reasoning_content="Hm"),
            {"role": "assistant", "content": [text("Hi")]},
        ),
        (
            AssistantMessage(tool_calls=[ToolCall("t-1", function=FunctionCall("f", '{"x": 1}'))]),
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "t-1", "name": "f", "input": {"x": 1}}],
            },
        ),
        (
            {
                "role": "assistant",
                "content": "Hm",
                "tool_calls": [{"id": "t-1", "function": {"name": "f", "arguments": ""}}],
            },
            {
                "role": "assistant",
                "content": [
                    text("Hm"),
                    {"type": "tool_use", "id": "t-1", "name": "f", "input": {}},
                ],
            },
        ),
        (
            ToolMessage(content="22°", tool_call_id="t-1"),
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "t-1", "content": [text("22°")]}
                ],
            },
        ),
    ],
)
def test_messages_are_counted_in_anthropics_format(message, expected):
    assert counted(message)["messages"] == [expected]


def test_system_prompts_are_a_field_of_their_own():
    body = counted(
        SystemMessage(content="Be brief."),
        {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
        UserMessage(content="Hi"),
    )

    assert body["system"] == [text("Be brief."), text("Be kind.")]
    assert [message["role"] for message in body["messages"]] == ["user"]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (
            {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True},
            {"name": "f", "description": "d", "input_schema": {"type": "object"}},
        ),
        ({"name": "f"}, {"name": "f", "input_schema": {"type": "object", "properties": {}}}),
    ],
)
def test_tools_are_counted_in_anthropics_format(function, expected):
    body = counted(UserMessage(content="Hi"), tools=[{"type": "function", "function": function}])

    assert body["tools"] == [expected]


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "system"}, {"role": "user", "content": "Hi"}],
        [{"role": "user"}],
        [{"role": "user", "content": None}],
        [{"role": "assistant", "tool_calls": [{"id": "t-1", "function": {"name": "f"}}]}],
    ],
)
def test_messages_with_missing_fields_are_counted(messages):
    assert counted(*messages)["messages"]


@pytest.mark.parametrize(
    ("messages", "tools"),
    [
        ([{"role": "assistant", "tool_calls": [{"id": "t-1"}]}], None),
        ([{"role": "user", "content": [{"type": "image_url"}]}], None),
        ([{"role": "user", "content": "Hi"}], [{"name": "f"}]),
        ([{"role": "user", "content": "Hi"}], [5]),
    ],
)
def test_a_malformed_message_or_tool_is_refused_before_sending(messages, tools):
    with pytest.raises((ConfigurationError, TypeError), match=r"\w+ \w+"):
        counted(*messages, tools=tools)


def test_a_call_with_malformed_arguments_is_counted_as_it_is_sent():
    call = {"id": "t-1", "function": {"name": "f", "arguments": '{"x":'}}

    body = counted({"role": "assistant", "tool_calls": [call]})

    assert body["messages"][0]["content"][0]["input"] == {}


@pytest.mark.parametrize(
    ("body", "count"),
    [(b'{"input_tokens": 11}', 11), (b'{"input_tokens": 0, "x": []}', 0)],
)
def test_a_count_is_decoded(body, count):
    assert decode_count(body) == count


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"11",
        b"{}",
        b'{"input_tokens": null}',
        b'{"input_tokens": "11"}',
        b'{"input_tokens": true}',
        b"<html>",
        b"\xff",
    ],
)
def test_a_body_that_is_not_a_count_is_an_error(body):
    with pytest.raises(ProtocolError, match="token count") as caught:
        decode_count(body)

    assert caught.value.body == body
