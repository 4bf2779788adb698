"""anthropic-sdk-python with its own format, as its README shows (``stream=True``, no helpers)."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from anthropic import Anthropic, AsyncAnthropic

from benchmarks.subjects import MESSAGE, MODEL, First, Read


def _request(image_bytes: bytes | None = None) -> dict[str, Any]:
    content: Any = MESSAGE
    if image_bytes is not None:
        data = b64encode(image_bytes).decode()
        source = {"type": "base64", "media_type": "image/png", "data": data}
        content = [{"type": "text", "text": MESSAGE}, {"type": "image", "source": source}]
    return {
        "model": MODEL,
        "max_tokens": 1024,
        "messages": [{"role": "user", "content": content}],
    }


class Async:
    def __init__(self, root: str) -> None:
        self._client = AsyncAnthropic(api_key="token", base_url=root)

    async def chat(self, image_bytes: bytes | None = None) -> int:
        return len((await self._client.messages.create(**_request(image_bytes))).content[0].text)

    async def stream(self, first: First) -> Read:
        count = characters = 0
        async for event in await self._client.messages.create(**_request(), stream=True):
            if event.type == "content_block_delta" and (text := event.delta.text):
                if not count:
                    first()
                count += 1
                characters += len(text)
        return count, characters

    async def close(self) -> None:
        await self._client.close()


class Blocking:
    def __init__(self, root: str) -> None:
        self._client = Anthropic(api_key="token", base_url=root)

    def chat(self) -> int:
        return len(self._client.messages.create(**_request()).content[0].text)

    def stream(self, first: First) -> Read:
        count = characters = 0
        for event in self._client.messages.create(**_request(), stream=True):
            if event.type == "content_block_delta" and (text := event.delta.text):
                if not count:
                    first()
                count += 1
                characters += len(text)
        return count, characters

    def close(self) -> None:
        self._client.close()
