"""What the caller says → one HTTP request: what is sent, byte for byte, and what is refused."""

from __future__ import annotations

import json
from types import MappingProxyType

import pytest

from acechat._config import Config
from acechat._credentials import Token
from acechat._tools.tool import write_functions
from acechat._wire.messages import gather_messages
from acechat._wire.request import HTTPRequest, Terms, build_request, build_template, reads_as_stream
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
PICTURE = "https://cdn.acedata.cloud/ueugot.png"


def request(*content, messages=(), system=None, stream=False, body=None, headers=None, **options):
    if options.get("tools"):
        options["tools"] = write_functions(options["tools"])  # as the base client does
    terms = Terms(model=MODEL, extra_body=body, extra_headers=headers, options=options)
    said = gather_messages(content, messages=messages, system=system)
    return build_template(terms, CONFIG, stream=stream).request(said)


def sent(*content, **settings):
    return json.loads(request(*content, **settings).body)


# One value for each of the 26 optional fields: what the caller gives and the wire has.
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
def test_every_option_is_sent_as_it_is(name):
    body = sent("Hi", **{name: OPTIONS[name]})

    assert body == {
        "model": MODEL,
        "messages": [{"role": "user", "content": "Hi"}],
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
def test_stop_is_a_text_or_several(stop):
    assert sent("Hi", stop=stop)["stop"] == (stop if isinstance(stop, str) else list(stop))


def test_false_and_zero_are_sent():
    body = sent("Hi", temperature=0, seed=0, logprobs=False, stop="", metadata={})

    assert body.items() >= {"temperature": 0, "seed": 0, "logprobs": False, "stop": ""}.items()
    assert body["metadata"] == {}


def test_words_that_nobody_knows_are_sent():
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
    picture = {"type": "image_url", "image_url": {"url": PICTURE}}

    assert sent("Hello", stream=True) == {"model": MODEL, "messages": [hello], "stream": True}
    assert sent(messages=history) == {"model": MODEL, "messages": history}
    assert sent("What's in this image?", ImagePart(ImageURL(PICTURE)))["messages"] == [
        {
            "role": "user",
            "content": [{"type": "text", "text": "What's in this image?"}, picture],
        }
    ]


def test_a_request_is_posted_to_the_chat():
    made = request("Hi", headers={"X-Title": "Ace"})

    assert (made.method, made.path, made.headers) == (
        "POST",
        "/chat/completions",
        {"X-Title": "Ace"},
    )


def test_a_whole_answer_is_not_asked_for_as_a_stream():
    assert "stream" not in sent("Hi")
    assert sent("Hi", stream=True)["stream"] is True


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (["Hi"], "Hi"),
        ([""], ""),
        (["Hi", "there"], [{"type": "text", "text": "Hi"}, {"type": "text", "text": "there"}]),
        ([TextPart("Hi")], [{"type": "text", "text": "Hi"}]),
        (
            [ImagePart(ImageURL(PICTURE, "low"))],
            [{"type": "image_url", "image_url": {"url": PICTURE, "detail": "low"}}],
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
def test_what_is_said_now_is_one_message(content, expected):
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


def test_messages_may_come_one_by_one():
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
            UserMessage(content=[TextPart("x"), ImagePart(ImageURL(PICTURE))]),
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "x"},
                    {"type": "image_url", "image_url": {"url": PICTURE}},
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
def test_calls_are_sent_with_arguments_that_are_an_object(function, arguments):
    """The service drops a call with any others, and its result then answers nothing (1.3)."""
    call = {"id": "t-1", "type": "function", "function": function}
    before = json.dumps(call)

    body = sent(messages=[{"role": "assistant", "tool_calls": [call]}])

    (told,) = body["messages"][0]["tool_calls"]
    assert told == {**call, "function": {"name": "f", "arguments": arguments}}
    assert json.dumps(call) == before


@pytest.mark.parametrize("arguments", ['{"city": "Par', "[1, 2]", " "])
def test_a_call_that_the_model_got_wrong_is_sent_back_as_one_without_arguments(arguments):
    said = AssistantMessage(tool_calls=[ToolCall("t-1", function=FunctionCall("f", arguments))])

    body = sent(messages=[said])

    assert body["messages"][0]["tool_calls"][0]["function"] == {"name": "f", "arguments": "{}"}
    assert said.tool_calls[0].function.arguments == arguments


@pytest.mark.parametrize("call", [{"id": "t-1"}, {"function": "f"}, "t-1"])
def test_what_is_no_call_is_for_the_service_to_refuse(call):
    body = sent(messages=[{"role": "assistant", "tool_calls": [call]}])

    assert body["messages"][0]["tool_calls"] == [call]


def test_the_calls_of_an_answer_may_be_put_into_a_message_by_hand():
    calls = [ToolCall("t-1", function=FunctionCall("f", '{"x":1}'))]

    body = sent(messages=[{"role": "assistant", "content": None, "tool_calls": calls}])

    assert body["messages"][0]["tool_calls"][0]["function"]["arguments"] == '{"x":1}'


@pytest.mark.parametrize("parameters", [None, {}, "missing"])
def test_a_tool_without_parameters_gets_those_of_no_argument(parameters):
    function = {"name": "f", "parameters": parameters}
    if parameters == "missing":
        del function["parameters"]

    body = sent("Hi", tools=[{"type": "function", "function": function}])

    assert body["tools"][0]["function"]["parameters"] == {"type": "object", "properties": {}}
    assert function.get("parameters") != {"type": "object", "properties": {}}


def test_fields_that_nobody_knows_go_through_the_extra_body():
    body = sent("Hi", body={"top_k": 5, "model": "other", "reasoning": {"max_tokens": 10}})

    assert (body["top_k"], body["model"], body["reasoning"]) == (5, "other", {"max_tokens": 10})


def test_what_the_caller_gave_is_not_changed():
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
        build_template(Terms(options={name: 1}), CONFIG)


@pytest.mark.parametrize(
    ("settings", "error", "reason"),
    [
        ({"max_tokens": 1, "max_completion_tokens": 1}, ConfigurationError, "two names for one"),
        ({"body": {"stream": True}}, ConfigurationError, "must not hold 'stream'"),
        ({"temperature": float("nan")}, ConfigurationError, "temperature is nan"),
        ({"top_p": float("inf")}, ConfigurationError, "top_p is inf"),
        ({"body": {"x": [float("-inf")]}}, ConfigurationError, r"x\[0\] is -inf"),
        ({"user": "half \ud83d"}, ConfigurationError, "half of a character"),
        ({"metadata": {"\udc00": "x"}}, ConfigurationError, "half of a character"),
        ({"system": "\ud83d"}, ConfigurationError, "half of a character"),
        ({"stop": object()}, TypeError, "object"),
        ({"tools": [5]}, TypeError, "a tool must be a function or a dict"),
        ({"tools": {"type": "function"}}, TypeError, "a tool must be a function or a dict"),
        ({"tools": [lambda: None]}, ConfigurationError, "invalid tool name: '<lambda>'"),
        ({"messages": "Hi"}, TypeError, "takes a list of messages"),
        ({"messages": {"role": "user"}}, TypeError, "takes a list of messages"),
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
def test_what_cannot_be_sent_is_refused_with_a_reason(settings, error, reason):
    with pytest.raises(error, match=reason):
        request("Hi", **settings)


@pytest.mark.parametrize(
    ("piece", "hint"),
    [
        (5, r"not int: use image\(\.\.\.\) for pictures"),
        (None, "not NoneType"),
        (b"\x89PNG", r"use image\(\.\.\.\)"),
        (["Hi"], "not list"),
        ({}, r"a message goes into messages=\[\.\.\.\]"),
        ({"role": "user", "content": "x"}, r"a message goes into messages=\[\.\.\.\]"),
        (UserMessage(content="x"), r"a message goes into messages=\[\.\.\.\]"),
    ],
)
def test_what_cannot_be_said_is_refused_with_a_hint(piece, hint):
    with pytest.raises(TypeError, match=hint):
        request(piece)


@pytest.mark.parametrize("settings", [{}, {"system": "Be brief."}, {"messages": []}])
def test_nothing_to_say_is_refused(settings):
    with pytest.raises(ConfigurationError, match="there is no message to send"):
        request(**settings)


def test_the_text_of_half_a_character_is_told_by_its_code():
    with pytest.raises(ConfigurationError, match=r"'\\ud83d', half of a character"):
        request("I like \ud83d")


def test_gathering_leaves_structs_as_they_are():
    message = UserMessage(content="x")

    assert gather_messages([], messages=[message], system=None)[0] is message


def test_other_requests_are_written_too():
    made = build_request("/messages/count_tokens", {"a": 1})

    assert (made.method, made.path, made.body, made.headers) == (
        "POST",
        "/messages/count_tokens",
        b'{"a":1}',
        {},
    )


def test_a_request_shows_its_body_as_json():
    assert build_request("/x", {"a": [1]}).json() == {"a": [1]}
    assert HTTPRequest(method="GET", path="/x").json() is None


def test_a_request_changes_by_copying():
    plain = build_request("/x", {"a": 1}).with_headers({"X-A": "1", "X-B": "1"})

    other = plain.with_json({"b": 2}).with_headers({"X-B": "2", "X-C": "3"})

    assert other.json() == {"b": 2}
    assert other.headers == {"X-A": "1", "X-B": "2", "X-C": "3"}
    assert (other.method, other.path) == ("POST", "/x")
    assert (plain.json(), plain.headers) == ({"a": 1}, {"X-A": "1", "X-B": "1"})


@pytest.mark.parametrize("model", [MODEL, f"{MODEL}-thinking", "claude-opus-5"])
@pytest.mark.parametrize(("streaming", "rides"), [("always", True), ("never", False)])
def test_whoever_chooses_how_an_answer_rides_gets_that(streaming, rides, model):
    assert reads_as_stream(streaming, model, {"max_tokens": 10**6}) is rides
    assert reads_as_stream(streaming, model, {"max_tokens": 1}) is rides


@pytest.mark.parametrize(
    ("model", "options", "rides"),
    [
        (MODEL, {}, False),
        (MODEL, {"temperature": 1}, False),
        (MODEL, {"max_tokens": 4096}, False),
        (MODEL, {"max_tokens": 4097}, True),
        (MODEL, {"max_tokens": None, "max_completion_tokens": 4097}, True),
        (MODEL, {"max_completion_tokens": 4096}, False),
        (MODEL, {"max_tokens": "many"}, False),  # the service refuses it in its own words
        (MODEL, {"reasoning_effort": "low"}, True),
        (MODEL, {"reasoning_effort": None}, False),
        (f"{MODEL}-thinking", {}, True),
        (f"{MODEL}-thinking", {"max_tokens": 5}, True),
        ("claude-fable-5-20260101", {"max_tokens": 5}, True),
        ("claude-opus-5", {}, True),
        ("claude-opus-4-20250514", {}, False),
    ],
)
def test_an_answer_rides_on_a_stream_if_it_may_take_long(model, options, rides):
    assert reads_as_stream("auto", model, options) is rides


def test_a_call_that_is_no_object_is_left_to_the_service():
    messages = [{"role": "assistant", "tool_calls": ["odd"]}]

    assert sent(messages=messages)["messages"] == messages


def test_a_message_without_a_role_is_shown_in_part():
    with pytest.raises(ConfigurationError) as caught:
        request(messages=[{"content": "x" * 200}])

    shown = str({"content": "x" * 200})[:80]
    assert str(caught.value) == f"a message has no role: {shown}"
