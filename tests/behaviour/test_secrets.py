"""The token is never shown: law 11, over the wire. Marks name the cases of the table."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import pickle
import traceback

import pytest

from acechat import AceChatError, AsyncClient, Client, ConfigurationError, RetryPolicy, Timeout

MODES = pytest.mark.parametrize("kind", [AsyncClient, Client])
BOTH = pytest.mark.parametrize("method", ["chat", "stream"])


def echoes(wire):
    token = wire.token
    error = {"error": {"code": "invalid_token", "message": f"no such token: {token}"}}
    busy = {"error": {"code": token, "message": token, "type": token}, "trace_id": token}
    event = f"data: {json.dumps(error)}\n\n".encode()
    return {
        "body": wire.http(error, "401 X"),
        "everywhere": wire.http(busy, "500 X"),
        "text": wire.http(f"Bearer {token}".encode(), "400 X", "text/plain"),
        "html": wire.http(f"<html><title>{token}</title></html>".encode(), "502 X", "text/html"),
        "header": wire.http(b"", "400 X", X_Trace_Id=token, X_Echo=f"Bearer {token}"),
        "location": wire.http(b"", "307 X", Location=f"https://evil.example/?t={token}"),
        "reason": wire.http(b"", f"500 {token}"),
        "in-200": wire.http(error),
        "no-answer": wire.http(token.encode()),
        "wrong-shape": wire.http({"choices": token}),
        "html-200": wire.http(f"<html>{token}".encode(), kind="text/html"),
        "content-type": wire.http(b"{}", kind=f"text/{token}"),
        "event": wire.sse(wire.delta("Hel") + event),
        "first-event": wire.sse(event),
        "named-event": wire.sse(f"event: error\ndata: {token}\n\n".encode()),
        "bad-event": wire.sse(f"data: {{{token}\n\n".encode()),
        "stray": wire.sse(wire.delta("Hel") + f'{{"error": "{token}"}}\n'.encode()),
        "bad-header": f"HTTP/1.1 200 OK\r\n{token}\r\n\r\n".encode(),
        "no-http": f"{token}\r\n\r\n".encode(),
        "bad-chunk": wire.head() + wire.chunk(wire.delta("Hel")) + f"{token}\r\n".encode(),
    }


KINDS = [
    "body", "everywhere", "text", "html", "header", "location", "reason", "in-200", "no-answer",
    "wrong-shape", "html-200", "content-type", "event", "first-event", "named-event", "bad-event",
    "stray", "bad-header", "no-http", "bad-chunk",
]  # fmt: skip


def chain(error):
    """The error, and all that it was caused by."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def shown_by(error):
    """All that a crash reporter would send."""
    for one in chain(error):
        yield str(one)
        yield repr(one)
        yield repr(one.args)
        yield repr(vars(one))
        yield repr(copy.copy(one))
        yield repr(pickle.dumps(one))
        lines = traceback.TracebackException.from_exception(one, capture_locals=True).stack
        for frame in lines:
            if "/tests/" not in frame.filename:
                yield f"{frame.filename}:{frame.lineno} {frame.locals}"


def leaks(error, token):
    return [text[:2000] for text in shown_by(error) if token in text]


def deep(value, token, depth=6, seen=None):
    """Whether *token* can be reached from *value* through attributes, as Sentry would."""
    seen = set() if seen is None else seen
    if id(value) in seen or depth == 0:
        return False
    seen.add(id(value))
    if isinstance(value, str):
        return token in value
    if isinstance(value, bytes):
        return token.encode() in value
    if isinstance(value, dict):
        inner = [*value, *value.values()]
    elif isinstance(value, (list, tuple, set)):
        inner = list(value)
    else:
        inner = [getattr(value, name) for name in getattr(value, "__struct_fields__", ())]
        inner += list(getattr(value, "__dict__", {}).values())
    return any(deep(one, token, depth - 1, seen) for one in inner)


@BOTH
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.case("sec-reflected", "sec-exc-attrs", "sec-exc-chain")
def test_an_echoed_token_is_not_shown(either, server, wire, method, kind, caplog):
    caplog.set_level(logging.DEBUG)
    server.reply(echoes(wire)[kind])
    error = either(method, timeout=Timeout(first_token=0.5, idle=0.3))
    assert not leaks(error, wire.token)
    assert not deep(error, wire.token)
    assert wire.token not in caplog.text


@BOTH
@pytest.mark.parametrize("fault", ["refused", "reset", "cut", "stall", "total", "closed", "dns"])
def test_failures_show_no_token(ask, server, wire, unused_port, method, fault, caplog):
    caplog.set_level(logging.DEBUG)
    logging.getLogger("asyncio").setLevel(logging.DEBUG)
    options = {"timeout": Timeout(first_token=0.2, total=0.4 if fault == "total" else None)}

    async def handler(reader, writer, number):
        if fault == "reset":
            server.reset(writer)
        elif fault == "cut":
            writer.write(wire.sse(wire.delta("Hel"), end=False) if method == "stream" else
                         wire.ok()[:-4])  # fmt: skip
            await writer.drain()
            writer.close()
        elif fault == "total":
            writer.write(wire.head("application/json"))
            await reader.read()
        else:
            await reader.read()

    server.handler = handler
    url = {"refused": f"http://127.0.0.1:{unused_port}", "dns": "http://nowhere.invalid"}
    settings = ask.options(options | ({"base_url": url[fault]} if fault in url else {}))

    async def run():
        client = AsyncClient(**settings)
        if fault == "closed":
            await client.aclose()
        try:
            await (client.chat("Hi") if method == "chat" else client.stream("Hi").collect())
        finally:
            await client.aclose()

    def block():
        with Client(**settings) as client:
            if fault == "closed":
                client.close()
            return client.chat("Hi") if method == "chat" else client.stream("Hi").collect()

    with pytest.raises(AceChatError) as caught:
        asyncio.run(run(), debug=True) if ask.mode == "async" else block()
    assert not leaks(caught.value, wire.token)
    assert not deep(caught.value, wire.token)
    assert wire.token not in caplog.text


@BOTH
@pytest.mark.case("sec-log")
def test_a_success_logs_neither_token_nor_prompt(ask, server, wire, method, caplog):
    caplog.set_level(logging.DEBUG)
    server.reply(wire.refusal(), wire.ok() if method == "chat" else wire.stream())
    getattr(ask, method)("my-private-prompt")
    assert wire.token not in caplog.text
    assert "my-private-prompt" not in caplog.text


def test_a_completion_does_not_hold_the_token(ask, server, wire):
    server.reply(wire.ok(X_Echo=f"Bearer {wire.token}"))
    reply = ask.chat()
    assert reply.response.headers["x-echo"] == "Bearer ***"
    assert not deep(reply, wire.token)


def test_a_completion_after_a_failure_does_not_hold_the_token(ask, server, wire):
    server.reply(echoes(wire)["everywhere"], wire.ok())
    assert not deep(ask.chat().response, wire.token)


@MODES
@pytest.mark.case("sec-repr")
def test_a_client_does_not_show_its_token(kind, wire, monkeypatch):
    monkeypatch.setenv("ACEDATACLOUD_API_TOKEN", "tok-of-the-environment")
    client = kind(wire.token)
    for text in (repr(client), str(client), repr(vars(client)), repr(pickle.dumps(client))):
        assert wire.token not in text
    assert wire.token not in repr(vars(client))


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("tok-1\r\nX-Evil: 1", id="sec-crlf"),
        pytest.param("tok-\u00e9-secret", id="sec-nonascii"),
        pytest.param("tok-\0-secret", id="nul"),
        pytest.param("tok secret words", id="space"),
        pytest.param("platform-v1-secret", id="platform"),
    ],
)
@MODES
def test_an_invalid_token_is_rejected_without_showing_it(kind, token):
    with pytest.raises(ConfigurationError) as caught:
        kind(token)
    assert token not in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("token", ["", "  ", "Bearer ", "\n"])
@pytest.mark.case("sec-empty")
@MODES
def test_an_empty_token_is_rejected_with_the_name_of_its_variable(kind, token):
    with pytest.raises(ConfigurationError, match="ACEDATACLOUD_API_TOKEN"):
        kind(token)


@pytest.mark.parametrize("written", ["{}\n", "  {}\r\n", "Bearer {}", "bearer {}\n"])
@pytest.mark.case("sec-newline")
def test_characters_pasted_around_a_token_are_removed(ask, server, wire, written):
    server.reply(wire.ok())
    ask.chat(client_options={"api_token": written.format(wire.token)})
    assert server.requests[0].headers["authorization"] == f"Bearer {wire.token}"


@BOTH
@pytest.mark.parametrize(
    "headers",
    [
        {"X-A": "1\r\nX-Evil: 1"},
        {"X-A\r\nX-Evil": "1"},
        {"X-A": "1\0"},
        {"X A": "1"},
        {"": "1"},
        {"Authorization": "Bearer other"},
        {"Host": "evil.example"},
    ],
)
@pytest.mark.case("sec-header-crlf")
def test_headers_that_change_the_request_are_rejected(either, server, method, headers):
    assert isinstance(either(method, extra_headers=headers), ConfigurationError)
    for kind in (AsyncClient, Client):
        with pytest.raises(ConfigurationError):
            kind("tok-0123456789", headers=headers)
    assert server.connections == 0


def test_an_uncaught_traceback_shows_no_token(script, server, wire):
    server.reply(echoes(wire)["everywhere"])
    done = script(
        """
        import asyncio, os
        from acechat import AsyncClient, RetryPolicy
        async def main():
            async with AsyncClient(base_url=URL, retries=RetryPolicy(base_delay=0)) as client:
                await client.chat("Hello")
        os.environ["ACEDATACLOUD_API_TOKEN"] = TOKEN
        asyncio.run(main(), debug=True)
        """,
        check=False,
    )
    assert done.returncode == 1
    assert "ServerError" in done.stderr
    assert wire.token not in done.stderr


def test_retries_do_not_collect_echoed_tokens(either, server, wire):
    server.reply(echoes(wire)["everywhere"])
    error = either("chat", retries=RetryPolicy(max_attempts=4, base_delay=0))
    assert len(error.attempts) == 4
    assert not any(wire.token in attempt.error for attempt in error.attempts)
