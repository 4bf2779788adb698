"""Converting error responses: each documented code and shape, and odder ones."""

from __future__ import annotations

import json
import pickle
import time
from email.utils import format_datetime, formatdate

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acechat import RetryPolicy
from acechat._policy.retry import classify, delay_before_next, is_overload
from acechat._wire.errors.response import (
    _BY_CODE,
    error_from_value,
    find_trace_id,
    is_error,
    parse_error,
)
from acechat.errors import (
    AccountDisabledError,
    APIError,
    APINotImplementedError,
    AuthenticationError,
    BadRequestError,
    ConnectError,
    ContentModerationError,
    GatewayTimeoutError,
    InsufficientBalanceError,
    NotFoundError,
    OverloadedError,
    PaymentRequiredError,
    PermissionDeniedError,
    ProtocolError,
    RateLimitError,
    RequestTooLargeError,
    ServerError,
    TokenMismatchError,
)

NOW = 1_795_370_400.0  # Sun, 22 Nov 2026 18:00:00 GMT
TRACE = "2efa9340-b21b-4e26-9e14-4aac95f343ab"


def parse(status, body=b"", headers=None):
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    return parse_error(status, headers or {}, body, now=NOW)


def envelope(code, message="message of the service"):
    return {"error": {"code": code, "message": message}, "trace_id": TRACE}


# Rows of docs/api.md#error-codes: status, code, class, retryable.
CODES = [
    (400, "bad_request", BadRequestError, False),
    (400, "no_token", AuthenticationError, False),
    (400, "api_not_implemented", APINotImplementedError, False),
    (400, "token_mismatched", TokenMismatchError, False),
    (401, "token_mismatched", TokenMismatchError, False),
    (400, "disabled", AccountDisabledError, False),
    (403, "disabled", AccountDisabledError, False),
    (401, "invalid_token", AuthenticationError, False),
    (401, "token_expired", AuthenticationError, False),
    (401, "authorization_missing", AuthenticationError, False),
    (401, "authentication_failed", AuthenticationError, False),
    (402, None, PaymentRequiredError, False),
    (403, "used_up", InsufficientBalanceError, False),
    (403, "forbidden", ContentModerationError, False),
    (404, "no_api", NotFoundError, False),
    (413, "request_too_large", RequestTooLargeError, False),
    (413, "request_entity_too_large", RequestTooLargeError, False),
    (429, "too_many_requests", RateLimitError, True),
    (500, "api_error", ServerError, True),
    (500, "busy", OverloadedError, True),
    (503, None, OverloadedError, True),
    (504, "timeout", GatewayTimeoutError, True),
    (403, "permission_denied", PermissionDeniedError, False),
]

# Codes of new-api that may surface, and their class for any status.
UPSTREAM = [
    ("invalid_request", BadRequestError),
    ("sensitive_words_detected", ContentModerationError),
    ("model_not_found", NotFoundError),
    ("prompt_blocked", ContentModerationError),
    ("insufficient_user_quota", InsufficientBalanceError),
    ("bad_response_status_code", ServerError),
    ("bad_response", ServerError),
    ("bad_response_body", ServerError),
    ("empty_response", ServerError),
    ("do_request_failed", ServerError),
    ("get_channel_failed", OverloadedError),
    ("aws_invoke_error", ServerError),
    ("convert_request_failed", BadRequestError),
]


@pytest.mark.parametrize(("status", "code", "cls", "retryable"), CODES)
def test_every_documented_code_has_its_class(status, code, cls, retryable):
    error = parse(status, envelope(code))

    assert type(error) is cls
    assert (error.status, error.code) == (status, code)
    assert (error.message, error.trace_id) == ("message of the service", TRACE)
    assert error.retryable is retryable


@pytest.mark.parametrize(("code", "cls"), UPSTREAM)
@pytest.mark.parametrize("status", [200, 400, 500])
def test_every_code_of_the_upstream_has_its_class(code, cls, status):
    body = {"error": {"message": "m (request id: 1)", "type": "new_api_error", "code": code}}

    assert type(parse(status, body)) is cls


@pytest.mark.parametrize("status", [200, 400, 418, 429, 500, 503])
def test_the_code_beats_the_status(status):
    assert type(parse(status, envelope("used_up"))) is InsufficientBalanceError
    assert type(parse(status, envelope("busy"))) is OverloadedError


VAGUE = [code for code, cls in _BY_CODE.items() if cls is ServerError]


@pytest.mark.parametrize("code", VAGUE)
@pytest.mark.parametrize(
    ("status", "cls"),
    [
        (400, ServerError),
        (401, AuthenticationError),
        (402, PaymentRequiredError),
        (403, PermissionDeniedError),
        (404, NotFoundError),
        (413, RequestTooLargeError),
        (429, RateLimitError),
        (500, ServerError),
        (502, ServerError),
        (503, OverloadedError),
        (504, GatewayTimeoutError),
        (524, GatewayTimeoutError),
        (529, OverloadedError),
    ],
)
def test_the_status_beats_a_code_that_only_means_failure(status, cls, code):
    error = parse(status, envelope(code))

    assert type(error) is cls
    assert error.code == code


@pytest.mark.parametrize("advice", [None, "true", "false"])
@pytest.mark.parametrize("code", [*_BY_CODE, "news", "429", "503", None])
@pytest.mark.parametrize("status", [401, 403])
def test_a_401_or_403_is_never_retryable_with_any_code(status, code, advice):
    headers = {"x-should-retry": advice} if advice else {}
    shapes = [
        envelope(code),
        {"error": {"type": code, "message": "m"}},
        {"error": code},
        {"code": code, "message": "m"},
    ]
    for shape in shapes:
        error = parse(status, shape, headers)
        assert not error.retryable
        assert not is_overload(error)
        first = delay_before_next(
            RetryPolicy(), 1, error, classify(error, content=False), jitter=0, time_left=None
        )
        assert first is None
        assert not pickle.loads(pickle.dumps(error)).retryable


@pytest.mark.parametrize("code", [*_BY_CODE, "news", None])
@pytest.mark.parametrize("status", [401, 403])
def test_a_401_or_403_within_a_success_is_never_retryable(status, code):
    for value in (
        {"type": "error", "message": "m", "code": code, "status": status},
        {"type": "error", "message": "m", "code": code, "status": str(status)},
        {"error": {"code": str(status), "type": code, "message": "m"}},
    ):
        for outer in (200, None):
            headers = {"x-should-retry": "true"}
            assert not error_from_value(value, headers, status=outer).retryable


@pytest.mark.parametrize("cls", [OverloadedError, ServerError, RateLimitError, APIError])
@pytest.mark.parametrize("status", [401, 403])
def test_no_class_of_error_makes_a_401_retryable(cls, status):
    assert not cls(status, "busy", "m").retryable
    assert not cls(status, "busy", "m", should_retry=True).retryable


@pytest.mark.parametrize(
    ("status", "code", "overload"),
    [
        (500, "api_error", True),
        (502, "api_error", True),
        (503, "api_error", True),
        (529, "api_error", True),
        (200, "api_error", True),
        (400, "api_error", True),
        (500, "busy", True),
        (503, None, True),
        (529, None, True),
        (500, "get_channel_failed", True),
        (504, "api_error", False),
        (524, "api_error", False),
        (401, "api_error", False),
        (403, "api_error", False),
        (404, "api_error", False),
        (500, None, False),
        (500, "news", False),
        (500, "timeout", False),
        (500, "do_request_failed", False),
    ],
)
def test_500_api_error_is_an_overload(status, code, overload):
    """Upstream rate limits arrive in it (docs/api.md#error-codes)."""
    assert is_overload(parse(status, envelope(code))) is overload
    if code is not None:
        typed = {"error": {"type": code, "message": "m"}}
        assert is_overload(parse(status, typed)) is (overload and status != 400)  # no 4xx


def test_an_api_error_event_inside_a_stream_is_an_overload_too():
    event = {"type": "error", "error": {"type": "api_error", "message": "m"}}

    assert is_overload(error_from_value(event, {}, status=None))


def test_other_failures_are_not_overloads():
    for error in (RateLimitError(429, "api_error", "m"), ConnectError("no"), ProtocolError("odd")):
        assert not is_overload(error)


@pytest.mark.parametrize(
    ("status", "cls", "retryable"),
    [
        (300, APIError, False),
        (304, APIError, False),
        (400, BadRequestError, False),
        (401, AuthenticationError, False),
        (402, PaymentRequiredError, False),
        (403, PermissionDeniedError, False),
        (404, NotFoundError, False),
        (405, BadRequestError, False),
        (408, BadRequestError, True),
        (409, BadRequestError, True),
        (413, RequestTooLargeError, False),
        (418, BadRequestError, False),
        (422, BadRequestError, False),
        (425, BadRequestError, True),
        (429, RateLimitError, True),
        (451, BadRequestError, False),
        (500, ServerError, True),
        (502, ServerError, True),
        (503, OverloadedError, True),
        (504, GatewayTimeoutError, True),
        (520, ServerError, True),
        (524, GatewayTimeoutError, True),
        (527, ServerError, True),
        (529, OverloadedError, True),
        (530, ServerError, True),
        (599, ServerError, True),
        (999, ServerError, True),
    ],
)
def test_without_a_known_code_the_status_decides(status, cls, retryable):
    for body in (b"", envelope("news"), envelope(None), "<html>"):
        error = parse(status, body)
        assert type(error) is cls
        assert error.retryable is retryable
        assert error.message


@pytest.mark.parametrize(
    ("status", "body", "cls", "code", "message"),
    [
        (
            401,
            {"error": {"code": "invalid_token", "message": "wrong"}, "trace_id": TRACE},
            AuthenticationError,
            "invalid_token",
            "wrong",
        ),
        (
            500,
            {"success": False, "error": {"code": "api_error", "message": "fetch failed"}},
            ServerError,
            "api_error",
            "fetch failed",
        ),
        (
            500,
            {"error": {"message": "m", "type": "new_api_error", "param": "", "code": None}},
            ServerError,
            "new_api_error",
            "m",
        ),
        (400, {"error": {"message": "m", "code": 40001}}, BadRequestError, "40001", "m"),
        (429, {"error": {"message": "m", "code": 0}}, RateLimitError, None, "m"),
        (
            400,
            {"type": "error", "error": {"type": "invalid_request_error", "message": "m"}},
            BadRequestError,
            "invalid_request_error",
            "m",
        ),
        (
            529,
            {"type": "error", "error": {"type": "overloaded_error", "message": "m"}},
            OverloadedError,
            "overloaded_error",
            "m",
        ),
        (500, {"type": "error", "message": "m"}, ServerError, None, "m"),
        (400, {"error": "text"}, BadRequestError, None, "text"),
        (401, {"error": "invalid_token"}, AuthenticationError, "invalid_token", "invalid_token"),
        (400, {"error": None, "message": "m"}, BadRequestError, None, "m"),
        (400, {"error": None}, BadRequestError, None, '{"error": null}'),
        (400, {"error": ["a", "b"]}, BadRequestError, None, '["a","b"]'),
        (400, {"error": {}}, BadRequestError, None, '{"error": {}}'),
        (400, {"error": {"message": {"a": 1}}}, BadRequestError, None, '{"a":1}'),
        (400, {"code": "bad_request", "message": "m"}, BadRequestError, "bad_request", "m"),
        (
            400,
            {"detail": "missing field: prompt"},
            BadRequestError,
            None,
            "missing field: prompt",
        ),
        (
            422,
            {"detail": [{"loc": ["body", "messages", 0], "msg": "field required"}]},
            BadRequestError,
            None,
            "body.messages.0: field required",
        ),
        (
            422,
            {"detail": [{"loc": ["body"], "msg": "a"}, {"msg": "b"}, {"type": "c"}]},
            BadRequestError,
            None,
            'body: a; b; {"type":"c"}',
        ),
        (422, {"detail": []}, BadRequestError, None, '{"detail": []}'),
        (422, {"detail": {"why": "x"}}, BadRequestError, None, '{"why":"x"}'),
        (
            402,
            {"x402Version": 2, "error": "Payment Required", "accepts": [{"scheme": "exact"}]},
            PaymentRequiredError,
            None,
            "Payment Required",
        ),
        (500, b"", ServerError, None, "Internal Server Error"),
        (599, b"", ServerError, None, "no reason given by the service"),
        (500, b"upstream died", ServerError, None, "upstream died"),
        (500, b"\xff\xfe!", ServerError, None, "\ufffd\ufffd!"),
        (500, b"null", ServerError, None, "null"),
        (500, b"[1]", ServerError, None, "[1]"),
        (500, b'"text"', ServerError, None, '"text"'),
        (500, b"{", ServerError, None, "{"),
        (500, b"x" * 1000, ServerError, None, "x" * 200),
    ],
)
def test_every_documented_shape_is_decoded(status, body, cls, code, message):
    error = parse(status, body)

    assert type(error) is cls
    assert (error.status, error.code, error.message) == (status, code, message)


def test_a_payment_offer_is_kept():
    offer = {"x402Version": 2, "error": "Payment Required", "accepts": [{"scheme": "upto"}]}

    error = parse(402, offer)

    assert json.loads(error.body) == offer


@pytest.mark.parametrize(
    ("body", "headers", "message"),
    [
        (
            b"<html><head><title>502 Bad Gateway</title></head></html>",
            {"server": "cloudflare", "cf-ray": "8a-FRA"},
            "502 Bad Gateway (HTML page from cloudflare, ray 8a-FRA)",
        ),
        (
            b"<!DOCTYPE html>\n<HTML>\n<TITLE lang='en'>\n 502 \n</TITLE>",
            {},
            "502 (HTML page)",
        ),
        (b"<html><body>no title", {}, "Bad Gateway (HTML page)"),
        (b"", {"content-type": "text/html; charset=utf-8"}, "Bad Gateway (HTML page)"),
    ],
)
def test_an_html_page_becomes_one_line(body, headers, message):
    error = parse(502, body, headers)

    assert error.message == message
    assert error.body == body
    assert error.retryable


PAGES = {
    "blank": lambda size: b"<html><title>" + b" " * size + b"x",
    "lines": lambda size: b"<html><title>" + b"\n " * (size // 2) + b"</titl",
    "opened": lambda size: b"<html>" + b"<title" * (size // 6),
    "nested": lambda size: b"<html>" + b"<title>" * (size // 7),
    "long": lambda size: b"<html><title>" + b"a " * (size // 2) + b"</title>",
}


def cost(body):
    """Return the shortest of several durations: the others include other processes."""
    durations = []
    for _ in range(3):
        start = time.process_time()
        parse(502, body)
        durations.append(time.process_time() - start)
    return min(durations)


@pytest.mark.parametrize("page", PAGES)
def test_a_hostile_page_costs_no_time(page):
    # Three times as long may cost three times as much, and some noise: 9 is quadratic.
    for size in (200, 600, 1_800, 5_400, 16_200):
        assert cost(PAGES[page](3 * size)) < 6 * cost(PAGES[page](size)) + 0.01


@pytest.mark.parametrize("page", PAGES)
def test_a_hostile_page_becomes_a_short_line(page):
    message = parse(502, PAGES[page](600)).message

    assert "\n" not in message
    assert len(message) < 300


def test_the_beginning_of_a_long_body_is_kept():
    error = parse(500, b"x" * 100_000)

    assert error.body == b"x" * 64 * 1024


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_names_its_target(status):
    error = parse(status, b"moved", {"location": "https://evil.example/v1"})

    assert type(error) is APIError
    assert error.code == "redirect"
    assert "https://evil.example/v1" in str(error)
    assert "does not follow" in str(error)
    assert not error.retryable
    assert error.args == (error.message,) == (error.reason,)


def test_a_redirect_without_a_location_is_an_error():
    assert "redirect to an unknown location" in str(parse(302))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "1"}, 1.0),
        ({"retry-after": " 1 "}, 1.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "1200"}, 1.2),
        ({"retry-after-ms": "1200", "retry-after": "7"}, 1.2),
        ({"retry-after-ms": "soon", "retry-after": "7"}, 7.0),
        ({"retry-after-ms": "-1", "retry-after": "7"}, 7.0),
        ({"retry-after-ms": "nan", "retry-after": "7"}, 7.0),
        ({"retry-after": formatdate(NOW + 2, usegmt=True)}, 2.0),
        ({"retry-after": formatdate(NOW, usegmt=True)}, None),
        ({"retry-after": formatdate(NOW - 60, usegmt=True)}, None),
        ({"retry-after": "Sun, 22 Nov 2026 19:00:30 +0100"}, 30.0),
        ({"retry-after": "0"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "-inf"}, None),
        ({"retry-after": "1e999"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "Sun, 99 Nov 2026 18:00:02 GMT"}, None),
        ({"retry-after": "Sun, 22 Nov 99999 18:00:02 GMT"}, None),
        ({"retry-after": "Sun, 22 Nov 2026 18:00:02 +9999"}, None),
        ({"retry-after": "86400"}, 86400.0),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_gives_the_seconds_to_wait(status, headers, seconds):
    assert parse(status, b"", headers).retry_after == seconds


def test_an_asctime_date_is_utc(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        error = parse(429, b"", {"retry-after": "Sun Nov 22 18:00:30 2026"})
    finally:
        monkeypatch.undo()
        time.tzset()

    assert error.retry_after == 30.0


@pytest.mark.parametrize(
    ("status", "advice", "retryable"),
    [
        (400, "true", True),
        (403, "true", False),
        (500, "false", False),
        (429, "false", False),
        (409, "false", False),
        (500, "maybe", True),
        (400, "", False),
    ],
)
def test_x_should_retry_decides(status, advice, retryable):
    assert parse(status, b"", {"x-should-retry": advice}).retryable is retryable


@pytest.mark.parametrize(
    ("body", "headers", "trace_id"),
    [
        ({"trace_id": "t-1"}, {"x-trace-id": "t-2"}, "t-1"),
        ({"error": {"trace_id": "t-1"}}, {}, "t-1"),
        ({"request_id": "t-1", "type": "error"}, {}, "t-1"),
        ({"trace_id": None}, {"x-trace-id": "t-2", "x-request-id": "r-1"}, "t-2"),
        ({"trace_id": 7}, {"trace-id": "t-3", "x-request-id": "r-1"}, "t-3"),
        ({"trace_id": ""}, {"x-request-id": "r-1", "x-oneapi-request-id": "o-1"}, "r-1"),
        ({}, {"x-trace-id": "", "x-oneapi-request-id": "o-1"}, "o-1"),
        ([], {"x-oneapi-request-id": "o-1"}, "o-1"),
        ({}, {}, None),
    ],
)
def test_the_trace_id_is_found_in_body_and_headers(body, headers, trace_id):
    assert parse(500, body, headers).trace_id == trace_id
    if isinstance(body, dict):
        assert find_trace_id(body, headers) == trace_id


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"error": "x"}, True),
        ({"error": {"message": "x"}}, True),
        ({"error": ["x"]}, True),
        ({"success": False}, True),
        ({"type": "error"}, True),
        ({"error": None}, False),
        ({"error": {}}, False),
        ({"error": ""}, False),
        ({"success": True}, False),
        ({"success": None}, False),
        ({"type": "message"}, False),
        ({}, False),
        ([], False),
        (None, False),
        ("error", False),
    ],
)
def test_an_error_is_distinguished_from_a_completion(value, expected):
    assert is_error(value) is expected


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
KEYS = "error code message type detail trace_id request_id success status loc msg"
fields = st.sampled_from(KEYS.split())
bodies = st.recursive(json_values, lambda inner: st.dictionaries(fields, inner), max_leaves=15)
headers = st.dictionaries(
    st.sampled_from(
        ["retry-after", "retry-after-ms", "x-should-retry", "x-trace-id", "content-type", "server"]
    ),
    st.text(max_size=12) | st.datetimes().map(format_datetime) | st.floats().map(str),
)


@settings(deadline=None, max_examples=250)
@given(
    status=st.integers(300, 999),
    body=bodies.map(msgspec.json.encode) | st.binary(max_size=60),
    headers=headers,
)
def test_converting_an_error_never_raises(status, body, headers):
    error = parse_error(status, headers, body, now=NOW)

    assert isinstance(error, APIError)
    assert isinstance(error.message, str)
    assert error.message
    assert error.code is None or isinstance(error.code, str)
    assert error.trace_id is None or isinstance(error.trace_id, str)
    assert error.retry_after is None or 0 < error.retry_after < float("inf")
    assert str(error)


@settings(deadline=None, max_examples=120)
@given(value=bodies, status=st.none() | st.integers(200, 299))
def test_converting_an_error_within_a_success_never_raises(value, status):
    error = error_from_value(value, {}, status=status)

    assert isinstance(error, APIError)
    assert error.message


def test_deep_nesting_is_converted():
    assert type(parse(500, b"[" * 200_000)) is ServerError
    assert type(parse(400, b'{"error": ' + b"[" * 200_000)) is BadRequestError


def test_huge_numbers_are_converted():
    assert type(parse(500, b'{"error": {"code": ' + b"9" * 5_000 + b"}}")) is ServerError


def test_a_code_nested_too_deeply_is_ignored(too_deep):
    error = error_from_value({"error": {"code": too_deep, "message": "boom"}}, {}, status=400)

    assert (error.code, error.message) == (None, "boom")


def test_every_status_from_300_to_399_is_a_redirect():
    for status in (300, 399):
        error = parse_error(status, {}, b"", now=0.0)
        assert error.code == "redirect"
        assert error.message == (
            "redirect to an unknown location, which acechat does not follow: check base_url"
        )
        assert error.status == status
    assert parse_error(400, {}, b"", now=0.0).code is None
