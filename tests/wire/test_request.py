"""Building a request: its exact body, and input that is refused."""

from __future__ import annotations

import json
from types import MappingProxyType

import pytest

from acechat._config import Config
from acechat._credentials import Token
from acechat._tools.tool import write_functions
from acechat._wire.messages import gather_messages
from acechat._wire.request import HTTPRequest, build_request, build_template, reads_as_stream
from acechat.errors import ConfigurationError
from acechat.types import (
    AssistantMessage,
    ChatOptions,
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
CONFIG = Config(token=Token("token"), api_root="https://api.test/v1")
IMAGE_URL = "https://cdn.acedata.cloud/ueugot.png"


def request(*content, messages=(), system=None, stream=False, body=None, headers=None, **options):
    if options.get("tools"):
        options["tools"] = write_functions(options["tools"])  # as the base client does
    said = gather_messages(content, messages=messages, system=system)
    template = build_template(
        CONFIG, options, model=MODEL, extra_body=body, extra_headers=headers, stream=stream
    )
    return template.request(said)


def sent(*content, **settings):
    return json.loads(request(*content, **settings).body)


# One value for each of the 26 optional fields, as given and as sent.
OPTIONS = {
    "max_tokens": 100,
    "max_completion_tokens": 100,
    "temperature": 0.5,
    "top_p": 0.9,
    "n": 2,
    "stop": ["a", "b"],
    "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}},
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "parallel_tool_calls": False,
    "stream_options": {"include_usage": True},
    "reasoning_effort": "xhigh",
    "frequency_penalty": -2,
    "presence_penalty": 2,
    "seed": 7,
    "logprobs": True,
    "top_logprobs": 20,
    "logit_bias": {"50256": -100},
    "user": "u-1",
    "metadata": {"k": "v"},
    "store": False,
    "service_tier": "flex",
    "modalities": ["text"],
    "audio": {"voice": "alloy", "format": "mp3"},
    "prediction": {"type": "content", "content": "x"},
    "web_search_options": {
        "search_context_size": "low",
        "user_location": {"type": "approximate", "approximate": {"country": "FR"}},
    },
}


def test_the_table_has_every_option():
    assert set(OPTIONS) == set(ChatOptions.__annotations__)
    assert len(OPTIONS) + len({"model", "messages", "stream"}) == 29


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_is_sent_unchanged(name):
    body = sent("Hi", **{name: OPTIONS[name]})

    assert body == {
        "model": MODEL,
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": False,
        name: OPTIONS[name],
    }


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_of_none_is_not_sent(name):
    assert name not in sent("Hi", **{name: None})


def test_all_fields_of_a_request_are_sent_together():
    options = {name: value for name, value in OPTIONS.items() if name != "max_completion_tokens"}

    body = sent("Hi", stream=True, **options)

    assert body == {
        "model": MODEL,
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": True,
        **options,
    }


@pytest.mark.parametrize("stop", ["end", ["a"], ("a", "b")])
def test_stop_is_one_string_or_several(stop):
    assert sent("Hi", stop=stop)["stop"] == (stop if isinstance(stop, str) else list(stop))


def test_false_and_zero_are_sent():
    body = sent("Hi", temperature=0, seed=0, logprobs=False, stop="", metadata={})

    assert body.items() >= {"temperature": 0, "seed": 0, "logprobs": False, "stop": ""}.items()
    assert body["metadata"] == {}


def test_unknown_values_of_options_are_sent():
    body = sent("Hi", reasoning_effort="max", service_tier="gold", tool_choice="sometimes")

    assert (body["reasoning_effort"], body["service_tier"]) == ("max", "gold")
    assert body["tool_choice"] == "sometimes"


def test_the_documented_requests_are_sent_field_for_field():
    hello = {"role": "user", "content": "Hello"}
    history = [
        hello,
        {"role": "assistant", "content": "Hello! How can I help you today?"},
        {"role": "user", "content": "What I say just now?"},
    ]
    image_part = {"type": "image_url", "image_url": {"url": IMAGE_URL}}

    assert sent("Hello", stream=True) == {"model": MODEL, "messages": [hello], "stream": True}
    assert sent(messages=history) == {"model": MODEL, "messages": history, "stream": False}
    assert sent("What's in this image?", ImagePart(ImageURL(IMAGE_URL)))["messages"] == [
        {
            "role": "user",
            "content": [{"type": "text", "text": "What's in this image?"}, image_part],
        }
    ]


def test_a_request_is_posted_to_the_chat():
    made = request("Hi", headers={"X-Title": "Ace"})

    assert (made.method, made.path, made.headers) == (
        "POST",
        "/chat/completions",
        {"X-Title": "Ace"},
    )


def test_a_request_reports_whether_it_streams():
    assert sent("Hi")["stream"] is False
    assert sent("Hi", stream=True)["stream"] is True


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (["Hi"], "Hi"),
        ([""], ""),
        (["Hi", "there"], [{"type": "text", "text": "Hi"}, {"type": "text", "text": "there"}]),
        ([TextPart("Hi")], [{"type": "text", "text": "Hi"}]),
        (
            [ImagePart(ImageURL(IMAGE_URL, "low"))],
            [{"type": "image_url", "image_url": {"url": IMAGE_URL, "detail": "low"}}],
        ),
        (
            ["Hi", {"type": "file", "file": {"filename": "x.pdf", "file_data": "QQ=="}}],
            [
                {"type": "text", "text": "Hi"},
                {"type": "file", "file": {"filename": "x.pdf", "file_data": "QQ=="}},
            ],
        ),
    ],
)
def test_positional_content_is_one_user_message(content, expected):
    assert sent(*content)["messages"] == [{"role": "user", "content": expected}]


def test_messages_are_sent_in_order():
    body = sent(
        "now",
        system="Be brief.",
        messages=[
            UserMessage(content="then"),
            AssistantMessage(content="yes"),
            {"role": "user", "content": "and"},
        ],
    )

    assert [(each["role"], each["content"]) for each in body["messages"]] == [
        ("system", "Be brief."),
        ("user", "then"),
        ("assistant", "yes"),
        ("user", "and"),
        ("user", "now"),
    ]


def test_messages_may_be_an_iterator():
    assert sent(messages=(UserMessage(content=text) for text in "ab"))["messages"] == [
        {"role": "user", "content": "a"},
        {"role": "user", "content": "b"},
    ]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (SystemMessage(content="x"), {"role": "system", "content": "x"}),
        (UserMessage(content="x", name="ada"), {"role": "user", "content": "x", "name": "ada"}),
        (AssistantMessage(), {"role": "assistant"}),
        (
            AssistantMessage(tool_calls=[ToolCall("t-1", function=FunctionCall("f", '{"x":1}'))]),
            {
                "role": "assistant",
                "tool_calls": [
                    {
                        "id": "t-1",
                        "type": "function",
                        "function": {"name": "f", "arguments": '{"x":1}'},
                    }
                ],
            },
        ),
        (
            AssistantMessage(tool_calls=[ToolCall("t-1", function=FunctionCall("f", ""))]),
            {
                "role": "assistant",
                "tool_calls": [
                    {"id": "t-1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
                ],
            },
        ),
        (
            ToolMessage(content="22°", tool_call_id="t-1"),
            {"role": "tool", "content": "22°", "tool_call_id": "t-1"},
        ),
        (
            UserMessage(content=[TextPart("x"), ImagePart(ImageURL(IMAGE_URL))]),
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "x"},
                    {"type": "image_url", "image_url": {"url": IMAGE_URL}},
                ],
            },
        ),
        ({"role": "critic", "content": "x"}, {"role": "critic", "content": "x"}),
        ({"role": "user"}, {"role": "user"}),
        ({"role": "user", "content": None, "x": 1}, {"role": "user", "content": None, "x": 1}),
        ({"role": "developer", "content": "x"}, {"role": "system", "content": "x"}),
        (
            {"role": "user", "content": [TextPart("x")]},
            {"role": "user", "content": [{"type": "text", "text": "x"}]},
        ),
        (MappingProxyType({"role": "user", "content": "x"}), {"role": "user", "content": "x"}),
    ],
)
def test_messages_are_structs_or_the_apis_own_json(message, expected):
    assert sent(messages=[message])["messages"] == [expected]


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ({"name": "f", "arguments": ""}, "{}"),
        ({"name": "f", "arguments": None}, "{}"),
        ({"name": "f"}, "{}"),
        ({"name": "f", "arguments": '{"x":1}'}, '{"x":1}'),
        ({"name": "f", "arguments": '{"city": "Par'}, "{}"),
        ({"name": "f", "arguments": "[1, 2]"}, "{}"),
        ({"name": "f", "arguments": "null"}, "{}"),
        ({"name": "f", "arguments": {"x": 1}}, '{"x":1}'),
    ],
)
def test_arguments_of_calls_are_sent_as_an_object(function, arguments):
    """The service skips a call with any other arguments (docs/api.md#messages)."""
    call = {"id": "t-1", "type": "function", "function": function}
    before = json.dumps(call)

    body = sent(messages=[{"role": "assistant", "tool_calls": [call]}])

    (call_sent,) = body["messages"][0]["tool_calls"]
    assert call_sent == {**call, "function": {"name": "f", "arguments": arguments}}
    assert json.dumps(call) == before


@pytest.mark.parametrize("arguments", ['{"city": "Par', "[1, 2]", " "])
def test_malformed_arguments_of_a_call_are_sent_as_empty(arguments):
    message = AssistantMessage(tool_calls=[ToolCall("t-1", function=FunctionCall("f", arguments))])

    body = sent(messages=[message])

    assert body["messages"][0]["tool_calls"][0]["function"] == {"name": "f", "arguments": "{}"}
    assert message.tool_calls[0].function.arguments == arguments


@pytest.mark.parametrize("call", [{"id": "t-1"}, {"function": "f"}, "t-1"])
def test_a_malformed_call_is_sent_unchanged(call):
    body = sent(messages=[{"role": "assistant", "tool_calls": [call]}])

    assert body["messages"][0]["tool_calls"] == [call]


def test_tool_calls_of_a_completion_may_be_used_in_a_dict():
    calls = [ToolCall("t-1", function=FunctionCall("f", '{"x":1}'))]

    body = sent(messages=[{"role": "assistant", "content": None, "tool_calls": calls}])

    assert body["messages"][0]["tool_calls"][0]["function"]["arguments"] == '{"x":1}'


@pytest.mark.parametrize("parameters", [None, {}, "missing"])
def test_a_tool_without_parameters_gets_an_empty_schema(parameters):
    function = {"name": "f", "parameters": parameters}
    if parameters == "missing":
        del function["parameters"]

    body = sent("Hi", tools=[{"type": "function", "function": function}])

    assert body["tools"][0]["function"]["parameters"] == {"type": "object", "properties": {}}
    assert function.get("parameters") != {"type": "object", "properties": {}}


def test_extra_body_adds_and_replaces_fields():
    body = sent("Hi", body={"top_k": 5, "model": "other", "reasoning": {"max_tokens": 10}})

    assert (body["top_k"], body["model"], body["reasoning"]) == (5, "other", {"max_tokens": 10})


def test_arguments_of_the_caller_are_not_modified():
    messages = [{"role": "developer", "content": "x"}]
    extra = {"top_k": 5}
    tools = [{"type": "function", "function": {"name": "f"}}]

    request("Hi", messages=messages, body=extra, tools=tools)

    assert messages == [{"role": "developer", "content": "x"}]
    assert extra == {"top_k": 5}
    assert tools == [{"type": "function", "function": {"name": "f"}}]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("stream", r"call client\.stream\(\.\.\.\) instead"),
        ("temprature", "did you mean 'temperature'"),
        ("max_token", "did you mean 'max_tokens'"),
        ("top_k", "extra_body="),
        ("xyzzy", "extra_body="),
    ],
)
def test_an_unknown_option_is_refused_with_a_hint(name, hint):
    with pytest.raises(TypeError, match=hint):
        build_template(CONFIG, {name: 1})


@pytest.mark.parametrize(
    ("settings", "error", "reason"),
    [
        ({"max_tokens": 1, "max_completion_tokens": 1}, ConfigurationError, "set the same limit"),
        ({"body": {"stream": True}}, ConfigurationError, "must not contain 'stream'"),
        ({"temperature": float("nan")}, ConfigurationError, "temperature is nan"),
        ({"top_p": float("inf")}, ConfigurationError, "top_p is inf"),
        ({"body": {"x": [float("-inf")]}}, ConfigurationError, r"x\[0\] is -inf"),
        ({"user": "half \ud83d"}, ConfigurationError, "lone surrogate"),
        ({"metadata": {"\udc00": "x"}}, ConfigurationError, "lone surrogate"),
        ({"system": "\ud83d"}, ConfigurationError, "lone surrogate"),
        ({"stop": object()}, TypeError, "object"),
        ({"tools": [5]}, TypeError, "a tool must be a function or a dict"),
        ({"tools": {"type": "function"}}, TypeError, "a tool must be a function or a dict"),
        ({"tools": [lambda: None]}, ConfigurationError, "invalid tool name: '<lambda>'"),
        ({"messages": "Hi"}, TypeError, "must be a list of messages"),
        ({"messages": {"role": "user"}}, TypeError, "must be a list of messages"),
        ({"messages": ["Hi"]}, TypeError, "must be a struct such as UserMessage or a dict"),
        ({"messages": [None]}, TypeError, "not NoneType"),
        ({"messages": [TextPart("x")]}, TypeError, "not TextPart"),
        ({"messages": b"Hi"}, TypeError, "not int"),
        ({"messages": None}, TypeError, "iterable"),
        ({"messages": 5}, TypeError, "iterable"),
        ({"messages": [{"content": "x"}]}, ConfigurationError, "has no role"),
        ({"messages": [{"role": ""}]}, ConfigurationError, "has no role"),
        ({"messages": [{"role": 5}]}, ConfigurationError, "has no role"),
        ({"headers": {"Authorization": "x"}}, ConfigurationError, "itself"),
        ({"headers": {"X": "a\r\nb"}}, ConfigurationError, "line breaks"),
    ],
)
def test_invalid_requests_are_refused_with_a_reason(settings, error, reason):
    with pytest.raises(error, match=reason):
        request("Hi", **settings)


@pytest.mark.parametrize(
    ("item", "hint"),
    [
        (5, r"not int: use image\(\.\.\.\) for images"),
        (None, "not NoneType"),
        (b"\x89PNG", r"use image\(\.\.\.\)"),
        (["Hi"], r"not list: messages go to messages=\[\.\.\.\]"),
        ({}, r"messages go to messages=\[\.\.\.\]"),
        ({"role": "user", "content": "x"}, r"messages go to messages=\[\.\.\.\]"),
        (UserMessage(content="x"), r"messages go to messages=\[\.\.\.\]"),
    ],
)
def test_invalid_content_is_refused_with_a_hint(item, hint):
    with pytest.raises(TypeError, match=hint):
        request(item)


@pytest.mark.parametrize("settings", [{}, {"system": "Be brief."}, {"messages": []}])
def test_a_request_without_messages_is_refused(settings):
    with pytest.raises(ConfigurationError, match="no message to send"):
        request(**settings)


def test_a_lone_surrogate_is_shown_escaped():
    with pytest.raises(ConfigurationError, match=r"'\\ud83d', which UTF-8 cannot encode"):
        request("I like \ud83d")


def test_gathering_returns_structs_unchanged():
    message = UserMessage(content="x")

    assert gather_messages([], messages=[message], system=None)[0] is message


def test_a_post_request_is_built():
    made = build_request("/messages/count_tokens", {"a": 1})

    assert (made.method, made.path, made.body, made.headers) == (
        "POST",
        "/messages/count_tokens",
        b'{"a":1}',
        {},
    )


def test_a_request_returns_its_decoded_body():
    assert build_request("/x", {"a": [1]}).json() == {"a": [1]}
    assert HTTPRequest(method="GET", path="/x").json() is None


def test_with_json_and_with_headers_return_copies():
    plain = build_request("/x", {"a": 1}).with_headers({"X-A": "1", "X-B": "1"})

    other = plain.with_json({"b": 2}).with_headers({"X-B": "2", "X-C": "3"})

    assert other.json() == {"b": 2}
    assert other.headers == {"X-A": "1", "X-B": "2", "X-C": "3"}
    assert (other.method, other.path) == ("POST", "/x")
    assert (plain.json(), plain.headers) == ({"a": 1}, {"X-A": "1", "X-B": "1"})


@pytest.mark.parametrize("model", [MODEL, f"{MODEL}-thinking", "claude-opus-5"])
@pytest.mark.parametrize(("streaming", "streamed"), [("always", True), ("never", False)])
def test_always_and_never_decide_for_every_request(streaming, streamed, model):
    assert reads_as_stream(streaming, model, {"max_tokens": 10**6}) is streamed
    assert reads_as_stream(streaming, model, {"max_tokens": 1}) is streamed


@pytest.mark.parametrize(
    ("model", "options", "streamed"),
    [
        (MODEL, {}, False),
        (MODEL, {"temperature": 1}, False),
        (MODEL, {"max_tokens": 4096}, False),
        (MODEL, {"max_tokens": 4097}, True),
        (MODEL, {"max_tokens": None, "max_completion_tokens": 4097}, True),
        (MODEL, {"max_completion_tokens": 4096}, False),
        (MODEL, {"max_tokens": "many"}, False),  # the service refuses it
        (MODEL, {"reasoning_effort": "low"}, True),
        (MODEL, {"reasoning_effort": None}, False),
        (f"{MODEL}-thinking", {}, True),
        (f"{MODEL}-thinking", {"max_tokens": 5}, True),
        ("claude-fable-5-20260101", {"max_tokens": 5}, True),
        ("claude-opus-5", {}, True),
        ("claude-opus-4-20250514", {}, False),
    ],
)
def test_auto_streams_requests_that_may_take_long(model, options, streamed):
    assert reads_as_stream("auto", model, options) is streamed


def test_a_call_that_is_not_an_object_is_sent_unchanged():
    messages = [{"role": "assistant", "tool_calls": ["odd"]}]

    assert sent(messages=messages)["messages"] == messages


def test_a_message_without_a_role_is_shown_in_part():
    with pytest.raises(ConfigurationError) as caught:
        request(messages=[{"content": "x" * 200}])

    shown = str({"content": "x" * 200})[:80]
    assert str(caught.value) == f"message has no role: {shown}"


@pytest.mark.parametrize(
    ("body", "one"),
    [
        (None, True),
        (b"{}", True),
        (b'{"n":1}', True),
        (b'{"n": 1.0, "x": 2}', True),
        (bytearray(b'{"n" : null }'), True),
        (b'{"x":"\\"n\\":2"}', True),
        (b'{"n":2}', False),
        (b'{"n":10}', False),
        (b'{"n":1.5}', False),
        (b'{"n":"1"}', False),
    ],
)
def test_a_request_knows_if_it_asks_for_one_choice(body, one):
    assert HTTPRequest(method="POST", path="/", body=body).one_choice is one
