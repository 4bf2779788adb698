"""Errors of requests that do not fit into the context window of their model."""

from __future__ import annotations

import asyncio
import copy
import pickle

import msgspec
import pytest

from acechat import (
    AsyncClient,
    AuthenticationError,
    BadRequestError,
    Client,
    ContextWindowExceededError,
    RateLimitError,
    RequestTooLargeError,
    ServerError,
)
from acechat._wire.error_response import parse_error
from acechat.emulator import fail

ANTHROPIC = "prompt is too long: 210000 tokens > 200000 maximum"
OUTPUT = (
    "input length and `max_tokens` exceed context limit: 190,000 + 20,000 > 200,000, "
    "decrease input length or `max_tokens` and try again"
)
OPENAI = (
    "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 "
    "tokens. Please reduce the length of the messages."
)
OPENAI_OUTPUT = (
    "This model's maximum context length is 8192 tokens, however you requested 9100 tokens "
    "(9000 in your prompt; 100 for the completion)."
)
GEMINI = "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."


def parse(message, status=400, **error):
    body = msgspec.json.encode({"error": {"message": message, **error}})
    return parse_error(status, {}, body, now=0)


@pytest.mark.parametrize(
    ("message", "tokens", "limit"),
    [
        (ANTHROPIC, 210000, 200000),
        (OUTPUT, 210000, 200000),
        (OPENAI, 9000, 8192),
        (OPENAI_OUTPUT, 9100, 8192),
        (GEMINI, 1200000, 1048576),
        ("Input is too long for requested model.", None, None),
        ("The request exceeds the context window of the model", None, None),
        ("Prompt is too long", None, None),
    ],
)
@pytest.mark.parametrize("status", [400, 413, 422, 500])
def test_the_message_of_each_vendor_is_recognized(message, tokens, limit, status):
    error = parse(message, status, type="invalid_request_error")

    assert type(error) is ContextWindowExceededError
    assert isinstance(error, BadRequestError)
    assert (error.tokens, error.limit) == (tokens, limit)
    assert (error.status, error.message) == (status, message)
    assert not error.retryable
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert (type(again), again.message) == (type(error), error.message)
        assert again.limit == limit


def test_the_code_of_openai_is_recognized():
    error = parse("Too long.", code="context_length_exceeded")

    assert type(error) is ContextWindowExceededError
    assert (error.tokens, error.limit) == (None, None)


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (429, {"message": "Request too large: the context window of 30000 tokens"}, RateLimitError),
        (401, {"message": ANTHROPIC}, AuthenticationError),
        (413, {"message": "Request body is too large"}, RequestTooLargeError),
        (400, {"message": "max_tokens: 300000 > 64000, which is the maximum"}, BadRequestError),
        (500, {"message": "context canceled"}, ServerError),
    ],
)
def test_other_errors_keep_their_class(status, error, kind):
    body = msgspec.json.encode({"error": error})

    assert type(parse_error(status, {}, body, now=0)) is kind


@pytest.mark.parametrize("mode", ["async", "blocking"])
@pytest.mark.parametrize("status", [400, 500])
def test_it_is_raised_and_not_retried(acechat_service, mode, status):
    acechat_service.script(fail(status, message=ANTHROPIC))
    settings = {"base_url": acechat_service.url, "api_token": acechat_service.token}

    async def asynchronous():
        async with AsyncClient(**settings) as client:
            await client.chat("Hello")

    def send():
        if mode == "async":
            asyncio.run(asynchronous())
        else:
            with Client(**settings) as client:
                client.chat("Hello")

    with pytest.raises(ContextWindowExceededError) as caught:
        send()

    assert caught.value.limit == 200000
    assert len(acechat_service.requests) == 1
