"""The exception tree: base classes, texts and attributes."""

from __future__ import annotations

import pickle

import pytest

from acechat import errors
from acechat._record.cassette import Cassette
from acechat._record.exchange import Exchange, Request
from acechat.errors import (
    AccountDisabledError,
    AceChatError,
    APIError,
    APINotImplementedError,
    Attempt,
    AuthenticationError,
    BadRequestError,
    BatchRowError,
    BatchStoppedError,
    BudgetExceededError,
    ClientClosedError,
    ConfigurationError,
    ConnectError,
    ContentModerationError,
    ContextWindowExceededError,
    GatewayTimeoutError,
    InsufficientBalanceError,
    JournalError,
    MaxTurnsError,
    ModelMismatchError,
    NotFoundError,
    OutputError,
    OverloadedError,
    PaymentRequiredError,
    PermissionDeniedError,
    ProtocolError,
    RateLimitError,
    RequestTimeoutError,
    RequestTooLargeError,
    ServerError,
    StreamInterruptedError,
    StreamTruncatedError,
    TokenMismatchError,
    ToolError,
    TransportError,
)
from acechat.types import ChatCompletion, FunctionCall, ToolCall

TREE = {
    ModelMismatchError: AceChatError,
    JournalError: ConfigurationError,
    ContextWindowExceededError: BadRequestError,
    BatchStoppedError: AceChatError,
    BatchRowError: AceChatError,
    APIError: AceChatError,
    APINotImplementedError: BadRequestError,
    AccountDisabledError: PermissionDeniedError,
    AuthenticationError: APIError,
    BadRequestError: APIError,
    BudgetExceededError: AceChatError,
    ClientClosedError: TransportError,
    ConfigurationError: AceChatError,
    ConnectError: TransportError,
    ContentModerationError: PermissionDeniedError,
    GatewayTimeoutError: ServerError,
    InsufficientBalanceError: PermissionDeniedError,
    MaxTurnsError: AceChatError,
    NotFoundError: APIError,
    OutputError: AceChatError,
    OverloadedError: ServerError,
    PaymentRequiredError: APIError,
    PermissionDeniedError: APIError,
    ProtocolError: AceChatError,
    RateLimitError: APIError,
    RequestTimeoutError: TransportError,
    RequestTooLargeError: BadRequestError,
    ServerError: APIError,
    StreamInterruptedError: StreamTruncatedError,
    StreamTruncatedError: ProtocolError,
    TokenMismatchError: APIError,
    ToolError: AceChatError,
    TransportError: AceChatError,
}

RETRYABLE = {
    BatchStoppedError,
    ConnectError,
    GatewayTimeoutError,
    OverloadedError,
    RateLimitError,
    RequestTimeoutError,
    ServerError,
    StreamInterruptedError,
    StreamTruncatedError,
    TransportError,
}


@pytest.mark.parametrize(("child", "parent"), TREE.items())
def test_each_error_has_its_base_class(child, parent):
    assert child.__bases__[0] is parent


def test_the_tree_lists_all_errors():
    listed = {getattr(errors, name) for name in errors.__all__} - {AceChatError, Attempt}

    assert set(TREE) == listed


@pytest.mark.parametrize(
    ("cls", "builtin"),
    [
        (ConfigurationError, ValueError),
        (RequestTimeoutError, TimeoutError),
        (StreamInterruptedError, TransportError),
    ],
)
def test_some_errors_have_a_second_base_class(cls, builtin):
    assert issubclass(cls, builtin)


@pytest.mark.parametrize("cls", TREE)
def test_retryable_is_set_per_class(cls):
    assert cls.retryable is (cls in RETRYABLE)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ConfigurationError("model is empty"), "model is empty"),
        (TransportError("the connection broke"), "the connection broke"),
        (ClientClosedError(), "the client is closed; make a new one"),
        (RequestTimeoutError("connect", 10.0), "no connection within 10 s (Timeout.connect)"),
        (RequestTimeoutError("total", 0.5), "call not complete within 0.5 s (Timeout.total)"),
        (
            RequestTimeoutError("first_token", 600.0),
            "no response within 600 s (Timeout.first_token)",
        ),
        (
            RequestTimeoutError("idle", 1.5),
            "no further content within 1.5 s (Timeout.idle)",
        ),
        (
            RequestTimeoutError("connect", 10.0, looking_up="api.acedata.cloud"),
            "no address found for host api.acedata.cloud within 10 s (Timeout.connect)",
        ),
        (
            RequestTimeoutError("total", 1.0, sent=False),
            "no free slot or connection for the request within 1 s (Timeout.total)",
        ),
        (
            MaxTurnsError(3),
            (
                "no final response within 3 turns: raise max_turns=, or continue with "
                "messages=error.run.messages"
            ),
        ),
        (ProtocolError("the response is empty"), "the response is empty"),
        (ProtocolError("no JSON", body=b"<html>"), "no JSON: '<html>'"),
        (ProtocolError("no JSON", body=b"\xff\xfe"), "no JSON: '\ufffd\ufffd'"),
        (
            StreamTruncatedError("the stream ended", chunks=3, received=1000),
            "the stream ended after 3 events and 1000 bytes, before the response was complete",
        ),
        (APIError(401, "invalid_token", "wrong"), "HTTP 401 invalid_token: wrong"),
        (APIError(500, None, "fetch failed"), "HTTP 500: fetch failed"),
        (APIError(None, "busy", "later"), "busy: later"),
        (APIError(None, None, "later"), "later"),
        (
            APIError(500, "api_error", "fetch failed", trace_id="2cf86e86"),
            "HTTP 500 api_error: fetch failed (trace 2cf86e86)",
        ),
    ],
)
def test_the_text_of_an_error_is_one_line(error, text):
    assert str(error) == text
    assert "\n" not in text


@pytest.mark.parametrize("cls", TREE)
def test_every_class_has_a_docstring(cls):
    assert cls.__doc__


def test_attributes_default_to_none_or_empty():
    error = TransportError("the connection broke")

    assert (error.trace_id, error.attempts, error.partial) == (None, (), None)


def test_a_final_connect_error_is_not_retryable():
    assert ConnectError("refused").retryable
    assert not ConnectError("not trusted", final=True).retryable


@pytest.mark.parametrize("should_retry", [True, False])
@pytest.mark.parametrize("cls", [BadRequestError, ServerError])
def test_should_retry_sets_retryable(cls, should_retry):
    assert cls(500, None, "no", should_retry=should_retry).retryable is should_retry


def test_attributes_are_set_per_instance():
    first, second = ServerError(500, None, "a", should_retry=False), ServerError(500, None, "b")

    first.attempts = (
        Attempt(number=1, started=0.0, elapsed=0.1, failure="lost", error="x", may_be_billed=True),
    )

    assert second.retryable
    assert second.attempts == ()


def test_a_protocol_error_keeps_500_bytes_of_the_body():
    error = ProtocolError("no JSON", body=b"x" * 10_000)

    assert error.body == b"x" * 500
    assert len(str(error)) < 200


def test_a_truncated_stream_reports_events_bytes_and_seconds():
    error = StreamInterruptedError("the connection broke", chunks=3, received=1000, elapsed=0.5)

    assert (error.chunks, error.received, error.elapsed) == (3, 1000, 0.5)
    assert (error.body, error.status) == (b"", None)


def test_a_timeout_is_a_builtin_timeout_error():
    with pytest.raises(TimeoutError) as caught:
        raise RequestTimeoutError("idle", 120.0)

    assert (caught.value.phase, caught.value.limit) == ("idle", 120.0)


def test_save_writes_the_recorded_exchanges(tmp_path):
    request = Request(method="POST", path="/v1/chat/completions", body=b"{}")
    error = ConnectError("broken")
    error.cassette = Cassette((Exchange(request),))

    error.save(tmp_path / "it.acecast")

    assert Cassette.load(tmp_path / "it.acecast") == error.cassette


def test_save_without_a_recording_raises(tmp_path):
    with pytest.raises(RuntimeError, match="nothing was recorded"):
        ConfigurationError("x").save(tmp_path / "it.acecast")

    assert list(tmp_path.iterdir()) == []


def test_an_error_keeps_its_arguments():
    completion = ChatCompletion(choices=[])
    call = ToolCall(id="t-1", function=FunctionCall(name="f"))

    output = OutputError("it is odd", text="5", completion=completion)

    assert (output.reason, output.text, output.completion) == ("it is odd", "5", completion)
    assert output.partial is completion
    assert (MaxTurnsError(3).max_turns, MaxTurnsError(3).reason) == (3, "3")
    assert (ToolError(call, "it fell").call, ToolError(call, "it fell").reason) == (call, "it fell")
    assert ConnectError("x").final is False
    assert RequestTimeoutError("idle", 5).reason == "idle 5"
    assert StreamTruncatedError("it ended", chunks=1, received=2).reason == "it ended"
    assert StreamTruncatedError("it ended", chunks=1, received=2).elapsed == 0.0
    assert str(ClientClosedError()) == "the client is closed; make a new one"


def test_the_text_of_a_protocol_error_shows_120_bytes():
    assert str(ProtocolError("odd", body=b"x" * 121)) == f"odd: {'x' * 120!r}"


@pytest.mark.parametrize("cls", [AceChatError, *TREE])
def test_tracebacks_and_pickles_name_the_public_module(cls):
    assert cls.__module__ == "acechat.errors"
    assert f"acechat.errors\n{cls.__name__}\n".encode() in pickle.dumps(cls, 0)
