"""``api_token=`` as a function, async or not: asked for each request, and once more after a 401."""

from __future__ import annotations

import asyncio
import pickle

import pytest

from acechat import (
    AsyncClient,
    AuthenticationError,
    Client,
    ConfigurationError,
    RequestTimeoutError,
    RetryPolicy,
    ServerError,
    Timeout,
)

NO_DELAY = RetryPolicy(base_delay=0.0)


class Tokens:
    """Returns tok-first-…1, tok-…2 and so on."""

    def __init__(self, *, asynchronous):
        self.asynchronous = asynchronous
        self.asked = 0

    def __call__(self):
        return self._later() if self.asynchronous else self._next()

    def _next(self):
        self.asked += 1
        return f"tok-number-{self.asked:08}"

    async def _later(self):
        await asyncio.sleep(0)
        return self._next()


@pytest.fixture(params=[True, False], ids=["async function", "function"])
def tokens(request):
    return Tokens(asynchronous=request.param)


@pytest.fixture(params=["async", "sync"])
def use(request, server):
    """Return a function that calls ``work(client)`` and returns its result, or its exception."""

    def run(api_token, work, **options):
        options = {"retries": NO_DELAY, "timeout": Timeout(total=8)} | options
        if request.param == "sync":
            with Client(api_token, base_url=server.url, **options) as client:
                return work(client)

        async def main():
            async with AsyncClient(api_token, base_url=server.url, **options) as client:
                result = work(client)
                return await result if asyncio.iscoroutine(result) else result

        return asyncio.run(main())

    return run


def sent(server):
    """Return the numbers of the tokens of all requests."""
    return [
        int(request.headers["authorization"].removeprefix("Bearer tok-number-"))
        for request in server.requests
    ]


def refused(wire):
    return wire.refusal("401 Unauthorized", "token_expired")


def test_the_function_is_asked_for_each_request(use, server, wire, tokens):
    server.reply(wire.ok())

    def twice(client):
        if isinstance(client, Client):
            return [client.chat("Hello"), client.chat("Hello")]

        async def both():
            return [await client.chat("Hello"), await client.chat("Hello")]

        return both()

    assert [reply.text for reply in use(tokens, twice)] == ["Hello", "Hello"]
    assert sent(server) == [1, 2]


def test_each_attempt_is_a_request(use, server, wire, tokens):
    server.reply(wire.refusal(), wire.ok())

    assert use(tokens, lambda client: client.chat("Hello")).text == "Hello"
    assert sent(server) == [1, 2]


@pytest.mark.parametrize("attempts", [1, 3])
def test_after_a_401_it_is_asked_once_more(use, server, wire, tokens, attempts):
    server.reply(refused(wire), wire.ok())

    reply = use(tokens, lambda client: client.chat("Hello"), retries=attempts)

    assert sent(server) == [1, 2]
    assert [attempt.failure for attempt in reply.response.attempts] == ["refused"]
    assert not reply.response.attempts[0].may_be_billed


def test_a_second_401_is_raised(use, server, wire, tokens):
    server.reply(refused(wire))

    with pytest.raises(AuthenticationError) as caught:
        use(tokens, lambda client: client.chat("Hello"))

    assert sent(server) == [1, 2]
    assert len(caught.value.attempts) == 2


def test_after_a_401_the_retries_are_those_of_the_policy(use, server, wire, tokens):
    server.reply(refused(wire), wire.refusal())

    with pytest.raises(ServerError):
        use(tokens, lambda client: client.chat("Hello"), retries=NO_DELAY)

    assert sent(server) == [1, 2, 3]


def test_a_token_that_is_a_str_is_not_sent_again_after_a_401(use, server, wire):
    server.reply(refused(wire))

    with pytest.raises(AuthenticationError):
        use("tok-number-00000001", lambda client: client.chat("Hello"))

    assert sent(server) == [1]


def test_a_large_request_that_the_session_sends_has_it(use, server, wire, tokens):
    server.reply(wire.ok())

    use(tokens, lambda client: client.chat("x" * 2**21))

    assert sent(server) == [1]


def test_a_request_without_a_body_has_it(use, server, wire, tokens):
    server.reply(wire.http({"data": []}))

    assert use(tokens, lambda client: client.models()) == []
    assert sent(server) == [1]


def test_a_stream_has_it(use, server, wire, tokens):
    server.reply(refused(wire), wire.stream("Hel", "lo"))

    assert use(tokens, lambda client: client.stream("Hello").collect()).text == "Hello"
    assert sent(server) == [1, 2]


def test_the_catalogue_is_read_without_a_token(use, server, wire, tokens):
    server.reply(wire.http({"items": []}))

    assert use(tokens, lambda client: client.catalog()) == []
    assert "authorization" not in server.requests[0].headers
    assert tokens.asked == 0


def test_all_of_its_tokens_are_redacted(use, server, wire, tokens):
    def echo(text):
        return wire.http({"error": {"code": "busy", "message": text}}, "503 Busy")

    first, second = "tok-number-00000001", "tok-number-00000002"
    server.reply(echo(first), echo(f"{first} {second}"))

    with pytest.raises(ServerError) as caught:
        use(tokens, lambda client: client.chat("Hello"), retries=2)

    assert sent(server) == [1, 2]
    error = caught.value
    assert "tok-number" not in f"{error!r}{error}{error.body}{error.attempts}"
    assert b"tok-number" not in pickle.dumps(error)


def test_an_exception_of_the_function_reaches_the_caller(use, server, wire):
    class VaultError(Exception):
        pass

    def broken():
        raise VaultError("sealed")

    with pytest.raises(VaultError, match="sealed"):
        use(broken, lambda client: client.chat("Hello"))

    assert not server.requests


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (None, "must return a str, not NoneType"),
        (b"bytes", "must return a str, not bytes"),
        ("", "is empty"),
        ("two words", "invalid characters"),
        ("platform-x", "is a platform token"),
    ],
)
def test_a_value_that_is_no_token_is_refused(use, server, monkeypatch, returned, message):
    monkeypatch.setenv("ACEDATACLOUD_API_TOKEN", "tok-of-the-environment")

    with pytest.raises(ConfigurationError, match=message):
        use(lambda: returned, lambda client: client.chat("Hello"))

    assert not server.requests


def test_a_prefix_is_removed_as_from_a_str(use, server, wire):
    server.reply(wire.ok())

    use(lambda: "Bearer tok-number-00000007\n", lambda client: client.chat("Hello"))

    assert sent(server) == [7]


def test_the_time_limits_hold_while_the_function_waits(use, server):
    async def never():
        await asyncio.sleep(60)

    with pytest.raises(RequestTimeoutError) as caught:
        use(never, lambda client: client.chat("Hello"), timeout=0.2)

    assert caught.value.phase == "total"
    assert not caught.value.attempts[-1].may_be_billed


def test_such_a_client_is_shown_without_calling_it_and_is_not_pickled(tokens):
    client = AsyncClient(tokens)

    assert "tok-" not in repr(client)
    assert tokens.asked == 0
    assert client == AsyncClient(tokens)
    assert client != AsyncClient(Tokens(asynchronous=False))
    assert hash(client._config.token) == hash(AsyncClient(tokens)._config.token)
    with pytest.raises(TypeError, match="a function as api_token= cannot be pickled"):
        pickle.dumps(client)


def test_copies_with_options_ask_the_same_function(server, wire, tokens):
    server.reply(wire.ok())

    with Client(tokens, base_url=server.url) as client:
        client.with_options(timeout=5).chat("Hello")
        client.conversation().send("Hello")

    assert sent(server) == [1, 2]
