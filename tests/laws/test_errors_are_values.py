"""Law 5: every error survives pickling and copying, in type, attributes, arguments and text."""

from __future__ import annotations

import copy
import pickle

import pytest

import acechat  # noqa: F401 - brings every subclass
from acechat import errors
from acechat.errors import (
    AceChatError,
    APIError,
    Attempt,
    BatchRowError,
    BatchStoppedError,
    ClientClosedError,
    ConnectError,
    MaxTurnsError,
    ModelMismatchError,
    OutputError,
    ProtocolError,
    RequestTimeoutError,
    StreamTruncatedError,
    ToolError,
)
from acechat.types import (
    AssistantMessage,
    ChatCompletion,
    Choice,
    FunctionCall,
    ResponseInfo,
    RunResult,
    ToolCall,
    ToolResult,
    Turn,
    Usage,
)
from acechat.types.completion import note_origin

CALL = ToolCall(id="toolu_1", function=FunctionCall(name="weather"))

WAYS = {
    **{
        f"pickle {protocol}": lambda error, protocol=protocol: pickle.loads(
            pickle.dumps(error, protocol)
        )
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)
    },
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


def subclasses(cls):
    for below in cls.__subclasses__():
        yield below
        yield from subclasses(below)


EVERY = sorted({AceChatError, *subclasses(AceChatError)}, key=lambda cls: cls.__name__)


def make(cls):  # noqa: C901 - one line for each class
    """Make an error of *cls*, as a caller would meet it."""
    if issubclass(cls, APIError):
        return cls(
            429,
            "too_many_requests",
            "slow down",
            trace_id="t-1",
            retry_after=1.5,
            should_retry=True,
            body=b'{"error": {}}',
        )
    if issubclass(cls, StreamTruncatedError):
        return cls("the stream ended", chunks=3, received=1000, elapsed=0.5)
    if issubclass(cls, ProtocolError):
        return cls("the answer is no JSON", body=b"<html>", status=200)
    if issubclass(cls, RequestTimeoutError):
        return cls("idle", 120.0)
    if issubclass(cls, ConnectError):
        return cls("the certificate is not trusted", final=True)
    if issubclass(cls, ClientClosedError):
        return cls()
    if issubclass(cls, ToolError):
        return cls(CALL, "ValueError: no such city")
    if issubclass(cls, BatchRowError):
        return cls("invalid_row", "it has no prompt")
    if issubclass(cls, BatchStoppedError):
        return cls("the disk is full", "make room")
    if issubclass(cls, ModelMismatchError):
        return cls("claude-opus-5", "claude-haiku")
    if issubclass(cls, MaxTurnsError):
        return cls(8)
    if issubclass(cls, OutputError):
        answer = ChatCompletion(choices=[Choice(message=AssistantMessage(content='"7"'))])
        return cls("Expected `int`, got `str`", text='"7"', completion=answer)
    return cls("it went wrong")


def with_facts(error):
    """Add what the client notes on an error before it raises it."""
    answer = ChatCompletion(
        choices=[Choice(message=AssistantMessage(content="Hel"))], usage=Usage(total_tokens=3)
    )
    sent = {"id": "c-1", "choices": [{"news": 1}]}
    error.partial = note_origin(answer, ResponseInfo(status=200, trace_id="t-2"), sent.copy)
    result = ToolResult(call=CALL, content="rain", elapsed=0.5)
    error.run = RunResult((Turn(error.partial, (result,)),), ({"role": "user"}, answer.message))
    error.trace_id = "t-2"
    error.attempts = (
        Attempt(
            number=1,
            started=0.0,
            elapsed=0.25,
            failure="lost",
            error="TransportError: gone",
            may_be_billed=True,
        ),
    )
    error.add_note("told by a test")
    return error


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("cls", EVERY)
def test_an_error_survives(cls, way):
    error = make(cls)

    again = WAYS[way](error)

    assert type(again) is cls
    assert again.__dict__ == error.__dict__
    assert again.args == error.args
    assert str(again) == str(error)
    assert repr(again) == repr(error)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("cls", EVERY)
def test_an_error_survives_with_all_that_is_known_about_it(cls, way):
    error = with_facts(make(cls))

    again = WAYS[way](error)

    assert again.__dict__ == error.__dict__
    assert again.args == error.args
    assert str(again) == str(error)
    assert again.retryable == error.retryable
    assert again.attempts == error.attempts
    assert again.partial.response == error.partial.response
    assert again.partial.to_dict() == error.partial.to_dict()


@pytest.mark.parametrize("cls", EVERY)
def test_an_error_survives_twice(cls):
    error = with_facts(make(cls))

    once = pickle.loads(pickle.dumps(error))
    twice = pickle.loads(pickle.dumps(once))

    assert twice.__dict__ == error.__dict__
    assert twice.args == error.args
    assert str(twice) == str(error)


@pytest.mark.parametrize("cls", EVERY)
def test_a_copy_can_be_raised_and_changed_alone(cls):
    error = make(cls)

    again = copy.copy(error)
    again.trace_id = "another"

    with pytest.raises(cls):
        raise again
    assert error.trace_id != "another"


def test_the_walk_finds_the_whole_tree():
    assert {cls.__name__ for cls in EVERY} >= set(errors.__all__) - {"Attempt"}
