"""mistralai, as its README shows it, with a pool that has no limit."""

from __future__ import annotations

import httpx2
from mistralai.client import Mistral

from benchmarks.subjects import MODEL, First, Read, messages

_LIMITS = httpx2.Limits(max_connections=None, max_keepalive_connections=None)


class Async:
    def __init__(self, root: str) -> None:
        self._http = httpx2.AsyncClient(limits=_LIMITS, timeout=600)
        self._client = Mistral(api_key="token", server_url=root, async_client=self._http)

    async def chat(self, image_bytes: bytes | None = None) -> int:
        completion = await self._client.chat.complete_async(
            model=MODEL, messages=messages(image_bytes)
        )
        return len(completion.choices[0].message.content)

    async def stream(self, first: First) -> Read:
        count = characters = 0
        async for event in await self._client.chat.stream_async(model=MODEL, messages=messages()):
            if event.data.choices and (text := event.data.choices[0].delta.content):
                if not count:
                    first()
                count += 1
                characters += len(text)
        return count, characters

    async def close(self) -> None:
        await self._http.aclose()


class Blocking:
    def __init__(self, root: str) -> None:
        self._client = Mistral(api_key="token", server_url=root)

    def chat(self) -> int:
        completion = self._client.chat.complete(model=MODEL, messages=messages())
        return len(completion.choices[0].message.content)

    def stream(self, first: First) -> Read:
        count = characters = 0
        for event in self._client.chat.stream(model=MODEL, messages=messages()):
            if event.data.choices and (text := event.data.choices[0].delta.content):
                if not count:
                    first()
                count += 1
                characters += len(text)
        return count, characters

    def close(self) -> None:
        self._client.__exit__(None, None, None)
