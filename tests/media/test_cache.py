"""Prompt caching: `cache=` of parts and tools, and the figures of usage."""

from __future__ import annotations

import asyncio
import json

import msgspec
import pytest

from acechat import (
    AsyncClient,
    Client,
    ConfigurationError,
    SystemMessage,
    Tool,
    Usage,
    UserMessage,
    document,
    image,
    text,
    tool,
)
from acechat.emulator import ok
from acechat.types import PromptTokensDetails

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
SENT = {
    True: {"type": "ephemeral"},
    "5m": {"type": "ephemeral", "ttl": "5m"},
    "1h": {"type": "ephemeral", "ttl": "1h"},
}


def weather(city: str) -> str:
    """Forecast the weather."""
    return "rain"


MAKERS = {
    "text": lambda **options: text("Hello", **options),
    "image": lambda **options: image(PNG, **options),
    "image URL": lambda **options: image("https://host/cat.png", **options),
    "PDF": lambda **options: document(b"%PDF-1.7", **options),
    "document": lambda **options: document(b"text", **options),
    "document URL": lambda **options: document("https://host/a.pdf", **options),
}
TOOLS = {
    "function": lambda **options: tool(weather, name="weather", **options),
    "decorator": lambda **options: tool(**options)(weather),
    "Tool": lambda **options: Tool(name="weather", function=weather, **options),
    "copy": lambda **options: tool(Tool(name="weather", function=weather), **options),
}


@pytest.fixture(params=["async", "blocking"])
def chat(request, acechat_service):
    settings = {"api_token": acechat_service.token, "base_url": acechat_service.url}

    async def asynchronous(content, options):
        async with AsyncClient(**settings) as client:
            return await client.chat(*content, **options)

    def chat(*content, **options):
        if request.param == "async":
            return asyncio.run(asynchronous(content, options))
        with Client(**settings) as client:
            return client.chat(*content, **options)

    return chat


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize("cache", [None, True, "5m", "1h"])
def test_a_part_may_end_a_cached_prefix(chat, acechat_service, make, cache):
    chat("Hello", make(cache=cache))

    part = json.loads(acechat_service.requests[0].body)["messages"][0]["content"][1]
    assert part.get("cache_control") == SENT.get(cache)
    assert ("cache_control" in part) is (cache is not None)


@pytest.mark.parametrize("make", TOOLS.values(), ids=TOOLS)
@pytest.mark.parametrize("cache", [None, True, "5m", "1h"])
@pytest.mark.parametrize("method", ["chat", "run"])
def test_a_tool_may_end_a_cached_prefix(acechat_service, make, cache, method):
    def fresh(city: str) -> str:
        return weather(city)

    made = make(cache=cache) if make is not TOOLS["decorator"] else tool(cache=cache)(fresh)
    if make is TOOLS["function"]:
        made = tool(fresh, cache=cache)

    with Client(acechat_service.token, base_url=acechat_service.url) as client:
        getattr(client, method)("Hello", tools=[made])

    (sent,) = json.loads(acechat_service.requests[0].body)["tools"]
    assert sent.get("cache_control") == SENT.get(cache)
    assert sent["type"] == "function"


@pytest.mark.parametrize("cache", [False, "2h", 5, "ephemeral", {"type": "ephemeral"}])
def test_another_value_is_rejected(cache):
    for make in (*MAKERS.values(), *TOOLS.values()):
        with pytest.raises(ConfigurationError, match='cache must be True, "5m" or "1h"'):
            make(cache=cache)


def test_a_system_prompt_is_cached(chat, acechat_service):
    chat("Hello", messages=[SystemMessage(content=[text("Manual", cache=True)])])

    system = json.loads(acechat_service.requests[0].body)["messages"][0]
    assert system["content"] == [
        {"type": "text", "text": "Manual", "cache_control": {"type": "ephemeral"}}
    ]


def test_parts_without_a_cache_are_sent_as_before():
    sent = msgspec.to_builtins(UserMessage(content=[text("Hello"), image(PNG)]))

    assert [set(part) for part in sent["content"]] == [{"type", "text"}, {"type", "image_url"}]


@pytest.mark.parametrize(
    ("usage", "read", "write"),
    [
        ({}, None, None),
        ({"prompt_tokens_details": None}, None, None),
        ({"prompt_tokens_details": {"cached_tokens": 0}}, 0, None),
        ({"prompt_tokens_details": {"cached_tokens": 9, "cached_creation_tokens": 4}}, 9, 4),
        ({"prompt_tokens_details": {"cache_write_tokens": 4}}, None, 4),
        ({"input_tokens_details": {"cached_tokens": 9}}, 9, None),
        ({"prompt_cache_hit_tokens": 9}, 9, None),
        ({"prompt_tokens_details": {"cached_tokens": 0}, "prompt_cache_hit_tokens": 9}, 9, None),
        ({"claude_cache_creation_5_m_tokens": 4}, None, 4),
        (
            {"claude_cache_creation_5_m_tokens": 4, "claude_cache_creation_1_h_tokens": 3},
            None,
            7,
        ),
        (
            {
                "prompt_tokens_details": {"cached_creation_tokens": 0},
                "claude_cache_creation_1_h_tokens": 3,
            },
            None,
            3,
        ),
    ],
)
def test_usage_shows_reads_and_writes(chat, acechat_service, usage, read, write):
    acechat_service.script(ok("Hello", usage={"prompt_tokens": 20, "total_tokens": 25, **usage}))

    reply = chat("Hello")

    assert (reply.usage.cache_read_tokens, reply.usage.cache_write_tokens) == (read, write)


def test_the_sum_of_usages_has_the_sum_of_reads_and_writes():
    usage = Usage(
        prompt_tokens_details=PromptTokensDetails(cached_tokens=9),
        claude_cache_creation_5_m_tokens=4,
    )

    assert (usage + usage).cache_read_tokens == 18
    assert (usage + usage).cache_write_tokens == 8
