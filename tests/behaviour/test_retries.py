"""Which failures are retried, and when. Marks name the cases of the table."""

from __future__ import annotations

import email.utils
import time

import pytest

from acechat import (
    APIError,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    ConnectError,
    GatewayTimeoutError,
    InsufficientBalanceError,
    NotFoundError,
    OverloadedError,
    PaymentRequiredError,
    ProtocolError,
    RateLimitError,
    RequestTimeoutError,
    RequestTooLargeError,
    RetryPolicy,
    ServerError,
    StreamTruncatedError,
    Timeout,
    TransportError,
)
from acechat._wire.errors.response import _BY_CODE
from acechat.emulator import fail

BOTH = pytest.mark.parametrize("method", ["chat", "stream"])


def succeed(ask, method):
    return ask.chat().text if method == "chat" else ask.stream().completion.text


def whole(wire, method):
    return wire.ok() if method == "chat" else wire.stream()


def after_each(server, wire, *faults):
    """Respond with *faults*, functions of the writer, and then successfully."""

    async def handler(reader, writer, number):
        if number <= len(faults):
            faults[number - 1](writer)
        else:
            asked = server.requests[-1].json
            writer.write(wire.stream() if asked.get("stream") else wire.ok())

    server.handler = handler


@BOTH
@pytest.mark.case("retry-429-stream", "retry-503-stream")
@pytest.mark.parametrize(
    ("status", "code"),
    [
        pytest.param("429 Too Many Requests", "too_many_requests", id="retry-429"),
        pytest.param("503 Service Unavailable", "busy", id="retry-503"),
        pytest.param("500 Internal Server Error", "api_error", id="retry-500"),
        pytest.param("408 Request Timeout", "x", id="retry-408"),
        pytest.param("409 Conflict", "x", id="retry-409"),
        pytest.param("425 Too Early", "x", id="425"),
        pytest.param("524 A Timeout Occurred", "x", id="retry-524"),
        pytest.param("520 Unknown", "x", id="520"),
        pytest.param("529 Overloaded", "x", id="529"),
        pytest.param("530 Origin DNS", "x", id="530"),
    ],
)
def test_transient_errors_are_retried(ask, server, wire, method, status, code):
    server.reply(wire.refusal(status, code), whole(wire, method))
    assert succeed(ask, method) == "Hello"
    assert len(server.requests) == 2
    assert len({request.body for request in server.requests}) == 1


@BOTH
@pytest.mark.parametrize(
    "status",
    [
        pytest.param("401 Unauthorized", id="retry-not-401"),
        "400 Bad Request",
        "402 Payment Required",
        "403 Forbidden",
        "404 Not Found",
        "413 Too Large",
        "422 Unprocessable",
    ],
)
def test_permanent_errors_are_not_retried(either, server, wire, method, status):
    server.reply(wire.refusal(status, "x"))
    assert either(method).status == int(status[:3])
    assert len(server.requests) == 1


def test_a_wrong_token_is_an_authentication_error(ask, server, wire):
    server.reply(wire.refusal("401 Unauthorized", "invalid_token"))
    with pytest.raises(AuthenticationError) as caught:
        ask.chat()
    assert (caught.value.code, caught.value.trace_id) == ("invalid_token", "t-1")


@BOTH
@pytest.mark.case("retry-500-exhausted")
def test_the_last_error_lists_all_attempts(either, server, wire, method):
    server.reply(wire.refusal("500 Internal Server Error", "api_error"))
    error = either(method)
    assert isinstance(error, ServerError)
    assert (error.status, error.code, error.trace_id) == (500, "api_error", "t-1")
    assert [attempt.number for attempt in error.attempts] == [1, 2, 3]
    assert {attempt.failure for attempt in error.attempts} == {"refused"}
    assert len(server.requests) == 3


def test_a_success_lists_the_earlier_attempts(ask, server, wire):
    server.reply(wire.refusal(), wire.ok())
    (attempt,) = ask.chat().response.attempts
    assert "503" in attempt.error


@BOTH
@pytest.mark.parametrize("fault", ["refusal", "reset", "close"])
@pytest.mark.case("retry-zero")
def test_one_attempt_is_one_request(either, server, wire, method, fault):
    faults = {
        "refusal": lambda writer: writer.write(wire.refusal()),
        "reset": server.reset,
        "close": lambda writer: writer.close(),
    }
    after_each(server, wire, faults[fault])
    assert len(either(method, retries=1).attempts) == 1
    assert len(server.requests) == 1


@pytest.mark.parametrize("attempts", [0, -1, True, 1.5, "3"])
@pytest.mark.case("retry-zero")
def test_an_invalid_number_of_attempts_is_rejected_at_once(attempts):
    with pytest.raises(ConfigurationError):
        RetryPolicy(max_attempts=attempts)


@BOTH
@pytest.mark.parametrize(
    ("headers", "least"),
    [
        pytest.param({"Retry_After": "0.3"}, 0.3, id="retry-after-float"),
        pytest.param({"Retry_After": "1"}, 1.0, id="retry-after-seconds"),
        pytest.param({"retry_after_ms": "300", "Retry_After": "60"}, 0.3, id="retry-after-ms"),
    ],
)
def test_retry_after_sets_the_delay(ask, server, wire, method, headers, least):
    server.reply(wire.refusal("429 Slow", "x", **headers), whole(wire, method))
    assert succeed(ask, method) == "Hello"
    first, second = server.requests
    assert least - 0.01 <= second.at - first.at < least + 0.7


@pytest.mark.case("retry-after-date")
def test_retry_after_may_be_a_date(ask, server, wire):
    date = email.utils.formatdate(time.time() + 2, usegmt=True)
    server.reply(wire.refusal("429 Slow", "x", Retry_After=date), wire.ok())
    ask.chat()
    first, second = server.requests
    assert 0.5 < second.at - first.at < 3


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("-5", id="retry-after-negative"),
        pytest.param("nan", id="retry-after-nan"),
        pytest.param("inf", id="retry-after-inf"),
        pytest.param("-inf", id="minus-inf"),
        pytest.param("soon", id="retry-after-junk"),
        pytest.param("Sun, 06 Nov 1994 08:49:37 GMT", id="past"),
        pytest.param("Mon, 01 Jan 0001 00:00:00", id="year-1"),
        pytest.param("Mon, 01 Jan 100000 00:00:00 GMT", id="year-100000"),
        pytest.param("Mon, 01 Jan 2024 00:00:00 +99999999999", id="odd-zone"),
        pytest.param("9" * 5000, id="many-digits"),
        pytest.param("", id="empty"),
    ],
)
def test_an_invalid_retry_after_is_ignored(ask, server, wire, value):
    server.reply(wire.refusal("429 Slow", "x", Retry_After=value), wire.ok())
    assert ask.chat().text == "Hello"
    first, second = server.requests
    assert second.at - first.at < 0.5


@BOTH
@pytest.mark.case("retry-after-huge")
def test_a_retry_after_above_the_maximum_raises_the_error(either, server, wire, method):
    server.reply(wire.refusal("429 Slow", "x", Retry_After="86400"))
    error = either(method)
    assert isinstance(error, RateLimitError)
    assert error.retry_after == 86400
    assert len(server.requests) == 1


@BOTH
def test_a_retry_after_beyond_the_total_raises_the_error_at_once(either, server, wire, method):
    server.reply(wire.refusal("429 Slow", "x", Retry_After="30"))
    began = time.monotonic()
    assert isinstance(either(method, timeout=5), RateLimitError)
    assert time.monotonic() - began < 1


@pytest.mark.case("x-should-retry-true")
def test_the_service_can_mark_a_400_as_retryable(ask, server, wire):
    server.reply(wire.refusal("400 Bad Request", "x", x_should_retry="true"), wire.ok())
    assert ask.chat().text == "Hello"


@pytest.mark.case("x-should-retry-false")
def test_the_service_can_mark_a_500_as_final(ask, server, wire):
    server.reply(wire.refusal("500 Error", "x", x_should_retry="false"))
    with pytest.raises(ServerError):
        ask.chat()
    assert len(server.requests) == 1


@BOTH
@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("code", [*_BY_CODE, "news"])
def test_401_and_403_are_never_retried(either, server, wire, method, status, code):
    server.reply(wire.refusal(f"{status} No", code, x_should_retry="true", Retry_After="0"))

    error = either(method, client_options={"fallback_models": ["claude-opus-4-20250514"]})

    assert len(server.requests) == 1
    assert isinstance(error, APIError)
    assert not error.retryable
    assert (error.status, error.code) == (status, code)
    assert len(error.attempts) == 1


@BOTH
@pytest.mark.parametrize(
    ("status", "cls"),
    [
        (401, AuthenticationError),
        (402, PaymentRequiredError),
        (403, InsufficientBalanceError),
        (404, NotFoundError),
        (413, RequestTooLargeError),
        (422, BadRequestError),
        (429, RateLimitError),
        (500, ServerError),
        (502, ServerError),
        (503, OverloadedError),
        (504, GatewayTimeoutError),
        (524, GatewayTimeoutError),
        (529, OverloadedError),
    ],
)
def test_each_emulated_status_raises_its_documented_class(
    make_ask, acechat_service, method, status, cls
):
    acechat_service.script(fail(status))
    one = make_ask(acechat_service.url)
    options = {"client_options": {"api_token": acechat_service.token, "retries": 1}}

    if method == "stream":
        error = one.stream(**options).error
    else:
        with pytest.raises(APIError) as caught:
            one.chat(**options)
        error = caught.value

    assert type(error) is cls
    assert error.status == status


@BOTH
@pytest.mark.parametrize("fault", ["reset", "close"])
@pytest.mark.case(
    "retry-reset-before-headers",
    "retry-close-before-headers",
    "retry-reset-before-headers-stream",
    "retry-close-stream",
)
def test_a_connection_broken_before_the_response_is_retried(ask, server, wire, method, fault):
    broken = server.reset if fault == "reset" else lambda writer: writer.close()
    after_each(server, wire, broken, broken)
    assert succeed(ask, method) == "Hello"
    assert len(server.requests) == 3


@BOTH
def test_the_error_of_broken_connections_reports_possible_billing(either, server, method):
    async def handler(reader, writer, number):
        server.reset(writer)

    server.handler = handler
    error = either(method)
    assert isinstance(error, TransportError)
    assert [attempt.failure for attempt in error.attempts] == ["lost"] * 3
    assert all(attempt.may_be_billed for attempt in error.attempts)


def test_a_stream_that_ends_before_its_first_content_is_retried(ask, server, wire):
    role = wire.delta("", index=0)
    error = b'data: {"error": {"code": "busy", "message": "later"}}\n\n'
    server.reply(wire.sse(role), wire.sse(role + error), wire.stream())
    got = ask.stream()
    assert (got.error, got.text) == (None, "Hello")
    assert len(server.requests) == 3


@pytest.mark.case("retry-never-midstream")
def test_a_stream_with_content_is_never_retried(ask, server, wire):
    busy = b'data: {"error": {"code": "busy", "message": "later"}}\n\n'
    server.reply(wire.sse(wire.delta("Hel") + wire.delta("lo") + busy))
    got = ask.stream()
    assert isinstance(got.error, ServerError)
    assert got.texts == ["Hel", "lo"]
    assert got.error.partial.text == "Hello"
    assert [attempt.failure for attempt in got.error.attempts] == ["partial"]
    assert len(server.requests) == 1


def test_a_final_error_before_the_first_content_is_not_retried(ask, server, wire):
    event = b'data: {"error": {"code": "used_up", "message": "no money"}}\n\n'
    server.reply(wire.sse(wire.delta("") + event))
    assert ask.stream().error.code == "used_up"
    assert len(server.requests) == 1


@BOTH
@pytest.mark.case("retry-refused")
def test_a_refused_connection_is_retried_and_raised(make_ask, method, unused_port):
    ask = make_ask(f"http://127.0.0.1:{unused_port}")
    if method == "chat":
        with pytest.raises(ConnectError) as caught:
            ask.chat()
        error = caught.value
    else:
        error = ask.stream().error
    assert f"127.0.0.1:{unused_port}" in str(error)
    assert [attempt.failure for attempt in error.attempts] == ["unsent"] * 3
    assert not any(attempt.may_be_billed for attempt in error.attempts)


@pytest.mark.case("retry-dns")
def test_the_error_of_an_unknown_host_names_it(make_ask):
    with pytest.raises(ConnectError, match=r"nowhere\.invalid"):
        make_ask("http://nowhere.invalid").chat()


@BOTH
@pytest.mark.parametrize(
    "body", [b"<html>Hello</html>", b"{", b"null", b""], ids=["html", "truncated", "null", "empty"]
)
def test_a_malformed_success_is_not_retried(either, server, wire, method, body):
    server.reply(wire.http(body, kind="text/html" if b"<" in body else "application/json"))
    assert isinstance(either(method), ProtocolError)
    assert len(server.requests) == 1


def test_a_truncated_complete_response_is_not_retried(ask, server, wire):
    # "retryable" in the table, but a request with a response is not sent again.
    async def handler(reader, writer, number):
        writer.write(wire.ok()[:-10])
        writer.close()

    server.handler = handler
    with pytest.raises(TransportError) as caught:
        ask.chat()
    assert caught.value.retryable
    assert len(server.requests) == 1


def test_a_truncated_stream_in_response_to_a_plain_call_is_not_retried(ask, server, wire):
    server.reply(wire.sse(wire.delta("Hel")))
    with pytest.raises(StreamTruncatedError):
        ask.chat()
    assert len(server.requests) == 1


def test_an_error_body_in_a_success_is_retried_like_an_error(ask, server, wire):
    busy = wire.http({"success": False, "error": {"code": "busy", "message": "later"}})
    server.reply(busy, wire.ok())
    assert ask.chat().text == "Hello"
    assert len(server.requests) == 2


@BOTH
def test_a_timeout_is_not_retried(either, server, wire, method):
    assert isinstance(either(method, timeout=Timeout(first_token=0.2)), RequestTimeoutError)
    assert len(server.requests) == 1


@BOTH
def test_a_timeout_is_retried_if_the_policy_allows(ask, server, wire, method):
    async def handler(reader, writer, number):
        if number == 2:
            writer.write(whole(wire, method))

    server.handler = handler
    options = {
        "timeout": Timeout(first_token=0.25, total=5),
        "retries": RetryPolicy(base_delay=0, retry_timeouts=True),
    }
    if method == "chat":
        assert ask.chat(**options).text == "Hello"
    else:
        assert ask.stream(**options).text == "Hello"
    assert len(server.requests) == 2


def test_a_total_timeout_is_never_retried(either, server):
    retries = RetryPolicy(base_delay=0, retry_timeouts=True)
    error = either("chat", timeout=0.25, retries=retries)
    assert (error.phase, len(server.requests)) == ("total", 1)


def test_backoff_grows(ask, server, wire):
    server.reply(wire.refusal())
    with pytest.raises(ServerError):
        ask.chat(retries=RetryPolicy(max_attempts=4, base_delay=0.1))
    times = [request.at for request in server.requests]
    assert len(times) == 4
    assert times[-1] - times[0] < 0.1 + 0.2 + 0.4 + 0.4


@pytest.mark.parametrize("method", ["models", "count_tokens"])
def test_other_kinds_of_calls_are_retried(ask, server, wire, method):
    good = {"data": [{"id": "m"}], "input_tokens": 3}
    server.reply(wire.refusal(), wire.http(good))
    content = ("Hello",) if method == "count_tokens" else ()
    assert ask.run(method, *content)
    assert len(server.requests) == 2


def test_a_400_is_a_bad_request(ask, server, wire):
    server.reply(wire.refusal("400 Bad Request", "bad_request"))
    with pytest.raises(BadRequestError):
        ask.chat()
