"""acechat, as its README shows it."""

from __future__ import annotations

from typing import Any

from acechat import AsyncClient, Client, image
from benchmarks.subjects import MESSAGE, First, Read


class Async:
    def __init__(self, root: str) -> None:
        self._client = AsyncClient("token", base_url=f"{root}/v1")

    async def chat(self, image_bytes: bytes | None = None) -> int:
        content = (MESSAGE,) if image_bytes is None else (MESSAGE, image(image_bytes))
        return len((await self._client.chat(*content)).text)

    async def send(self, messages: list[Any], tools: list[Any]) -> int:
        options: dict[str, Any] = {"tools": tools} if tools else {}
        return len((await self._client.chat(messages=messages, **options)).text)

    async def stream(self, first: First) -> Read:
        count = characters = 0
        async for delta in self._client.stream(MESSAGE):
            if text := delta.content:
                if not count:
                    first()
                count += 1
                characters += len(text)
        return count, characters

    async def close(self) -> None:
        await self._client.aclose()


class Blocking:
    def __init__(self, root: str) -> None:
        self._client = Client("token", base_url=f"{root}/v1")

    def chat(self) -> int:
        return len(self._client.chat(MESSAGE).text)

    def stream(self, first: First) -> Read:
        count = characters = 0
        for delta in self._client.stream(MESSAGE):
            if text := delta.content:
                if not count:
                    first()
                count += 1
                characters += len(text)
        return count, characters

    def close(self) -> None:
        self._client.close()
