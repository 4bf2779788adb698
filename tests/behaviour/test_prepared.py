"""A request as data, and as a command line that real curl runs."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import shutil
import subprocess

import pytest

from acechat import AsyncClient, Client, ConfigurationError, Timeout

AWKWARD = 'It\'s "quoted" $HOME `id` \\ \n@file ünï 🎈'


@pytest.fixture(params=[AsyncClient, Client])
def client(request, acechat_service):
    made = request.param(
        acechat_service.token, base_url=acechat_service.url, headers={"X-Mine": "it's $me"}
    )
    yield made
    if request.param is Client:
        made.close()


def test_a_prepared_request_equals_the_request_of_chat(client, acechat_service):
    prepared = client.prepare("Hello", system="Be brief.", max_tokens=5, extra_body={"top_k": 3})

    assert prepared.json() == {
        "model": "claude-sonnet-4-20250514",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hello"},
        ],
        "stream": False,
        "max_tokens": 5,
        "top_k": 3,
    }
    assert prepared.request.headers == {"X-Mine": "it's $me"}
    assert acechat_service.requests == []


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"max_tokens": 9999},
        {"max_tokens": 9999, "stream_options": {"include_usage": False}},
        {"model": "claude-sonnet-4-20250514-thinking"},
        {"output_type": int},
    ],
    ids=str,
)
@pytest.mark.parametrize("streaming", ["auto", "always", "never"])
def test_a_prepared_request_streams_where_chat_does(make_ask, acechat_service, streaming, options):
    asking = make_ask(acechat_service.url)
    settings = {"api_token": acechat_service.token, "streaming": streaming}
    asking.chat("Count to 3", client_options=settings, **options)
    kind = Client if asking.mode == "blocking" else AsyncClient
    prepared = kind(base_url=acechat_service.url, **settings).prepare("Count to 3", **options)

    assert prepared.request.body == acechat_service.requests[0].body


def test_a_prepared_request_shows_no_token(client, acechat_service):
    prepared = client.prepare("Hello")

    shown = repr(prepared) + prepared.curl() + repr(prepared.request)
    assert acechat_service.token not in shown
    assert "$ACEDATACLOUD_API_TOKEN" in prepared.curl()


AWKWARD_TOKEN = "an'awkward-token"


@pytest.mark.parametrize("token", ["emulated-token", AWKWARD_TOKEN])
@pytest.mark.parametrize("kind", [AsyncClient, Client])
def test_the_curl_command_shows_no_token(kind, token):
    made = kind(token, base_url="http://localhost/v1", headers={"X-Team": token})
    prepared = made.prepare(f"I am {token}.", system=token, extra_headers={"X-Key": f"k {token}"})
    shown = shlex.split(prepared.curl())

    assert not any(token in word for word in shown)
    assert {"X-Team: ***", "X-Key: ***"} <= set(shown)
    assert json.loads(shown[-1])["messages"][1]["content"] == "I am ***."
    assert token not in repr(prepared)
    assert prepared.json()["messages"][1]["content"] == f"I am {token}."  # the request that is sent


@pytest.mark.skipif(not shutil.which("curl"), reason="there is no curl")
def test_curl_sends_the_prepared_request(client, acechat_service):
    prepared = client.prepare(AWKWARD, extra_headers={"X-More": "a b"})

    done = subprocess.run(
        ["sh", "-c", prepared.curl().replace("curl ", "curl -sS --noproxy '*' ", 1)],
        env=os.environ | {"ACEDATACLOUD_API_TOKEN": acechat_service.token},
        capture_output=True,
        check=True,
    )

    (received,) = acechat_service.requests
    assert json.loads(done.stdout)["choices"]
    assert received.body == prepared.request.body
    assert received.headers["x-mine"] == "it's $me"
    assert received.headers["x-more"] == "a b"


def test_the_tokens_of_a_prepared_request_can_be_counted(make_ask, acechat_service):
    asking = make_ask(acechat_service.url)
    options = asking.options({"api_token": acechat_service.token})

    if asking.mode == "blocking":
        with Client(**options) as client:
            messages = client.prepare("one two three", system="four").json()["messages"]
            counted = client.count_tokens(messages=messages)
    else:

        async def count():
            async with AsyncClient(**options) as client:
                messages = client.prepare("one two three", system="four").json()["messages"]
                return await client.count_tokens(messages=messages)

        counted = asking.in_loop(count())

    assert counted == 11  # 4 words, 4 for the message, and 3


def test_prepare_rejects_the_same_arguments_as_chat(client):
    with pytest.raises(ConfigurationError):
        client.prepare()
    with pytest.raises(TypeError, match="max_tokens"):
        client.prepare("Hello", max_token=3)


def test_prepare_accepts_timeout_and_retries(client):
    prepared = client.prepare("Hello", timeout=Timeout(total=3), retries=1)

    assert prepared.json()["messages"]


@pytest.fixture(params=["async", "sync"])
def estimate(request, acechat_service):
    """Return the estimate of a request, by an async or a blocking client."""

    def of(*content, **options):
        arguments = acechat_service.token, acechat_service.url
        if request.param == "sync":
            with Client(arguments[0], base_url=arguments[1]) as client:
                return client.prepare(*content, **options).estimate()

        async def main():
            async with AsyncClient(arguments[0], base_url=arguments[1]) as client:
                return await client.prepare(*content, **options).estimate()

        return asyncio.run(main())

    return of


def test_an_estimate_counts_the_tokens_and_reads_the_prices(estimate, acechat_service):
    found = estimate("Hello", system="Be brief.", max_tokens=100, tools=[print_city])

    assert found.model == "claude-sonnet-4-20250514"
    assert found.prompt_tokens > 2
    assert found.max_completion_tokens == 100
    assert 0 < found.min_cost < found.max_cost < 1
    paths = [request.path for request in acechat_service.requests]
    assert len(paths) == 2
    assert paths[0].endswith("/messages/count_tokens")
    assert "/models/catalog/" in paths[1]
    assert "tools" in json.loads(acechat_service.requests[0].body)


def test_an_estimate_of_a_model_without_a_price(estimate):
    found = estimate("Hello", model="claude-next")

    assert (found.min_cost, found.max_cost) == (None, None)
    assert found.prompt_tokens > 0


def print_city(city: str) -> str:
    """Print a city."""
    return city


def test_an_estimate_with_an_output_type_counts_its_tool(estimate):
    assert estimate("Hi", output_type=list[int]).prompt_tokens > estimate("Hi").prompt_tokens
