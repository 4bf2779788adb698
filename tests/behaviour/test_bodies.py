"""Bodies that hold something else than expected. Marks name the cases of the table."""

from __future__ import annotations

import pytest

from acechat import (
    AceChatError,
    APIError,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    InsufficientBalanceError,
    ProtocolError,
    RateLimitError,
    ServerError,
)

BOTH = pytest.mark.parametrize("method", ["chat", "stream"])
HTML = b"<html><head><title>502 Bad Gateway</title></head><body>%s</body></html>" % (b"x" * 5000)


@BOTH
@pytest.mark.case("body-html-502", "body-html-502-stream")
def test_an_html_page_of_a_gateway_becomes_a_short_message(either, server, wire, method):
    server.reply(
        wire.http(HTML, "502 Bad Gateway", "text/html", Server="cloudflare", CF_RAY="abc-FRA")
    )
    error = either(method)
    assert isinstance(error, ServerError)
    assert str(error) == ("HTTP 502: 502 Bad Gateway (HTML page from cloudflare, ray abc-FRA)")
    assert error.body == HTML
    assert len(server.requests) == 3


@BOTH
@pytest.mark.case("body-html-200", "body-html-200-stream", "stream-html")
def test_an_html_page_with_status_200_is_an_error(either, server, wire, method):
    server.reply(wire.http(HTML, kind="text/html; charset=utf-8"))
    error = either(method)
    assert isinstance(error, ProtocolError)
    assert "text/html" in str(error)
    assert error.body == HTML[:500]


@BOTH
@pytest.mark.parametrize(
    "body",
    [
        {"success": False, "error": {"code": "used_up", "message": "no money"}, "trace_id": "t-1"},
        {"error": {"code": "used_up", "message": "no money"}, "trace_id": "t-1"},
        {"success": False, "error": {"code": "used_up", "message": "no money", "trace_id": "t-1"}},
    ],
)
@pytest.mark.case("body-200-error", "body-200-error-stream")
def test_an_error_body_with_status_200_is_an_error(either, server, wire, method, body):
    server.reply(wire.http(body))
    error = either(method)
    assert isinstance(error, InsufficientBalanceError)
    assert (error.message, error.trace_id) == ("no money", "t-1")
    assert len(server.requests) == 1


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8"])
@pytest.mark.case("body-json-instead-of-stream")
def test_a_complete_response_to_a_stream_request_is_streamed(ask, server, wire, kind):
    server.reply(wire.ok().replace(b"application/json", kind.encode()))
    got = ask.stream()
    assert (got.error, got.text, got.completion.text) == (None, "Hello", "Hello")
    assert got.completion.usage.total_tokens == 2
    assert got.completion.finish_reason == "stop"


@pytest.mark.parametrize(
    "kind", ["text/event-stream", "text/event-stream; charset=utf-8", "Text/Event-Stream"]
)
def test_a_stream_in_response_to_a_plain_request_is_collected(ask, server, wire, kind):
    server.reply(wire.sse(wire.events("Hel", "lo"), kind=kind))
    assert ask.chat().text == "Hello"


@BOTH
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="body-empty"),
        pytest.param(b"null", id="body-null"),
        pytest.param(b"[1,2]", id="body-list"),
        pytest.param(b'"ok"', id="body-string"),
        pytest.param(b'{"id": "x", "cho', id="body-bad-json"),
        pytest.param(b"[" * 200_000, id="body-deep"),
        pytest.param(b'{"x": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", id="body-deep-unknown"),
        pytest.param(b'{"choices": [], "x": NaN}', id="body-nan"),
        pytest.param(b'{"choices": null}', id="body-null-choices"),
        pytest.param(b'{"choices": {}}', id="choices-object"),
        pytest.param(b'{"id": "x"}', id="body-no-choices"),
        pytest.param(b"{}", id="empty-object"),
        pytest.param(b'{"choices": [1]}', id="choice-number"),
        pytest.param(b'{"choices": [{"message": {"content": {}}}]}', id="content-object"),
        pytest.param(b'{"choices": [{"message": "hi"}]}', id="body-wrong-types"),
        pytest.param(b'{"created": ' + b"9" * 5000 + b', "choices": []}', id="body-huge-int"),
        pytest.param("\ufeff{}".encode("utf-16"), id="utf-16"),
    ],
)
def test_json_other_than_a_completion_is_an_error(either, server, wire, method, body):
    server.reply(wire.http(body))
    error = either(method)
    assert isinstance(error, ProtocolError)
    assert len(error.body) <= 500
    assert len(str(error)) < 1000
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"\xff", id="body-bad-utf8"),
        pytest.param(rb"\ud83d", id="body-lone-surrogate"),
    ],
)
def test_a_broken_character_in_a_body_is_replaced(ask, server, wire, content):
    server.reply(wire.http(b'{"choices": [{"message": {"content": "a%sb"}}]}' % content))
    assert ask.chat().text == ask.stream().text == "a\ufffdb"


@BOTH
@pytest.mark.case("body-204")
def test_a_response_without_content_is_an_error(either, server, method):
    server.reply(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert isinstance(either(method), ProtocolError)


@pytest.mark.parametrize("status", ["201 Created", "202 Accepted", "203 X", "299 X"])
def test_every_2xx_is_a_success(ask, server, wire, status):
    server.reply(wire.ok().replace(b"200 OK", status.encode()))
    assert ask.chat().response.status == int(status[:3])


@pytest.mark.case("body-dup-keys")
def test_the_last_of_duplicate_keys_wins(ask, server, wire):
    body = b'{"choices": [{"message": {"content": "a", "content": "b"}}]}'
    server.reply(wire.http(body))
    assert ask.chat().text == "b"


@pytest.mark.parametrize(
    "more",
    [
        pytest.param(b'"created": "yesterday"', id="body-wrong-types"),
        pytest.param(b'"created": 1.5e3', id="float"),
        pytest.param(b'"usage": "none"', id="usage-text"),
        pytest.param(b'"usage": {"prompt_tokens": "many"}', id="usage-words"),
        pytest.param(b'"unknown": {"a": [1]}', id="unknown-field"),
        pytest.param(b'"error": null', id="error-null"),
        pytest.param(b'"success": true', id="success"),
    ],
)
@pytest.mark.case("body-unknown-enum")
def test_a_field_of_an_unexpected_type_does_not_lose_the_completion(ask, server, wire, more):
    body = b'{"choices": [{"message": {"content": "Hello"}, "finish_reason": "pause_turn"}], %s}'
    server.reply(wire.http(body % more))
    reply = ask.chat()
    assert (reply.text, reply.finish_reason) == ("Hello", "pause_turn")


@pytest.mark.parametrize("kind", ["text/plain", None, "x", "application/octet-stream"])
@pytest.mark.case("body-wrong-ct", "body-no-ct")
def test_the_content_type_of_a_complete_response_is_ignored(ask, server, wire, kind):
    server.reply(wire.ok().replace(b"application/json", kind.encode()) if kind else b"")
    if kind is None:
        server.reply(wire.http(wire.answer(), kind=None))
    assert ask.chat().text == "Hello"


@BOTH
@pytest.mark.parametrize(
    ("status", "kind", "body", "cls", "said"),
    [
        pytest.param("400 Bad", "application/json", b'{"error": "text"}', BadRequestError, "text",
                     id="err-string"),
        pytest.param("422 No", "application/json",
                     b'{"detail": [{"loc": ["body", "model"], "msg": "required"}]}',
                     BadRequestError, "body.model: required", id="err-detail"),
        pytest.param("400 Bad", "application/json", b'{"error": null}', BadRequestError, "",
                     id="err-null"),
        pytest.param("500 X", "text/plain", b"Internal Server Error", ServerError,
                     "Internal Server Error", id="err-text"),
        pytest.param("500 X", "text/plain", b"ab\xff\xfecd", ServerError, "ab\ufffd\ufffdcd",
                     id="err-bad-utf8"),
        pytest.param("500 X", "application/json", b'{"error": {"message": "\xff"}}', ServerError,
                     "\ufffd", id="err-bad-utf8-json"),
        pytest.param("500 X", None, b"", ServerError, "", id="nothing"),
        pytest.param("500 X", "application/json", b"[" * 70_000, ServerError, "[", id="deep"),
        pytest.param("500 X", "application/json", b'{"error": ["a", {"b": 1}]}', ServerError, "a",
                     id="list"),
        pytest.param("500 X", "application/json", b'{"error": {"message": {"a": [1]}}}',
                     ServerError, "", id="message-object"),
        pytest.param("400 X", "application/json", b'{"error": {"code": 5, "message": 7}}',
                     BadRequestError, "7", id="numbers"),
        pytest.param("401 X", "application/json", b'{"status": "failure", "message": "who?"}',
                     AuthenticationError, "who?", id="portkey"),
        pytest.param("429 X", "text/html", b"<html><title>429</title></html>", RateLimitError,
                     "429", id="nginx-429"),
        pytest.param("499 X", "text/plain", b"x", BadRequestError, "x", id="499"),
        pytest.param("599 X", "text/plain", b"x", ServerError, "x", id="599"),
        pytest.param("999 X", "text/plain", b"x", APIError, "x", id="999"),
    ],
)  # fmt: skip
def test_every_form_of_error_body_is_parsed(
    either, server, wire, method, status, kind, body, cls, said
):
    server.reply(wire.http(body, status, kind))
    error = either(method)
    assert isinstance(error, cls)
    assert said in str(error)
    assert error.status == int(status[:3])
    assert error.body == body[:65536]


@BOTH
@pytest.mark.parametrize("number", [float("nan"), float("inf")])
@pytest.mark.case("body-nan-out")
def test_values_without_a_json_form_are_rejected_before_sending(either, server, method, number):
    for options in ({"temperature": number}, {"extra_body": {"x": [{"y": number}]}}):
        assert isinstance(either(method, **options), ConfigurationError)
    assert server.connections == 0


@BOTH
@pytest.mark.case("body-lone-surrogate")
def test_lone_surrogates_are_rejected_before_sending(either, server, method):
    assert isinstance(either(method, system="\ud83d"), ConfigurationError)
    assert server.connections == 0


@pytest.mark.parametrize("name", ["X-Trace-Id", "X-Request-Id", "X-Oneapi-Request-Id"])
def test_the_trace_id_is_read_from_the_headers(ask, server, wire, name):
    server.reply(wire.ok(**{name.replace("-", "_"): "t-7"}), wire.http(b"x", "400 X"))
    reply = ask.chat()
    assert reply.trace_id == "t-7"


def test_every_failure_on_the_wire_raises_an_acechat_error(either, server, wire):
    for status in range(200, 1000, 37):
        server.reply(wire.http(b"\0\1", f"{status} X", None))
        assert isinstance(either("chat", retries=1), AceChatError)
