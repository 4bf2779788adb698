"""The emulator: its responses, byte for byte, and its faults."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing
from types import SimpleNamespace
from uuid import UUID

import msgspec
import pytest
from aiohttp import web

from acechat.emulator import (
    MODELS,
    ChatRequest,
    Service,
    ServiceState,
    create_app,
    cut,
    drop,
    error_event,
    fail,
    heartbeats,
    malformed,
    ok,
    pace,
    raw,
    serve,
    split,
    stall,
)
from acechat.emulator.plan import ChunkSize, Close, Head, Reset, Send, Wait, apply_chunk_size
from acechat.types import ChatCompletionRequest, FunctionCall, ToolCall

SEED_STREAM = b"""\
data: {"id": "msg_bdrk_01LPPqDjLKMgfSwTRMRty9VT", "object": "chat.completion.chunk", "created": 1768619445, "model": "claude-opus-4-20250514", "system_fingerprint": null, "choices": [{"delta": {"content": "", "role": "assistant"}, "logprobs": null, "finish_reason": null, "index": 0}], "usage": null}

data: {"id": "msg_bdrk_01LPPqDjLKMgfSwTRMRty9VT", "object": "chat.completion.chunk", "created": 1768619445, "model": "claude-opus-4-20250514", "system_fingerprint": null, "choices": [{"delta": {"content": ""}, "logprobs": null, "finish_reason": null, "index": 0}], "usage": null}

data: {"id": "msg_bdrk_01LPPqDjLKMgfSwTRMRty9VT", "object": "chat.completion.chunk", "created": 1768619445, "model": "claude-opus-4-20250514", "system_fingerprint": null, "choices": [{"delta": {"content": "Hello!"}, "logprobs": null, "finish_reason": null, "index": 0}], "usage": null}

data: {"id": "msg_bdrk_01LPPqDjLKMgfSwTRMRty9VT", "object": "chat.completion.chunk", "created": 1768619445, "model": "claude-opus-4-20250514", "system_fingerprint": null, "choices": [{"delta": {"content": " How can I help you"}, "logprobs": null, "finish_reason": null, "index": 0}], "usage": null}

data: {"id": "msg_bdrk_01LPPqDjLKMgfSwTRMRty9VT", "object": "chat.completion.chunk", "created": 1768619445, "model": "claude-opus-4-20250514", "system_fingerprint": null, "choices": [{"delta": {"content": " today?"}, "logprobs": null, "finish_reason": null, "index": 0}], "usage": null}

data: {"id": "msg_bdrk_01LPPqDjLKMgfSwTRMRty9VT", "object": "chat.completion.chunk", "created": 1768619445, "model": "claude-opus-4-20250514", "system_fingerprint": null, "choices": [{"delta": {}, "logprobs": null, "finish_reason": "stop", "index": 0}], "usage": null}

data: {"id": "msg_bdrk_01LPPqDjLKMgfSwTRMRty9VT", "object": "chat.completion.chunk", "created": 1768619445, "model": "claude-opus-4-20250514", "system_fingerprint": null, "choices": [], "usage": {"prompt_tokens": 8, "completion_tokens": 12, "total_tokens": 20, "prompt_tokens_details": {"cached_tokens": 0, "text_tokens": 0, "audio_tokens": 0, "image_tokens": 0}, "completion_tokens_details": {"text_tokens": 0, "audio_tokens": 0, "reasoning_tokens": 0}, "input_tokens": 0, "output_tokens": 0, "input_tokens_details": null, "claude_cache_creation_5_m_tokens": 0, "claude_cache_creation_1_h_tokens": 0}}

data: [DONE]

"""  # noqa: E501 - the seed document, «流式响应», unchanged

SEED_USAGE = json.loads(SEED_STREAM.split(b"\n\n")[-3].removeprefix(b"data: "))["usage"]

SEED_COMPLETION = """\
{"id": "msg_bdrk_01Q6WN27v95ypCa1kbanAQ6K", "model": "claude-opus-4-20250514", \
"object": "chat.completion", "created": 1768619365, "choices": [{"index": 0, "message": \
{"role": "assistant", "content": "Hello! How can I help you today?"}, "finish_reason": "stop"}], \
"usage": %s}"""  # the seed document, «基本使用»

HELLO = [{"role": "user", "content": "Hello"}]
PIXEL = base64.b64encode(bytes(68)).decode()
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tell the weather.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city"],
        },
    },
}
SILENCE = 0.3
"""Seconds in which a test checks that nothing arrives."""


@pytest.fixture
def service():
    with Service() as service:
        yield service


def connect(service, timeout=10):
    host, port = service.url.removeprefix("http://").split(":")
    return closing(http.client.HTTPConnection(host, int(port), timeout=timeout))


def begin(connection, service, method="POST", path="/v1/chat/completions", body=None, token=None):
    headers = {"Authorization": f"Bearer {service.token}"} if token is None else token
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    connection.request(method, path, data, headers)


def send(connection, service, *args, **kwargs):
    begin(connection, service, *args, **kwargs)
    return connection.getresponse()


def fetch(service, *args, **kwargs):
    with connect(service) as connection:
        response = send(connection, service, *args, **kwargs)
        return SimpleNamespace(
            status=response.status, headers=response.headers, body=response.read()
        )


def read_until_it_breaks(response):
    got = b""
    try:
        while piece := response.read1():
            got += piece
    except ConnectionResetError:
        return got
    pytest.fail("the response ended cleanly")


def question(**fields):
    return {"model": "claude-opus-4-20250514", "messages": HELLO, **fields}


def ask(service, **fields):
    answer = fetch(service, body=question(**fields))
    assert answer.status == 200, answer.body
    return answer.body


def say(service, **fields):
    return json.loads(ask(service, **fields))["choices"][0]["message"]["content"]


def events_of(body):
    events = body.decode().split("\n\n")
    assert events.pop() == ""
    return [event.removeprefix("data: ") for event in events]


def add_up(body):
    """Return the plain completion that a stream adds up to."""
    *events, done = events_of(body)
    assert done == "[DONE]"
    chunks = [json.loads(event) for event in events]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    choices = {}
    for chunk in chunks:
        for event in chunk["choices"]:
            choice = choices.setdefault(event["index"], {"message": {}, "finish_reason": None})
            choice["finish_reason"] = choice["finish_reason"] or event["finish_reason"]
            for name, value in event["delta"].items():
                if name == "tool_calls":
                    add_call(choice["message"].setdefault(name, []), *value)
                else:
                    choice["message"][name] = choice["message"].get(name, "") + value
    for choice in choices.values():
        if "tool_calls" in choice["message"]:
            choice["message"]["content"] = choice["message"]["content"] or None
    return {
        "id": chunks[-1]["id"],
        "model": chunks[-1]["model"],
        "object": "chat.completion",
        "created": chunks[-1]["created"],
        "choices": [{"index": index, **choices[index]} for index in sorted(choices)],
        "usage": chunks[-1]["usage"],
    }


def add_call(calls, piece):
    if "id" in piece:
        assert piece["function"]["arguments"] == ""
        calls.append({**piece, "function": dict(piece["function"])})
        assert calls[-1].pop("index") == len(calls) - 1
    else:
        assert list(piece) == ["index", "type", "function"]
        calls[piece["index"]]["function"]["arguments"] += piece["function"]["arguments"]


def plan_of(step, **fields):
    request = msgspec.convert(question(**fields), ChatCompletionRequest)
    return step.plan(ChatRequest(request, question(**fields), "0123456789abcdef" * 4, "t-1"))


class TestBytes:
    def test_a_stream_equals_the_seed_document_byte_for_byte(self, service):
        service.script(
            ok(
                ["Hello!", " How can I help you", " today?"],
                id="msg_bdrk_01LPPqDjLKMgfSwTRMRty9VT",
                created=1768619445,
                usage=SEED_USAGE,
            )
        )
        assert ask(service, stream=True) == SEED_STREAM

    def test_a_plain_response_equals_the_seed_document_with_the_order_of_its_keys(self, service):
        service.script(
            ok(
                "Hello! How can I help you today?",
                id="msg_bdrk_01Q6WN27v95ypCa1kbanAQ6K",
                created=1768619365,
                usage=SEED_USAGE,
            )
        )
        assert ask(service).decode() == SEED_COMPLETION % json.dumps(SEED_USAGE)

    def test_non_ascii_characters_are_escaped_by_default(self, service):
        service.script(ok(["½\u2028"]), ok(["½\u2028"], ensure_ascii=False))
        assert rb'"\u00bd\u2028"' in ask(service)
        assert '"½\u2028"'.encode() in ask(service, stream=True)

    def test_content_types_of_plain_and_streamed_responses(self, service):
        assert fetch(service, body=question()).headers["content-type"] == "application/json"
        streamed = fetch(service, body=question(stream=True))
        assert streamed.headers["content-type"] == "text/event-stream"


class TestStreamEqualsPlain:
    @pytest.mark.parametrize(
        "fields",
        [
            {},
            {"n": 3},
            {"model": "claude-sonnet-4-20250514-thinking"},
            {"reasoning_effort": "low", "n": 2},
            {"max_tokens": 2},
            {"stop": "said"},
            {"stream_options": {"include_usage": True}},
            {"tools": [WEATHER], "tool_choice": "required"},
            {"tools": [WEATHER], "tool_choice": "required", "n": 2},
            {"tools": [WEATHER], "tool_choice": "auto", "n": 2, "reasoning_effort": "high"},
            {"messages": [{"role": "user", "content": "½ \u2028 \n\n 😀 "}]},
        ],
        ids=str,
    )
    def test_a_stream_adds_up_to_the_plain_response(self, service, fields):
        plain, streamed = ask(service, **fields), ask(service, stream=True, **fields)
        assert add_up(streamed) == json.loads(plain)

    @pytest.mark.parametrize(
        "step",
        [
            ok("Hello!"),
            ok(""),
            ok(["a", "", "b"], reasoning=["x ", "y"], finish_reason="length"),
            ok(reasoning="Only thoughts."),
            ok(tool_calls=[("f", {"x": "½"}), ("g", "")]),
            ok("I look.", tool_calls=[ToolCall(id="t1", function=FunctionCall("f", "{}"))]),
            ok("Hi", model="claude-haiku-4-5-20251001", id="msg_1", created=0),
            ok(json={"x": "½"}),
            ok(),
        ],
        ids=str,
    )
    def test_a_scripted_stream_adds_up_to_the_scripted_completion(self, service, step):
        service.script(step, step)
        assert add_up(ask(service, stream=True)) == json.loads(ask(service))

    def test_another_request_gets_another_id(self, service):
        ids = [json.loads(ask(service, temperature=t))["id"] for t in (0, 0, 1)]
        assert ids[0] == ids[1] != ids[2]
        assert ids[0].startswith("msg_01")

    def test_the_events_of_choices_alternate_and_each_choice_has_a_finish_reason(self, service):
        service.script(ok("a b"))
        chunks = [json.loads(event) for event in events_of(ask(service, stream=True, n=2))[:-1]]
        news = [choice for chunk in chunks for choice in chunk["choices"]]
        assert [choice["index"] for choice in news] == [0, 1] * 5
        assert [choice["finish_reason"] for choice in news] == [None] * 8 + ["stop"] * 2

    def test_reasoning_is_sent_before_the_text(self, service):
        service.script(ok("answer", reasoning="thought"))
        chunks = [json.loads(event) for event in events_of(ask(service, stream=True))[:-2]]
        deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
        assert deltas[2:] == [{"reasoning_content": "thought"}, {"content": "answer"}, {}]

    def test_only_the_first_event_of_a_tool_call_has_id_and_name(self, service):
        service.script(ok(tool_calls=[("weather", {"city": "Paris"})]))
        chunks = [json.loads(event) for event in events_of(ask(service, stream=True))[2:-2]]
        deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
        opening = deltas[0]["tool_calls"][0]
        assert opening.pop("id").startswith("toolu_")
        assert json.dumps(opening) == (
            '{"index": 0, "type": "function", "function": {"name": "weather", "arguments": ""}}'
        )
        assert json.dumps(deltas[1]) == (
            '{"tool_calls": [{"index": 0, "type": "function", '
            '"function": {"arguments": "{\\"ci"}}]}'
        )
        assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"

    def test_usage_has_the_fields_of_the_service_and_a_cost(self, service):
        service.script(ok("one two three", reasoning="four five"))
        usage = json.loads(ask(service, messages=[{"role": "system", "content": "a b c"}, *HELLO]))[
            "usage"
        ]
        assert list(usage) == [*SEED_USAGE, "cost"]
        assert (usage["prompt_tokens"], usage["completion_tokens"]) == (11, 8)
        assert usage["total_tokens"] == 19
        assert usage["completion_tokens_details"]["reasoning_tokens"] == 2


class TestEcho:
    def test_it_repeats_the_last_user_message(self, service):
        assert say(service) == 'You said: "Hello" (1 message)'
        messages = [
            *HELLO,
            {"role": "assistant", "content": "Hi"},
            {"role": "user", "content": "?"},
        ]
        assert say(service, messages=messages) == 'You said: "?" (3 messages)'

    def test_it_names_options_and_tools(self, service):
        assert say(service, max_tokens=50, temperature=0.5, store=False, top_k=None) == (
            'You said: "Hello" (1 message, max_tokens=50, temperature=0.5, store=false)'
        )
        told = say(service, tools=[WEATHER], tool_choice="auto", response_format={"type": "text"})
        assert told == (
            'You said: "Hello" (1 message, tools: weather, tool_choice=auto, response_format=text)'
        )

    def test_it_names_unknown_fields(self, service):
        assert say(service, top_k=5) == 'You said: "Hello" (1 message, top_k=5)'

    def test_it_describes_an_image_by_type_and_size(self, service):
        content = [
            {"type": "text", "text": "What?"},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
            {"type": "image_url", "image_url": "https://cdn.acedata.cloud/ueugot.png"},
        ]
        assert say(service, messages=[{"role": "user", "content": content}]) == (
            'You said: "What?" with image/png, 68 bytes and '
            "https://cdn.acedata.cloud/ueugot.png (1 message)"
        )

    def test_it_reports_an_invalid_data_url(self, service):
        image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,%%%"}}
        told = say(service, messages=[{"role": "user", "content": [image]}])
        assert told == 'You said: "" with image/png, not base64 (1 message)'

    def test_it_repeats_the_result_of_a_tool(self, service):
        messages = [*HELLO, {"role": "tool", "tool_call_id": "t", "content": "Sunny"}]
        assert say(service, messages=messages) == 'The tool said: "Sunny" (2 messages)'

    def test_choices_differ(self, service):
        choices = json.loads(ask(service, n=2))["choices"]
        assert [choice["message"]["content"] for choice in choices] == [
            'You said: "Hello" (1 message, answer 1 of 2)',
            'You said: "Hello" (1 message, answer 2 of 2)',
        ]

    @pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
    def test_max_tokens_truncates_after_that_many_tokens(self, service, name):
        reply = json.loads(ask(service, **{name: 3}))
        assert reply["choices"][0]["message"]["content"] == "You said:"
        assert reply["choices"][0]["finish_reason"] == "length"
        assert reply["usage"]["completion_tokens"] == 3

    def test_stop_truncates_before_the_first_of_its_texts(self, service):
        choice = json.loads(ask(service, stop=["Hello", "said"]))["choices"][0]
        assert choice["message"]["content"] == "You "
        assert choice["finish_reason"] == "stop"

    def test_thinking_models_return_reasoning(self, service):
        for fields in ({"model": "claude-opus-5-thinking"}, {"reasoning_effort": "low"}):
            message = json.loads(ask(service, **fields))["choices"][0]["message"]
            assert message["reasoning_content"] == 'The user says "Hello". I say it back.'
        assert "reasoning_content" not in json.loads(ask(service))["choices"][0]["message"]

    @pytest.mark.parametrize(
        "tool_choice", ["required", {"type": "function", "function": {"name": "weather"}}], ids=str
    )
    def test_a_forced_tool_is_called(self, service, tool_choice):
        choice = json.loads(ask(service, tools=[WEATHER], tool_choice=tool_choice))["choices"][0]
        (call,) = choice["message"]["tool_calls"]
        assert call["function"] == {"name": "weather", "arguments": '{"city": "Paris", "days": 1}'}
        assert choice["message"]["content"] is None
        assert choice["finish_reason"] == "tool_calls"

    def test_json_is_sent_to_the_forced_tool_or_as_text(self, service):
        must = {"tools": [WEATHER], "tool_choice": "required"}
        service.script(ok(json={"city": "½"}), ok(json={"city": "½"}))
        told, said = (json.loads(ask(service, **fields))["choices"][0] for fields in (must, {}))
        assert told["message"]["tool_calls"][0]["function"]["arguments"] == '{"city":"½"}'
        assert told["finish_reason"] == "tool_calls"
        assert said["message"]["content"] == '{"city":"½"}'
        assert said["finish_reason"] == "stop"

    def test_json_that_is_not_an_object_goes_under_the_only_property(self, service):
        parameters = {"type": "object", "properties": {"value": {}}}
        tool = {"type": "function", "function": {"name": "f", "parameters": parameters}}
        service.script(ok(json=[1, 2]))
        choice = json.loads(ask(service, tools=[tool], tool_choice="required"))["choices"][0]
        assert choice["message"]["tool_calls"][0]["function"]["arguments"] == '{"value": [1,2]}'

    @pytest.mark.parametrize(
        "fields", [{"model": "claude-opus-5-thinking"}, {"reasoning_effort": "low"}], ids=str
    )
    def test_a_reasoning_model_cannot_be_forced_to_call_a_tool(self, service, fields):
        answer = fetch(service, body=question(tools=[WEATHER], tool_choice="required", **fields))
        assert answer.status == 400
        assert b"tool_choice forces tool use" in answer.body


class TestRejections:
    @pytest.mark.parametrize(
        ("token", "status", "code", "message"),
        [
            ({}, 400, "no_token", "No token specified for the request."),
            (
                {"Authorization": "Bearer wrong"},
                401,
                "invalid_token",
                "The specified token is invalid or wrong.",
            ),
            (
                {"Authorization": "Basic emulated-token"},
                401,
                "invalid_token",
                "The specified token is invalid or wrong.",
            ),
        ],
    )
    @pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages/count_tokens"])
    def test_the_token_is_checked_first(self, service, path, token, status, code, message):
        answer = fetch(service, path=path, body=b"{", token=token)
        assert answer.status == status
        told = json.loads(answer.body)
        assert list(told) == ["error", "trace_id"]
        assert told["error"] == {"code": code, "message": message}

    def test_the_body_and_the_header_carry_the_same_trace_id(self, service):
        answer = fetch(service, body=b"{")
        trace_id = json.loads(answer.body)["trace_id"]
        assert str(UUID(trace_id)) == trace_id
        assert answer.headers["x-request-id"] == trace_id == service.requests[-1].trace_id
        assert fetch(service, body=question()).headers["x-request-id"] != trace_id

    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            (b"", "Input data was truncated"),
            (b"{not json", "malformed"),
            (b"\xff", "malformed"),
            (b"[]", "the body is not an object"),
            ({"messages": HELLO}, "`model`"),
            ({"model": "m"}, "`messages`"),
            ({"model": "m", "messages": []}, "messages is empty"),
            ({"model": "m", "messages": [{"content": "x"}]}, "messages[0].role is None"),
            ({"model": "m", "messages": [{"role": "god"}]}, "messages[0].role is 'god'"),
            (question(temperature="hot"), "$.temperature"),
            (question(temperature=3), "temperature is 3"),
            (question(n="two"), "$.n"),
            (question(n=0), "n is 0"),
            (question(n=1.5), "n is 1.5"),
            (question(stream="yes"), "$.stream"),
        ],
        ids=str,
    )
    def test_a_bad_request_gets_the_reason(self, service, body, reason):
        answer = fetch(service, body=body)
        assert answer.status == 400
        error = json.loads(answer.body)["error"]
        assert error["code"] == "bad_request"
        assert error["message"].startswith("The json payload is not valid: ")
        assert reason in error["message"]

    def test_the_role_developer_is_accepted(self, service):
        messages = [{"role": "developer", "content": "Be brief."}, *HELLO]
        assert say(service, messages=messages) == 'You said: "Hello" (2 messages)'

    def test_a_rejected_request_uses_no_step(self, service):
        service.script(ok("first"))
        fetch(service, body=b"{")
        assert say(service) == "first"

    def test_a_body_that_is_too_large_is_rejected(self):
        with Service(max_request_bytes=1000) as service:
            answer = fetch(service, body=question(user="x" * 1000))
            assert answer.status == 413
            assert json.loads(answer.body)["error"]["code"] == "request_too_large"
            assert service.requests[-1].body == b""
            assert fetch(service, body=question(user="x" * 500)).status == 200

    @pytest.mark.parametrize(
        ("method", "path"), [("GET", "/"), ("POST", "/v1/chat"), ("GET", "/v1/chat/completions")]
    )
    def test_other_addresses_do_not_exist(self, service, method, path):
        answer = fetch(service, method, path)
        assert answer.status == 404
        assert json.loads(answer.body)["error"] == {
            "code": "no_api",
            "message": "API does not exist, please make sure url is correct.",
        }


class TestRoutes:
    def test_chat_has_an_alias(self, service):
        answer = fetch(service, path="/claude/chat/completions", body=question())
        assert answer.body == ask(service)

    def test_the_models_are_those_of_the_api_page(self, service):
        told = json.loads(fetch(service, "GET", "/v1/models").body)
        assert told["object"] == "list"
        assert tuple(entry["id"] for entry in told["data"]) == MODELS
        assert len(set(MODELS)) == 20

    @pytest.mark.parametrize("path", ["/v1/messages/count_tokens", "/claude/messages/count_tokens"])
    def test_tokens_are_counted_as_usage_counts_them(self, service, path):
        tool = {"name": "weather", "description": "Tell the weather.", "input_schema": {}}
        image = {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}
        content = [{"type": "text", "text": "a b c"}, image]
        body = {
            "model": "claude-opus-5",
            "system": [{"type": "text", "text": "d e"}],
            "messages": [{"role": "user", "content": content}],
            "tools": [tool],
        }
        counted = json.loads(fetch(service, path=path, body=body).body)

        content[1] = {"type": "image_url", "image_url": {"url": "https://x/y.png"}}
        messages = [{"role": "system", "content": "d e"}, {"role": "user", "content": content}]
        function = {"name": "weather", "description": "Tell the weather.", "input_schema": {}}
        tools = [{"type": "function", "function": function}]
        usage = json.loads(ask(service, messages=messages, tools=tools))["usage"]
        assert usage["prompt_tokens"] == counted["input_tokens"]

    @pytest.mark.parametrize("body", [{}, {"model": "m"}, {"messages": HELLO}, b"{"], ids=str)
    def test_counting_requires_a_model_and_messages(self, service, body):
        answer = fetch(service, path="/v1/messages/count_tokens", body=body)
        assert answer.status == 400

    def test_health_needs_no_token(self, service):
        assert fetch(service, "GET", "/health", token={}).body == b'{"status": "ok"}'

    def test_only_chat_is_scripted(self, service):
        service.script(fail(500))
        assert fetch(service, "GET", "/v1/models").status == 200
        assert fetch(service, body=question()).status == 500


class TestFail:
    @pytest.mark.parametrize(
        ("status", "code"),
        [
            (400, "bad_request"),
            (401, "invalid_token"),
            (403, "used_up"),
            (404, "no_api"),
            (413, "request_too_large"),
            (422, "bad_request"),
            (429, "too_many_requests"),
            (500, "api_error"),
            (503, "busy"),
            (504, "timeout"),
            (529, "api_error"),
        ],
    )
    @pytest.mark.parametrize("stream", [False, True])
    def test_a_status_has_its_usual_code(self, service, status, code, stream):
        service.script(fail(status))
        answer = fetch(service, body=question(stream=stream))
        assert answer.status == status
        assert answer.headers["content-type"] == "application/json"
        told = json.loads(answer.body)
        assert told["error"]["code"] == code
        assert told["error"]["message"]
        assert told["trace_id"] == answer.headers["x-request-id"]

    def test_code_and_message_can_be_given(self, service):
        service.script(fail(400, "token_mismatched"), fail(500, "x", "y"))
        told = json.loads(fetch(service, body=question()).body)["error"]
        assert told["message"] == "The specified token is not matched with API."
        told = json.loads(fetch(service, body=question()).body)["error"]
        assert told == {"code": "x", "message": "y"}

    def test_402_is_an_offer(self, service):
        service.script(fail(402))
        told = json.loads(fetch(service, body=question()).body)
        assert told["x402Version"] == 2
        assert told["accepts"]

    def test_it_can_send_retry_after(self, service):
        date = "Sun, 22 Nov 2026 18:00:00 GMT"
        service.script(
            fail(429, retry_after=1.5),
            fail(429, retry_after=date),
            fail(429, headers={"retry-after-ms": "20"}),
        )
        assert fetch(service, body=question()).headers["retry-after"] == "1.5"
        assert fetch(service, body=question()).headers["retry-after"] == date
        assert fetch(service, body=question()).headers["retry-after-ms"] == "20"

    def test_the_body_can_be_an_html_page(self, service):
        page = "<html><title>524: A timeout occurred</title></html>"
        service.script(fail(524, body=page, headers={"Server": "cloudflare"}))
        answer = fetch(service, body=question())
        assert (answer.status, answer.body.decode()) == (524, page)
        assert answer.headers["content-type"] == "text/html"
        assert answer.headers["server"] == "cloudflare"

    def test_raw_bytes_are_sent_unchanged(self, service):
        service.script(raw(b"\xef\xbb\xbfdata:x\r\r"), raw("{}", content_type="application/json"))
        answer = fetch(service, body=question())
        assert answer.body == b"\xef\xbb\xbfdata:x\r\r"
        assert answer.headers["content-type"] == "text/event-stream"
        assert fetch(service, body=question()).body == b"{}"


class TestFaults:
    """Over a real socket, as a client sees them."""

    def test_cut_ends_a_stream_cleanly_before_its_end(self, service):
        service.script(cut(after=4))
        whole = ask(service, stream=True)
        assert whole.count(b"\n\n") == 4
        assert b'"finish_reason": "stop"' not in whole
        assert ask(service, stream=True).startswith(whole)

    def test_cut_leaves_a_plain_response_shorter_than_its_length(self, service):
        service.script(cut())
        with pytest.raises(http.client.IncompleteRead) as caught:
            ask(service)
        assert ask(service).startswith(caught.value.partial)

    @pytest.mark.parametrize("stream", [False, True])
    def test_drop_resets_before_the_first_byte(self, service, stream):
        service.script(drop())
        with pytest.raises(ConnectionResetError):
            fetch(service, body=question(stream=stream))

    @pytest.mark.parametrize("stream", [False, True])
    def test_drop_resets_in_the_middle_and_data_sent_before_arrives(self, service, stream):
        service.script(drop(after=3))
        with connect(service) as connection:
            response = send(connection, service, body=question(stream=stream))
            assert response.status == 200
            got = read_until_it_breaks(response)
        whole = ask(service, stream=stream)
        assert whole.startswith(got)
        assert got.count(b"\n\n") == 3 * stream
        assert stream or len(got) == len(whole) // 2

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize("after", [0, 2])
    def test_stall_pauses_and_continues(self, service, stream, after):
        service.script(stall(0.1, after=after))
        started = time.monotonic()
        body = ask(service, stream=stream)
        assert 0.1 <= time.monotonic() - started < 5
        assert body == ask(service, stream=stream)

    def test_stall_before_the_head_sends_not_even_the_status(self, service):
        service.script(stall(60))
        with connect(service, timeout=SILENCE) as connection, pytest.raises(TimeoutError):
            send(connection, service, body=question(stream=True))

    def test_stall_after_events_sends_them_first(self, service):
        service.script(stall(60, after=2))
        with connect(service) as connection:
            response = send(connection, service, body=question(stream=True))
            assert response.status == 200
            got = b""
            while got.count(b"\n\n") < 2:
                got += response.read1()
            connection.sock.settimeout(SILENCE)
            with pytest.raises(TimeoutError):
                response.read1()

    def test_heartbeats_come_before_the_content(self, service):
        service.script(heartbeats(0.01, 0.05))
        body = ask(service, stream=True)
        assert body == b": PING\n\n" * 5 + ask(service, stream=True)

    def test_heartbeats_delay_a_plain_response(self, service):
        service.script(heartbeats(0.01, 0.05))
        started = time.monotonic()
        assert ask(service) == ask(service)
        assert time.monotonic() - started >= 0.05

    @pytest.mark.parametrize("stream", [False, True])
    def test_split_changes_no_byte(self, service, stream):
        service.script(split(bytes=7, of=ok("½" * 20, ensure_ascii=False)))
        service.script(ok("½" * 20, ensure_ascii=False))
        assert ask(service, stream=stream) == ask(service, stream=stream)

    def test_split_writes_http_chunks_of_the_given_size(self, service):
        service.script(split(bytes=100))
        with connect(service) as connection:
            begin(connection, service, body=question(stream=True))
            got = b""
            while not got.endswith(b"\r\n0\r\n\r\n"):
                got += connection.sock.recv(65536)
        lines = got.partition(b"\r\n\r\n")[2].split(b"\r\n")
        sizes = [int(size, 16) for size in lines[:-2:2]]
        assert set(sizes[:-2]) == {100}
        assert 0 < sizes[-2] <= 100
        assert sizes[-1] == 0

    @pytest.mark.parametrize(
        ("form", "start"),
        [
            ("data", b'data: {"error": {"code": "busy", "message": "no"}, "trace_id": "'),
            ("event", b'event: error\ndata: {"error": {"code": "busy", "message": "no"}, "trace'),
            ("bare", b'{"error": {"message": "no", "type": "new_api_error", "param": "", "code'),
        ],
    )
    def test_an_error_ends_a_stream_in_three_forms(self, service, form, start):
        service.script(error_event("busy", "no", after=2, form=form))
        answer = fetch(service, body=question(stream=True))
        assert answer.status == 200
        before, found, _ = answer.body.partition(start)
        assert found
        assert before.count(b"\n\n") == 2
        assert b"[DONE]" not in answer.body
        if form != "bare":
            assert answer.headers["x-request-id"].encode() in answer.body

    def test_an_error_instead_of_a_plain_response_has_status_200(self, service):
        service.script(error_event())
        answer = fetch(service, body=question())
        assert answer.status == 200
        assert json.loads(answer.body) == {
            "success": False,
            "error": {"code": "api_error", "message": "fetch failed"},
            "trace_id": answer.headers["x-request-id"],
        }

    def test_malformed_inserts_invalid_json_between_events(self, service):
        service.script(malformed(after=2))
        events = events_of(ask(service, stream=True))
        assert events.pop(2) == "{not json"
        assert events == events_of(ask(service, stream=True))

    def test_a_malformed_plain_response_is_invalid_json(self, service):
        service.script(malformed(data="<html>"))
        answer = fetch(service, body=question())
        assert (answer.status, answer.body) == (200, b"<html>")

    def test_pace_waits_between_events(self, service):
        service.script(pace(0.01))
        started = time.monotonic()
        body = ask(service, stream=True)
        assert time.monotonic() - started >= 0.01 * (body.count(b"\n\n") - 1)


class TestPlans:
    """Without a network: steps and plans are values."""

    def test_steps_with_equal_arguments_are_equal(self):
        assert split(of=stall(1, of=ok("Hi"))) == split(7, stall(1, 0, ok("Hi")))
        assert cut(after=1) != cut(after=2)

    def test_faults_nest(self):
        plan = plan_of(stall(3, after=1, of=cut(after=2, of=ok("Hi"))), stream=True)
        kinds = [type(action) for action in plan]
        assert kinds == [Head, Send, Wait, Send]
        assert plan[:2] + plan[3:] == plan_of(ok("Hi"), stream=True)[:3]

    def test_faults_after_the_last_event_are_at_the_end(self):
        whole = plan_of(ok("Hi"), stream=True)
        assert plan_of(cut(after=99, of=ok("Hi")), stream=True) == whole
        assert plan_of(drop(after=99, of=ok("Hi")), stream=True) == [*whole, Reset()]

    def test_a_fault_of_an_error_response_is_that_of_a_plain_response(self):
        head, first, close = plan_of(cut(of=fail(503)), stream=True)
        assert (head.status, close) == (503, Close())
        assert int(head.headers["Content-Length"]) == len(first.data) * 2

    @pytest.mark.parametrize("step", [lambda: split(bytes=0), lambda: heartbeats(0, 1)])
    def test_arguments_that_would_never_end_are_rejected(self, step):
        with pytest.raises(ValueError, match=r"not 0$"):
            step()

    def test_a_reset_before_the_head_keeps_the_pause_before_it(self):
        assert plan_of(drop(of=stall(1))) == [Wait(1), Reset()]

    def test_a_split_write_does_not_span_a_pause(self):
        plan = [ChunkSize(4), Send(b"abcde"), Send(b"f"), Wait(1), Send(b"gh")]
        assert apply_chunk_size(plan) == [Send(b"abcd"), Send(b"ef"), Wait(1), Send(b"gh")]
        assert apply_chunk_size([Send(b"ab")]) == [Send(b"ab")]

    def test_the_order_of_split_and_cut_makes_no_difference(self):
        first = plan_of(cut(after=3, of=split(5)), stream=True)
        last = plan_of(split(5, of=cut(after=3)), stream=True)
        assert apply_chunk_size(first) == apply_chunk_size(last)


class TestService:
    def test_steps_are_used_in_order_and_then_the_echo(self, service):
        service.script(ok("one"), ok("two"))
        assert [say(service) for _ in range(3)] == ["one", "two", 'You said: "Hello" (1 message)']

    def test_requests_are_remembered_without_the_token(self, service):
        before = time.monotonic()
        with connect(service) as connection:
            send(connection, service, body=question(user="½")).read()
            send(connection, service, "GET", "/v1/models?x=1").read()
        fetch(service, "GET", "/health", token={})
        first, second, third = service.requests
        assert (first.method, first.path) == ("POST", "/v1/chat/completions")
        assert first.json == question(user="½")
        assert first.headers["authorization"] == "Bearer ***"
        assert service.token not in repr(service.requests)
        assert (second.method, second.path, second.body) == ("GET", "/v1/models?x=1", b"")
        assert first.client_port == second.client_port != third.client_port
        assert "authorization" not in third.headers
        assert before <= first.time <= second.time <= time.monotonic()

    def test_reset_clears_requests_and_script(self, service):
        service.script(ok("never"))
        fetch(service, body=b"")
        service.reset()
        assert service.requests == []
        assert say(service) != "never"
        assert service.requests[0].trace_id == "00000000-0000-4000-8000-000000000001"

    def test_it_keeps_only_the_newest_requests_if_configured(self):
        with Service(remember=1) as service:
            fetch(service, "GET", "/1")
            fetch(service, "GET", "/2")
            assert [request.path for request in service.requests] == ["/2"]

    def test_it_counts_open_connections(self, service):
        assert service.connections == 0
        with connect(service) as connection:
            send(connection, service, body=question()).read()
            assert service.connections == 1
        wait_until(lambda: service.connections == 0)

    def test_a_pause_ends_when_the_client_disconnects(self, service):
        service.script(stall(60, after=1))
        with connect(service) as connection:
            send(connection, service, body=question(stream=True)).read1()
        wait_until(lambda: service.connections == 0)

    def test_disconnect_aborts_all_connections(self, service):
        service.script(stall(60))
        with connect(service) as idle, connect(service) as waiting:
            send(idle, service, "GET", "/v1/models").read()
            begin(waiting, service, body=question())
            wait_until(lambda: len(service.requests) == 2)
            assert service.connections == 2
            service.disconnect()
            assert service.connections == 0
            with pytest.raises((ConnectionError, http.client.HTTPException)):
                send(idle, service, "GET", "/v1/models")
        assert say(service).startswith("You said")

    @pytest.mark.parametrize(
        "step", [stall(60), stall(60, after=2), heartbeats(0.01, 600)], ids=str
    )
    def test_it_stops_at_once_though_streams_are_open(self, step):
        with Service() as service:
            service.script(step, step)
            with connect(service) as first, connect(service) as second, connect(service) as idle:
                for connection in (first, second):
                    begin(connection, service, body=question(stream=True))
                send(idle, service, "GET", "/v1/models").read()
                wait_until(lambda: len(service.requests) == 3)
                started = time.monotonic()
                service.stop()
                assert time.monotonic() - started < 1
        assert not [thread for thread in threading.enumerate() if "acechat" in thread.name]

    def test_it_can_be_stopped_and_started_again_on_the_same_port(self):
        service = Service()
        with pytest.raises(RuntimeError, match="no port yet"):
            _ = service.url
        with service:
            url = service.url
            assert url.startswith("http://127.0.0.1:")
            assert service.start() is service
        service.stop()
        service.disconnect()
        assert service.connections == 0
        with pytest.raises(ConnectionRefusedError):
            fetch(service, "GET", "/health")
        with service:
            assert service.url == url
            assert fetch(service, "GET", "/health").status == 200

    def test_any_thread_can_stop_it(self, service):
        threads = [threading.Thread(target=service.stop) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(1)
        with pytest.raises(ConnectionRefusedError):
            fetch(service, "GET", "/health")

    def test_a_taken_port_is_an_error_here(self, service):
        other = Service(port=int(service.url.rpartition(":")[2]))
        with pytest.raises(OSError, match="address already in use"):
            other.start()
        other.stop()

    def test_it_serves_many_requests_at_once(self, service):
        service.script(*(stall(0.2) for _ in range(8)))
        threads = [threading.Thread(target=ask, args=[service]) for _ in range(8)]
        started = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert time.monotonic() - started < 1

    def test_a_missing_stop_does_not_block_the_exit(self):
        code = "from acechat.emulator import Service; print(Service().start().url)"
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code], capture_output=True, timeout=20, check=True
        )
        assert done.stderr == b""


class TestEmbedding:
    def test_the_application_runs_in_an_existing_loop(self):
        state = ServiceState("t-1")
        state.script(ok("embedded"))

        async def embed():
            runner = web.AppRunner(create_app(state))
            await runner.setup()
            try:
                await web.TCPSite(runner, "127.0.0.1", 0).start()
                address = SimpleNamespace(
                    url=f"http://127.0.0.1:{runner.addresses[0][1]}", token="t-1"
                )
                return await asyncio.to_thread(say, address)
            finally:
                await runner.cleanup()

        assert asyncio.run(embed()) == "embedded"
        assert state.requests[0].json == question()

    def test_serving_ends_quietly_with_ctrl_c(self):
        def answer_once(url):
            host, port = url.removeprefix("http://").split(":")
            with socket.create_connection((host, int(port))) as connection:
                connection.sendall(b"GET /health HTTP/1.0\r\n\r\n")
                assert connection.recv(100).startswith(b"HTTP/1.0 200")
            raise KeyboardInterrupt

        serve(answer_once)
        assert not [thread for thread in threading.enumerate() if "acechat" in thread.name]


def wait_until(condition, seconds=5):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)
