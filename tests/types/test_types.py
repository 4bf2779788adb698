"""The public structs: properties of completions, equality, copying and pickling."""

from __future__ import annotations

import copy
import pickle
from functools import partial

import msgspec
import pytest

import acechat.types
from acechat._wire.decode import decode_json, to_fields
from acechat.errors import Attempt, ProtocolError
from acechat.types import (
    AssistantMessage,
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionRequest,
    Choice,
    ChunkChoice,
    Cost,
    Delta,
    FunctionCall,
    FunctionCallDelta,
    ImageURL,
    Message,
    PromptTokensDetails,
    ResponseInfo,
    SystemMessage,
    TextDelta,
    TextPart,
    ToolCall,
    ToolCallDelta,
    ToolMessage,
    Usage,
    UserMessage,
)
from acechat.types.completion import note_origin

CALL = ToolCall("t-1", function=FunctionCall("f", '{"x": 1}'))
COMPLETION = ChatCompletion(
    choices=[
        Choice(
            0,
            AssistantMessage(content="Hi", reasoning_content="Hm", tool_calls=[CALL]),
            "tool_calls",
        ),
        Choice(1, AssistantMessage(content="Ho"), "stop"),
    ],
    id="c-1",
    model="m",
    usage=Usage(total_tokens=3),
)
INFO = ResponseInfo(
    status=200,
    headers={"x-request-id": "r-1"},
    trace_id="t-1",
    elapsed=0.5,
    attempts=(
        Attempt(number=1, started=0.0, elapsed=0.1, failure="lost", error="x", may_be_billed=True),
    ),
)
SENT = {"id": "c-1", "choices": [], "odd": {"deep": [1]}}

VALUES = [
    COMPLETION,
    ChatCompletionChunk([ChunkChoice(Delta(content="a", tool_calls=[ToolCallDelta(0)]))]),
    UserMessage(content=[TextPart("a")]),
    SystemMessage(content="a"),
    ToolMessage(content="a", tool_call_id="t-1"),
    Usage(total_tokens=3),
    INFO,
    TextDelta("a"),
    ToolCallDelta(0, "t-1", "function", FunctionCallDelta("f", "{")),
]


def fresh():
    """Return a completion as a client makes it, with its HTTP response."""
    plain = ChatCompletion(*(getattr(COMPLETION, name) for name in COMPLETION.__struct_fields__))
    return note_origin(plain, INFO, partial(decode_json, msgspec.json.encode(SENT)))


def test_properties_of_a_completion():
    assert COMPLETION.text == "Hi"
    assert COMPLETION.reasoning == "Hm"
    assert COMPLETION.finish_reason == "tool_calls"
    assert COMPLETION.tool_calls == [CALL]
    assert COMPLETION.message is COMPLETION.choices[0].message
    assert COMPLETION.choices[1].message.content == "Ho"


@pytest.mark.parametrize(
    "completion", [ChatCompletion(choices=[]), ChatCompletion(choices=[Choice()])]
)
def test_properties_of_an_empty_completion(completion):
    assert completion.text == ""
    assert completion.reasoning is None
    assert completion.finish_reason is None
    assert completion.tool_calls == []
    assert completion.message == AssistantMessage()
    assert completion.usage is None
    assert completion.trace_id is None
    assert completion.response == ResponseInfo()


def test_the_http_response_is_not_compared():
    completion = fresh()

    assert completion == COMPLETION
    assert completion.response is INFO
    assert completion.trace_id == "t-1"
    assert completion.to_dict() == SENT
    assert "odd" not in repr(completion)


def test_to_dict_of_a_completion_not_made_by_a_client():
    fields = COMPLETION.to_dict()

    assert fields["choices"][1] == {
        "index": 1,
        "message": {"role": "assistant", "content": "Ho"},
        "finish_reason": "stop",
        "logprobs": None,
    }
    assert fields["object"] == "chat.completion"


def test_to_dict_returns_a_new_dict_each_time():
    completion = fresh()

    completion.to_dict()["choices"].append("x")
    completion.to_dict().clear()

    assert completion.to_dict() == SENT


@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))]
)
@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_copies_and_pickles_are_equal(value, duplicate):
    again = duplicate(value)

    assert type(again) is type(value)
    assert again == value
    assert repr(again) == repr(value)


@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))]
)
def test_a_copy_of_a_completion_keeps_its_http_response(duplicate):
    again = duplicate(duplicate(fresh()))

    assert again == COMPLETION
    assert again.response == INFO
    assert again.to_dict() == SENT


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_structs_are_immutable(value):
    with pytest.raises(AttributeError):
        setattr(value, value.__struct_fields__[0], None)


def test_every_struct_is_frozen():
    structs = [
        thing
        for thing in vars(acechat.types).values()
        if isinstance(thing, type) and issubclass(thing, msgspec.Struct)
    ]

    assert len(structs) > 20
    assert [cls.__name__ for cls in structs if not cls.__struct_config__.frozen] == []


@pytest.mark.parametrize(
    ("delta", "text"),
    [(Delta(content="Hi"), "Hi"), (Delta(content=""), ""), (Delta(reasoning_content="Hm"), "")],
)
def test_a_delta_prints_as_its_text(delta, text):
    assert str(delta) == f"{delta}" == text


@pytest.mark.parametrize(
    ("message", "role"),
    [
        (SystemMessage(content="a"), "system"),
        (UserMessage(content="a"), "user"),
        (AssistantMessage(content="a"), "assistant"),
        (ToolMessage(content="a", tool_call_id="t-1"), "tool"),
    ],
)
def test_a_message_has_its_role_and_survives_json(message, role):
    wire = msgspec.json.encode(message)

    assert message.role == role
    assert msgspec.json.decode(wire)["role"] == role
    assert msgspec.json.decode(wire, type=Message) == message


def test_the_repr_of_a_long_url_is_shortened():
    url = ImageURL("data:image/png;base64," + "A" * 10_000)

    assert len(repr(url)) < 200
    assert "10022 characters" in repr(url)


def test_a_request_is_decoded_leniently():
    body = b'{"model": "m", "messages": [{"role": "user"}], "max_tokens": 5.0, "news": 1}'

    request = msgspec.json.decode(body, type=ChatCompletionRequest)

    assert (request.model, request.messages, request.max_tokens) == ("m", [{"role": "user"}], 5)
    assert request.stream is None


@pytest.mark.parametrize("usage", [Usage(), Usage(prompt_tokens=0)])
def test_usage_that_was_not_reported_is_none_and_not_zero(usage):
    assert usage.completion_tokens is None
    assert usage.prompt_tokens_details is None
    assert usage.prompt_tokens in {None, 0}


def test_structs_of_chunks_are_not_tracked_by_the_collector():
    assert not any(
        cls.__struct_config__.gc
        for cls in (ChatCompletionChunk, ChunkChoice, Delta, ToolCallDelta, FunctionCallDelta)
    )


def test_the_sum_of_usages_has_none_for_missing_fields():
    details = PromptTokensDetails(cached_tokens=1, text_tokens=2)
    one = Usage(total_tokens=3, prompt_tokens=1, prompt_tokens_details=details, usage_source="a")
    other = Usage(total_tokens=4, prompt_tokens_details=PromptTokensDetails(cached_tokens=5))

    both = one + other

    assert both == Usage(total_tokens=7, prompt_tokens_details=PromptTokensDetails(cached_tokens=6))


def test_the_sum_of_costs_in_two_currencies_is_none():
    one = Usage(cost=Cost(amount=1.0, currency="credits"))
    other = Usage(cost=Cost(amount=2.0, currency="usd"))

    assert (one + one).cost == Cost(amount=2.0, currency="credits")
    assert (one + other).cost is None


def test_to_dict_of_a_completion_nested_too_deep_raises_protocol_error(too_deep):
    completion = ChatCompletion(choices=[Choice(message=AssistantMessage(), logprobs=too_deep)])

    with pytest.raises(ProtocolError, match="nested too deep"):
        note_origin(completion, INFO, partial(to_fields, completion)).to_dict()
