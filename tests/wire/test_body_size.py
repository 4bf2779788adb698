"""Requests that are larger than the service accepts."""

from __future__ import annotations

import asyncio

import pytest

from acechat import AsyncClient, Client, ConfigurationError, UserMessage, image
from acechat._wire.encode import encode

MIB = 2**20
PNG = b"\x89PNG\r\n\x1a\n"


def picture(mib):
    return image(PNG + bytes(int(mib * 3 / 4 * MIB)))


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        (
            {"messages": [UserMessage(content=[picture(20), picture(13)])]},
            (
                "the request has 33.0 MiB, more than the 32.0 MiB that the service accepts: "
                "messages[0].content[0] 20.0 MiB, messages[0].content[1] 13.0 MiB, model 0.0 MiB"
            ),
        ),
        (
            {"messages": [{"role": "user", "content": "x" * 33 * MIB}]},
            "messages[0] 33.0 MiB, model",
        ),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "text", "text": "x" * 20 * MIB}]},
                    {"role": "assistant", "content": "y" * 13 * MIB},
                ],
                "tools": ["t" * MIB],
            },
            "messages[0].content[0] 20.0 MiB, messages[1] 13.0 MiB, tools 1.0 MiB, model 0.0 MiB",
        ),
        (
            {"messages": [UserMessage(content=[picture(5)] * 9)]},
            "messages[0].content[4] 5.0 MiB, the rest 20.0 MiB",
        ),
        ({"messages": "x" * 33 * MIB}, "messages 33.0 MiB"),
    ],
)
def test_the_error_names_the_size_of_each_part(fields, named):
    with pytest.raises(ConfigurationError) as caught:
        encode({"model": "claude", **fields})

    assert named in str(caught.value)


def test_a_request_of_32_mib_is_encoded():
    around = len(encode({"messages": [{"role": "user", "content": ""}]}))
    text = "x" * (32 * MIB - around)

    assert len(encode({"messages": [{"role": "user", "content": text}]})) == 32 * MIB
    with pytest.raises(ConfigurationError, match="messages"):
        encode({"messages": [{"role": "user", "content": text + "x"}]})


@pytest.mark.parametrize("mode", ["async", "blocking"])
def test_nothing_is_sent(acechat_service, mode):
    settings = {"base_url": acechat_service.url, "api_token": acechat_service.token}
    part = picture(33)

    async def asynchronous():
        async with AsyncClient(**settings) as client:
            await client.chat("See", part)

    def send():
        if mode == "async":
            asyncio.run(asynchronous())
        else:
            with Client(**settings) as client:
                client.chat("See", part)

    with pytest.raises(ConfigurationError, match=r"content\[1] 33\.0 MiB"):
        send()

    assert not acechat_service.requests
