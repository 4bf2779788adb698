"""Decoding responses and encoding requests: fields that are kept, and input that is refused."""

from __future__ import annotations

import json
import sys
import tracemalloc
from bisect import bisect_left
from contextlib import suppress
from functools import partial
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acechat._media.image import image
from acechat._wire.chunks import decode_chunk
from acechat._wire.decode import (
    decode_completion,
    decode_fields,
    decode_json,
    with_arguments,
)
from acechat._wire.encode import encode
from acechat._wire.endpoints import decode_models
from acechat._wire.sse import Event
from acechat.errors import (
    AceChatError,
    APIError,
    ConfigurationError,
    InsufficientBalanceError,
    OverloadedError,
    ProtocolError,
    ServerError,
)
from acechat.types import (
    AssistantMessage,
    ChatCompletion,
    ChatCompletionChunk,
    Choice,
    ChunkChoice,
    CompletionTokensDetails,
    Cost,
    Delta,
    FunctionCall,
    ImagePart,
    ImageURL,
    Model,
    PromptTokensDetails,
    ResponseInfo,
    TextPart,
    ToolCall,
    Usage,
    UserMessage,
)
from acechat.types.completion import note_origin

DATA = Path(__file__).parent.parent / "data"
SAMPLES = [path.name for path in sorted(DATA.glob("chat_*.json"))]
COUNTED = PromptTokensDetails(cached_tokens=0, text_tokens=0, audio_tokens=0, image_tokens=0)
WRITTEN = CompletionTokensDetails(text_tokens=0, audio_tokens=0, reasoning_tokens=0)


def sample(name):
    return (DATA / name).read_bytes()


def completion_of(body, headers=None):
    return decode_completion(body, headers or {})[0]


def wire(message=None, choice=None, **fields):
    """Return a body with one choice, as the service writes it."""
    message = {"role": "assistant", "content": "Hello!"} if message is None else message
    choices = [{"index": 0, "message": message, "finish_reason": "stop", **(choice or {})}]
    return json.dumps({"id": "c-1", "choices": choices, **fields}).encode()


def chunk(**fields):
    return json.dumps(fields).encode()


def bedrock_usage(prompt, completion):
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
        prompt_tokens_details=COUNTED,
        completion_tokens_details=WRITTEN,
        input_tokens=0,
        output_tokens=0,
        claude_cache_creation_5_m_tokens=0,
        claude_cache_creation_1_h_tokens=0,
    )


@pytest.mark.parametrize("path", sorted(DATA.glob("*.*")), ids=lambda path: path.name)
def test_samples_equal_the_source_documents(path, root):
    shared = root.parent / "shared"
    folder = shared / ("design" if path.name.endswith("_cases.json") else "contract/samples")
    if not folder.exists():
        pytest.skip(f"{folder} is not here")
    original = folder / path.name

    assert path.read_bytes() == original.read_bytes()


@pytest.mark.parametrize(
    ("name", "number", "model", "created", "text", "usage"),
    [
        (
            "chat_basic.json",
            "msg_bdrk_01Q6WN27v95ypCa1kbanAQ6K",
            "claude-opus-4-20250514",
            1768619365,
            "Hello! How can I help you today?",
            bedrock_usage(8, 12),
        ),
        (
            "chat_multi_turn.json",
            "msg_bdrk_01Y1wfQmd89g968TVbFu57Yc",
            "claude-opus-4-20250514",
            1768619674,
            'You said "Hello" - that was your first message to me in our conversation.',
            bedrock_usage(29, 20),
        ),
        (
            "chat_thinking.json",
            "msg_018J4YaRoGHtbsTVb4Vvz7oH",
            "claude-sonnet-4-20250514-thinking",
            1755444014,
            None,
            Usage(
                prompt_tokens=60,
                completion_tokens=239,
                total_tokens=299,
                prompt_tokens_details=PromptTokensDetails(),
                completion_tokens_details=CompletionTokensDetails(),
            ),
        ),
        (
            "chat_vision.json",
            "msg_bdrk_01NCrxpZmV17bhQJJRQEFEb9",
            "claude-sonnet-4-20250514",
            1768628904,
            None,
            bedrock_usage(1570, 252),
        ),
    ],
)
def test_the_documented_completions_are_decoded_field_by_field(
    name, number, model, created, text, usage
):
    sent = json.loads(sample(name))["choices"][0]["message"]

    completion = completion_of(sample(name))

    assert completion == ChatCompletion(
        id=number,
        object="chat.completion",
        created=created,
        model=model,
        choices=[
            Choice(
                index=0,
                message=AssistantMessage(
                    content=text or sent["content"],
                    reasoning_content=sent.get("reasoning_content"),
                ),
                finish_reason="stop",
            )
        ],
        usage=usage,
    )
    assert completion.text == sent["content"]


@pytest.mark.parametrize("name", SAMPLES)
def test_the_lenient_decoder_gives_the_documented_completions_too(name):
    fields = json.loads(sample(name))
    fields["created"] = str(fields["created"])
    fields["choices"][0]["index"] = "0"

    assert completion_of(json.dumps(fields).encode()) == completion_of(sample(name))


def test_reasoning_is_separate_from_text():
    completion = completion_of(sample("chat_thinking.json"))

    assert completion.text.startswith("The sine of 30 degrees is **1/2**")
    assert completion.reasoning.startswith("The user is asking for the sine of 30 degrees.")
    assert completion.usage.completion_tokens_details.reasoning_tokens is None


def test_the_documented_error_with_status_200_is_raised():
    with pytest.raises(ServerError) as caught:
        decode_completion(sample("error_api_error.json"), {})

    assert caught.value.code == "api_error"
    assert caught.value.message == "fetch failed"
    assert caught.value.trace_id == "2cf86e86-22a4-46e1-ac2f-032c0f2a4e89"
    assert caught.value.status == 200
    assert caught.value.body == sample("error_api_error.json")


def test_the_documented_stream_is_decoded_field_by_field():
    events = sample("stream_basic.sse").split(b"\n\n")[:-1]
    data = [event.removeprefix(b"data: ") for event in events]
    head = {
        "id": "msg_bdrk_01LPPqDjLKMgfSwTRMRty9VT",
        "created": 1768619445,
        "model": "claude-opus-4-20250514",
    }

    chunks = [decode_chunk(each, {}) for each in data[:-1]]

    assert data[-1] == b"[DONE]"
    assert chunks == [
        ChatCompletionChunk([ChunkChoice(Delta(content="", role="assistant"))], **head),
        ChatCompletionChunk([ChunkChoice(Delta(content=""))], **head),
        ChatCompletionChunk([ChunkChoice(Delta(content="Hello!"))], **head),
        ChatCompletionChunk([ChunkChoice(Delta(content=" How can I help you"))], **head),
        ChatCompletionChunk([ChunkChoice(Delta(content=" today?"))], **head),
        ChatCompletionChunk([ChunkChoice(Delta(), finish_reason="stop")], **head),
        ChatCompletionChunk([], usage=bedrock_usage(8, 12), **head),
    ]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"content": "Hi"}, AssistantMessage(content="Hi")),
        ({"role": "model", "content": "Hi"}, AssistantMessage(content="Hi")),
        ({"role": None, "content": "Hi"}, AssistantMessage(content="Hi")),
        (
            {"role": "assistant", "content": "Hi", "refusal": None, "annotations": []},
            AssistantMessage(content="Hi"),
        ),
        (
            {"role": "assistant", "content": None, "refusal": "No."},
            AssistantMessage(refusal="No."),
        ),
        (
            {"role": "assistant", "content": "Hi", "reasoning_content": "Hm"},
            AssistantMessage(content="Hi", reasoning_content="Hm"),
        ),
        (
            {"role": "assistant", "content": "Hi", "reasoning": "Hm"},
            AssistantMessage(content="Hi", reasoning_content="Hm"),
        ),
        (
            {"role": "assistant", "content": "Hi", "reasoning": "Hm", "reasoning_content": "Hm"},
            AssistantMessage(content="Hi", reasoning_content="Hm"),
        ),
        (
            {"role": "assistant", "content": "Hi", "reasoning": "Hm", "reasoning_content": ""},
            AssistantMessage(content="Hi", reasoning_content="Hm"),
        ),
        (
            {"role": "assistant", "content": "Hi", "reasoning": None, "reasoning_content": "Hm"},
            AssistantMessage(content="Hi", reasoning_content="Hm"),
        ),
        ({"content": 'say "reasoning": "x"'}, AssistantMessage(content='say "reasoning": "x"')),
        ({"content": 'say "error": 1'}, AssistantMessage(content='say "error": 1')),
    ],
)
def test_variants_of_messages_are_decoded(message, expected):
    assert completion_of(wire(message)).message == expected


def call(**fields):
    return {"role": "assistant", "content": None, "tool_calls": [fields]}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}},
            ToolCall(id="a", function=FunctionCall("f", '{"x":1}')),
        ),
        (
            {"id": "a", "function": {"name": "f", "arguments": ""}},
            ToolCall("a", function=FunctionCall("f")),
        ),
        (
            {"id": "a", "function": {"name": "f", "arguments": " \n"}},
            ToolCall("a", function=FunctionCall("f")),
        ),
        (
            {"id": "a", "function": {"name": "f", "arguments": None}},
            ToolCall("a", function=FunctionCall("f")),
        ),
        ({"id": "a", "function": {"name": "f"}}, ToolCall("a", function=FunctionCall("f"))),
        (
            {"id": "a", "function": {"name": "f", "arguments": {"x": [1]}}},
            ToolCall(id="a", function=FunctionCall("f", '{"x":[1]}')),
        ),
        (
            {"id": None, "type": None, "function": {"name": "f", "arguments": "{}"}},
            ToolCall(function=FunctionCall("f")),
        ),
    ],
)
def test_variants_of_tool_calls_are_decoded(fields, expected):
    assert completion_of(wire(call(**fields))).tool_calls == [expected]


@pytest.mark.parametrize("arguments", [[1, 2], 5, True, [{"x": 1}]])
def test_arguments_that_are_not_an_object_are_kept_or_refused(arguments):
    body = wire(call(id="a", function={"name": "f", "arguments": arguments}))

    try:
        decoded = completion_of(body).tool_calls[0].function.arguments
    except ProtocolError:
        return
    assert json.loads(decoded) == arguments


@pytest.mark.parametrize(
    ("fields", "attribute", "expected"),
    [
        ({"created": "yesterday"}, "created", None),
        ({"created": "1768619365"}, "created", 1768619365),
        ({"created": 1768619365.0}, "created", 1768619365),
        ({"created": 1768619365.5}, "created", None),
        ({"created": None}, "created", None),
        ({"created": {"at": 1}}, "created", None),
        ({"id": None}, "id", ""),
        ({"id": 5}, "id", ""),
        ({"model": None}, "model", ""),
        ({"model": ["m"]}, "model", "m"),
        ({"object": None}, "object", "chat.completion"),
        ({"object": "chat.completion.chunk"}, "object", "chat.completion.chunk"),
        ({"system_fingerprint": 7}, "system_fingerprint", None),
        ({"service_tier": "default"}, "service_tier", "default"),
        ({"usage": None}, "usage", None),
        ({"usage": []}, "usage", None),
        ({"usage": "much"}, "usage", None),
        ({"usage": {}}, "usage", Usage()),
        ({"usage": {"total_tokens": "much", "prompt_tokens": 8}}, "usage", Usage(prompt_tokens=8)),
        ({"usage": {"total_tokens": 20.0}}, "usage", Usage(total_tokens=20)),
        (
            {"usage": {"prompt_tokens_details": {}, "completion_tokens_details": None}},
            "usage",
            Usage(prompt_tokens_details=PromptTokensDetails()),
        ),
        (
            {"usage": {"prompt_tokens_details": [], "total_tokens": 3}},
            "usage",
            Usage(total_tokens=3),
        ),
        (
            {"usage": {"cost": {"amount": 0.5, "currency": "credits", "list_amount": None}}},
            "usage",
            Usage(cost=Cost(amount=0.5, currency="credits")),
        ),
        ({"usage": {"cost": 0.5, "total_tokens": 3}}, "usage", Usage(total_tokens=3)),
        ({"created": 1e19}, "created", 10**19),  # beyond the floats that msgspec converts to int
    ],
)
def test_only_the_field_of_the_wrong_type_is_dropped(fields, attribute, expected):
    completion = completion_of(wire(**fields))

    assert getattr(completion, attribute) == expected
    assert completion.text == "Hello!"
    assert completion.finish_reason == "stop"


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"index": "1"}, Choice(1, AssistantMessage(content="Hello!"), "stop")),
        ({"index": 1.0}, Choice(1, AssistantMessage(content="Hello!"), "stop")),
        ({"index": None}, Choice(0, AssistantMessage(content="Hello!"), "stop")),
        ({"finish_reason": None}, Choice(0, AssistantMessage(content="Hello!"))),
        ({"finish_reason": 5}, Choice(0, AssistantMessage(content="Hello!"))),
        (
            {"finish_reason": "pause_turn", "refs": [], "flag": 0},
            Choice(0, AssistantMessage(content="Hello!"), "pause_turn"),
        ),
        (
            {"logprobs": {"content": []}},
            Choice(0, AssistantMessage(content="Hello!"), "stop", {"content": []}),
        ),
    ],
)
def test_a_choice_with_fields_of_the_wrong_type_keeps_its_content(choice, expected):
    assert completion_of(wire(choice=choice)).choices == [expected]


def test_the_lenient_decoder_keeps_text_as_text():
    for text in ("null", "12", "true", "", "1e3"):
        assert completion_of(wire({"content": text}, created="yesterday")).text == text


@pytest.mark.parametrize(
    "parts",
    [
        [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo!"}],
        ["Hel", "lo!"],
        [{"text": "Hello!"}],
    ],
)
def test_content_in_parts_is_joined(parts):
    assert completion_of(wire({"content": parts})).text == "Hello!"


@pytest.mark.parametrize(
    "message",
    [
        {"content": [{"type": "thinking", "thinking": "Hm"}, {"type": "text", "text": "Hello!"}]},
        {"content": "Hello!", "tool_calls": {}},
        {"content": "Hello!", "tool_calls": ""},
        {"content": "Hello!", "reasoning_content": [{"thinking": "Hm"}]},
        {"content": "Hello!", "refusal": False},
    ],
)
def test_odd_fields_beside_the_text_are_dropped(message):
    assert completion_of(wire(message)).text == "Hello!"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "is empty"),
        (b" ", "is not valid JSON"),
        (b"null", "not a JSON object"),
        (b"[1,2]", "not a JSON object"),
        (b'"ok"', "not a JSON object"),
        (b"5", "not a JSON object"),
        (b"{}", "no list 'choices'"),
        (b'{"id": "c-1"}', "no list 'choices'"),
        (b'{"choices": null}', "no list 'choices'"),
        (b'{"choices": {}}', "no list 'choices'"),
        (b'{"choices": "none"}', "no list 'choices'"),
        (b'{"choices": [null]}', r"not match the schema: .*\$\.choices\[0\]"),
        (b'{"choices": [5]}', r"not match the schema: .*\$\.choices\[0\]"),
        (b'{"choices": [{"message": "hi"}]}', r"not match the schema: .*\$\.choices\[0\]\.message"),
        (
            b'{"choices": [{"message": {"content": 5}}], "created": "yesterday"}',
            r"not match the schema: .*\$\.",
        ),
        (b'{"choices": [{"message": {"content": "Hel', "is not valid JSON"),
        (b'{"choices": []} trailing', "is not valid JSON"),
        (b'{"choices": [], "created": NaN}', "contains no completion"),
        (b'{"choices": [], "created": Infinity}', "contains no completion"),
        (b'{"choices": []}', "contains no completion"),
        (b'{"choices": [{}]}', "contains no completion"),
        (b'{"choices": [{"message": null, "finish_reason": "stop"}]}', "contains no completion"),
        (b'{"choices": [{"message": {}, "finish_reason": "stop"}]}', "contains no completion"),
        (
            b'{"choices": [{"message": {"role": "assistant", "content": null}}]}',
            "contains no completion",
        ),
        (
            b'{"choices": [{"message": {"tool_calls": []}, "finish_reason": "tool_calls"}]}',
            "contains no completion",
        ),
        (b"\xef\xbb\xbf\xff", "is not valid JSON"),
        (b"[" * 200_000, "is not valid JSON"),
        (b'{"choices": [], "x": ' + b"[" * 200_000, "is not valid JSON"),
        (b'{"choices": [], "created": ' + b"9" * 5_000 + b"}", "contains no completion"),
        (b"<!DOCTYPE html><html><title>502 Bad Gateway</title>", "is not valid JSON"),
    ],
)
def test_a_body_that_is_not_a_completion_is_described(body, reason):
    with pytest.raises(ProtocolError, match=reason) as caught:
        decode_completion(body, {"content-type": "text/html"}, status=200)

    assert caught.value.body == body[:500]
    assert caught.value.status == 200
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert len(str(caught.value)) < 500


def test_the_error_for_an_html_page_has_its_content_type():
    with pytest.raises(ProtocolError, match="text/html"):
        decode_completion(b"<html>", {"content-type": "text/html; charset=utf-8"})


@pytest.mark.parametrize(
    ("body", "cls", "code", "message"),
    [
        (b'{"error": "boom"}', APIError, None, "boom"),
        (b'{"error": {"message": "boom", "code": "busy"}}', OverloadedError, "busy", "boom"),
        (b'{"success": false}', APIError, None, '{"success": false}'),
        (b'{"success": false, "message": "boom"}', APIError, None, "boom"),
        (b'{"type": "error", "message": "boom"}', APIError, None, "boom"),
        (
            b'{"choices": [], "error": {"code": "used_up", "message": "boom"}}',
            InsufficientBalanceError,
            "used_up",
            "boom",
        ),
        (b'{"choices": [], "success": false, "message": "boom"}', APIError, None, "boom"),
        (b'{"error": {"message": "boom", "code": "503"}}', OverloadedError, "503", "boom"),
        (b'{"error": {"message": "boom", "code": 503}}', OverloadedError, "503", "boom"),
        (b'{"type": "error", "message": "boom", "status": 503}', OverloadedError, None, "boom"),
    ],
)
def test_an_error_body_with_status_200_is_raised(body, cls, code, message):
    with pytest.raises(APIError) as caught:
        decode_completion(body, {}, status=200)

    assert type(caught.value) is cls
    assert (caught.value.status, caught.value.code, caught.value.message) == (200, code, message)


@pytest.mark.parametrize("body", [wire(error=None), wire(success=True), wire(error="", type="x")])
def test_an_empty_error_field_is_ignored(body):
    assert completion_of(body).text == "Hello!"


def test_a_retry_after_date_without_a_clock_is_ignored():
    headers = {"retry-after": "Sun, 22 Nov 2026 18:00:02 GMT"}

    with pytest.raises(OverloadedError) as caught:
        decode_completion(b'{"error": {"code": "busy"}}', headers)

    assert caught.value.retry_after is None


def test_of_two_equal_keys_the_last_wins():
    body = b'{"choices": [{"message": {"content": "a"}}], "id": "a", "id": "b"}'

    assert completion_of(body).id == "b"


@pytest.mark.parametrize(
    ("body", "headers", "trace_id"),
    [
        (wire(), {}, None),
        (wire(trace_id="t-1"), {"x-request-id": "r-1"}, "t-1"),
        (wire(trace_id="t-1", created="yesterday"), {}, "t-1"),
        (wire(trace_id=5), {"x-trace-id": "t-2"}, "t-2"),
        (wire(), {"x-trace-id": "t-2", "x-request-id": "r-1"}, "t-2"),
        (wire(), {"trace-id": "t-3", "x-request-id": "r-1"}, "t-3"),
        (wire(), {"x-request-id": "r-1", "x-oneapi-request-id": "o-1"}, "r-1"),
        (wire(), {"x-oneapi-request-id": "o-1"}, "o-1"),
    ],
)
def test_the_trace_id_is_that_of_the_body_or_of_the_headers(body, headers, trace_id):
    assert decode_completion(body, headers)[1] == trace_id


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (b"", None),
        (b" \n", None),
        (b"{}", ChatCompletionChunk([])),
        (chunk(choices=None), ChatCompletionChunk([])),
        (chunk(id="c-1"), ChatCompletionChunk([], id="c-1")),
        (chunk(choices=[], error=None), ChatCompletionChunk([])),
        (chunk(choices=[{}]), ChatCompletionChunk([ChunkChoice()])),
        (chunk(choices=[{"delta": None}]), ChatCompletionChunk([ChunkChoice()])),
        (chunk(choices=[{"delta": {}}]), ChatCompletionChunk([ChunkChoice()])),
        (
            chunk(choices=[{"index": 0, "delta": {"content": "a"}}], recipient="all"),
            ChatCompletionChunk([ChunkChoice(Delta(content="a"))]),
        ),
        (
            chunk(choices=[{"delta": {"content": "a"}, "index": 0.0}], created="soon"),
            ChatCompletionChunk([ChunkChoice(Delta(content="a"))]),
        ),
        (
            chunk(choices=[{"delta": {"content": [{"type": "text", "text": "a"}]}}]),
            ChatCompletionChunk([ChunkChoice(Delta(content="a"))]),
        ),
        (
            chunk(choices=[{"delta": {"content": "a", "role": 5}, "finish_reason": "pause_turn"}]),
            ChatCompletionChunk([ChunkChoice(Delta(content="a"), 0, "pause_turn")]),
        ),
    ],
)
def test_variants_of_events_are_decoded(event, expected):
    assert decode_chunk(event, {}) == expected


@pytest.mark.parametrize(
    ("event", "cls", "code"),
    [
        (b'{"error": {"message": "boom", "type": "new_api_error"}}', ServerError, "new_api_error"),
        (b'{"error": {"code": "used_up", "message": "boom"}}', InsufficientBalanceError, "used_up"),
        (b'{"error": "boom"}', ServerError, None),
        (b'{"choices": [], "error": "boom"}', ServerError, None),
        (b'{"choices": null, "error": {"message": "boom"}}', ServerError, None),
        (b'{"success": false, "message": "boom"}', ServerError, None),
        (b'{"choices": null, "success": false, "message": "boom"}', ServerError, None),
        (b'{"choices": [], "success": false, "message": "boom"}', ServerError, None),
        (b'{"type": "error", "message": "boom", "code": "busy"}', OverloadedError, "busy"),
        (b'{"type": "error", "message": "boom", "status": 529}', OverloadedError, None),
        (
            b'{"type": "error", "error": {"type": "overloaded_error", "message": "boom"}}',
            OverloadedError,
            "overloaded_error",
        ),
    ],
)
def test_an_error_inside_a_stream_is_raised(event, cls, code):
    with pytest.raises(APIError) as caught:
        decode_chunk(event, {"x-request-id": "r-1"})

    error = caught.value
    assert type(error) is cls
    assert (error.status, error.code, error.message) == (None, code, "boom")
    assert (error.trace_id, error.body) == ("r-1", event)


def named(data, kind="error"):
    event = Event(data)
    event.type = kind
    return event


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"message": "boom"}', "boom"),
        (b'{"error": {"message": "boom"}}', "boom"),
        (b'{"detail": "boom"}', "boom"),
        (b"boom", "boom"),
        (b"\xff", "\N{REPLACEMENT CHARACTER}"),
        (b"{}", "{}"),
        (b'{"choices": null, "message": "boom"}', "boom"),
        (b'{"choices": [], "message": "boom"}', "boom"),
    ],
)
def test_an_event_of_type_error_is_an_error(data, message):
    with pytest.raises(ServerError) as caught:
        decode_chunk(named(data), {})

    assert caught.value.message == message


def test_an_event_of_another_type_is_a_chunk():
    event = named(chunk(choices=[{"delta": {"content": "a"}}]), kind="ping")

    assert decode_chunk(event, {}).choices[0].delta.content == "a"


@pytest.mark.parametrize(
    "event",
    [
        b"{",
        b"null",
        b"[1]",
        b'"text"',
        b"<html>",
        b'{"choices": "a"}',
        b'{"choices": [{"delta": "a"}]}',
        b'{"choices": [{"delta": {"content": 5}}]}',
        b'{"choices": [{"delta": {"tool_calls": 5}}]}',
        b"[" * 200_000,
        b'{"choices": [{"delta": {"content": ' + b"[" * 100_000,
        b'{"x": NaN, "choices": [{"delta": {"content": ' + b"[" * 990 + b"]" * 990 + b"}}]}",
    ],
)
def test_an_event_that_is_not_a_chunk_is_a_protocol_error(event):
    with pytest.raises(ProtocolError) as caught:
        decode_chunk(event, {})

    assert caught.value.body == event[:500]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)
KEYS = """choices message delta content index usage error tool_calls function arguments role
created id finish_reason logprobs reasoning success"""
keys = st.sampled_from(KEYS.split())
lookalikes = st.recursive(
    json_values,
    lambda inner: st.dictionaries(keys, inner, max_size=5) | st.lists(inner, max_size=2),
    max_leaves=20,
)


@settings(deadline=None, max_examples=200)
@given(body=st.one_of(st.binary(max_size=50), lookalikes.map(msgspec.json.encode)))
def test_the_decoders_raise_only_acechat_errors(body):
    for decode in (decode_completion, decode_chunk):
        with suppress(AceChatError):
            decode(body, {})


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"temperature": float("inf")}, "temperature is inf"),
        ({"logit_bias": {"5": float("-inf")}}, r"logit_bias\.5 is -inf"),
        ({"messages": [{"x": [1, (2.0, float("nan"))]}]}, r"messages\[0\]\.x\[1\]\[1\] is nan"),
    ],
)
def test_nan_and_infinity_are_refused(body, path):
    with pytest.raises(ConfigurationError, match=path):
        encode(body)


def test_null_beside_numbers_is_sent():
    body = {"a": None, "b": [1.5, {"c": None}], "d": ("null", -0.0)}

    assert json.loads(encode(body)) == body | {"d": ["null", -0.0]}


@pytest.mark.parametrize("body", [{"a": "x\ud83d"}, {"a": {"\udc00": 1}}, {"\ud800": 1}])
def test_a_lone_surrogate_is_refused(body):
    with pytest.raises(ConfigurationError, match="lone surrogate") as caught:
        encode(body)

    assert str(caught.value).isprintable()
    assert caught.value.__suppress_context__


def test_an_object_that_is_not_json_is_refused():
    with pytest.raises(TypeError, match="object"):
        encode({"a": object()})


def test_a_request_nested_too_deeply_is_refused():
    outcomes = set()
    deep = [None]
    for _ in range(sys.getrecursionlimit() + 50):  # at some depths only msgspec succeeds
        deep = [deep]
        try:
            outcomes.add(type(encode({"a": deep})))
        except ConfigurationError as error:
            outcomes.add(str(error))

    assert outcomes == {bytes, "request is nested too deeply or contains itself"}


def test_a_request_that_contains_itself_is_refused():
    endless = []
    endless.append(endless)

    with pytest.raises((ConfigurationError, TypeError, ValueError)):
        encode({"a": endless})


@pytest.mark.parametrize(
    "body", [{}, {"a": None}, {"seed": 2**70}, {"a": "\u2028 \N{GRINNING FACE} \x00"}, {"a": 1e-9}]
)
def test_any_json_value_is_encoded(body):
    assert json.loads(encode(body)) == body


def test_plain_json_is_decoded():
    assert decode_json(b'{"a": [1, null]}') == {"a": [1, None]}


def test_models_are_decoded():
    body = (
        b'{"object": "list", "data": [{"id": "claude-opus-5", "object": "model", '
        b'"created": 1714500000, "owned_by": "system"}, {"id": "m", "created": "soon"}], '
        b'"models": [{"slug": "x"}]}'
    )

    assert decode_models(body) == [
        Model(id="claude-opus-5", created=1714500000, owned_by="system"),
        Model(id="m"),
    ]


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b"{}", b'{"data": null}', b'{"data": [5]}', b'{"data": [{"name": "m"}]}'],
)
def test_a_body_that_is_not_a_model_list_is_an_error(body):
    with pytest.raises(ProtocolError):
        decode_models(body)


def test_the_fast_path_has_every_field_of_a_completion():
    from acechat._wire import decode

    for decoded, public in (
        (decode._FastCompletion, ChatCompletion),
        (decode._FastChoice, Choice),
        (decode._FastMessage, AssistantMessage),
    ):
        assert set(public.__struct_fields__) <= set(decoded.__struct_fields__)


@pytest.mark.parametrize("amount", ["nan", "inf", "-Infinity", "sNaN"])
def test_a_cost_that_is_not_a_number_is_dropped(amount):
    usage = completion_of(wire(usage={"total_tokens": 3, "cost": {"amount": amount}})).usage

    assert usage == Usage(total_tokens=3, cost=Cost())


def nested(depth):
    return b"[" * depth + b"]" * depth


def is_too_deep(depth):
    try:
        msgspec.json.decode(nested(depth))
    except RecursionError:
        return True
    return False


def test_arguments_nested_too_deeply_raise_an_acechat_error():
    # A body may be just flat enough to be decoded, and too deep to be written again. The limit is
    # Python's until 3.11, a number of its own until 3.13, and then the size of the stack.
    limit = bisect_left(range(1_000_000), True, key=is_too_deep)  # noqa: FBT003 - a value to find
    for depth in range(limit - 100, limit + 20):
        deep = nested(depth)
        call = b'{"id": "a", "function": {"name": "f", "arguments": %s}}' % deep
        with suppress(AceChatError):
            completion_of(b'{"choices": [{"message": {"tool_calls": [%s]}}]}' % call)


def test_a_price_keeps_its_digits_in_each_form_of_event():
    data = b'{"choices": [], "usage": {"cost": {"amount": 0.12345678901234567890123}}}'

    for event in (data, Event(data)):
        assert str(decode_chunk(event, {}).usage.cost.amount) == "0.12345678901234567890123"


def test_every_field_of_a_body_is_available():
    body = wire(more=[1])

    assert decode_fields(body) == json.loads(body)


@pytest.mark.parametrize("odd", [b'"x": "\xff"', b'"x": 1e999', b'"\xff": 1'])
def test_a_malformed_unknown_field_costs_no_other_field(odd):
    body = b"{" + odd + b"," + wire(more=1)[1:]
    decoded = note_origin(completion_of(body), ResponseInfo(), partial(decode_fields, body))

    fields = decoded.to_dict()

    assert fields["choices"][0]["message"]["content"] == "Hello!"
    assert fields["more"] == 1


def test_a_call_without_arguments_keeps_its_other_fields():
    call = ToolCall(id="t-1", type="odd", function=FunctionCall(name="f", arguments=" "))

    assert with_arguments(call) == ToolCall(
        id="t-1", type="odd", function=FunctionCall(name="f", arguments="{}")
    )


@pytest.mark.parametrize(
    ("decode", "body", "reason"),
    [
        (decode_models, b"", "model list is empty"),
        (decode_models, b"[]", "model list has no array 'data'"),
        (completion_of, b"", "response (no content type) is empty"),
        (completion_of, b"[]", "response is not a JSON object"),
        (completion_of, b"{}", "response has no list 'choices'"),
        (lambda body: decode_chunk(body, {}), b"[]", "stream event is not a JSON object"),
    ],
)
def test_the_error_names_the_body_that_cannot_be_decoded(decode, body, reason):
    with pytest.raises(ProtocolError) as caught:
        decode(body)

    assert caught.value.reason == reason
    assert caught.value.body == body


def test_the_error_names_an_event_that_is_not_json():
    with pytest.raises(ProtocolError, match=r"^stream event is not valid JSON"):
        decode_chunk(b"{", {})


def test_the_error_for_a_request_that_contains_itself():
    body = {}
    body["itself"] = body
    with pytest.raises(ConfigurationError) as caught:
        encode(body)

    assert str(caught.value) == "request is nested too deeply or contains itself"


def test_encoding_an_image_takes_no_more_memory_than_its_bytes():
    shown = image(b"\x89PNG\r\n\x1a\n" + bytes(3_000_000))
    body = {"messages": [UserMessage(content=[TextPart("Dépeins-moi ça."), shown])]}
    peaks = []
    tracemalloc.start()
    try:
        for _ in range(3):  # other threads of the test run may allocate, too
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            written = encode(body)
            peaks.append(tracemalloc.get_traced_memory()[1] - before)
            size = len(written)
            assert msgspec.json.decode(written) == msgspec.to_builtins(body)
            del written
    finally:
        tracemalloc.stop()

    assert min(peaks) < size * 1.01


@pytest.mark.parametrize("text", ["x", '"', "é", "\U0001f600", "\x01"])
@pytest.mark.parametrize("length", [2**20 - 1, 2**20, 2**20 + 1])
def test_large_and_small_requests_are_encoded_alike(text, length):
    shown = ImagePart(ImageURL(text * length))
    body = {"messages": [UserMessage(content=[TextPart("What?"), shown])], "user": "x" * 2**15}

    assert encode(body) == msgspec.json.encode(body)
