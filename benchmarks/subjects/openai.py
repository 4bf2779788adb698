"""openai-python, as its README shows it."""

from __future__ import annotations

from typing import Any

from openai import AsyncOpenAI, OpenAI

from benchmarks.subjects import MODEL, First, Read, messages


class Async:
    def __init__(self, root: str) -> None:
        self._client = self.make(root)

    @staticmethod
    def make(root: str) -> AsyncOpenAI:
        return AsyncOpenAI(api_key="token", base_url=f"{root}/v1")

    async def chat(self, image_bytes: bytes | None = None) -> int:
        completion = await self._client.chat.completions.create(
            model=MODEL, messages=messages(image_bytes)
        )
        return len(completion.choices[0].message.content)

    async def send(self, messages: list[Any], tools: list[Any]) -> int:
        options: dict[str, Any] = {"tools": tools} if tools else {}
        completion = await self._client.chat.completions.create(
            model=MODEL, messages=messages, **options
        )
        return len(completion.choices[0].message.content)

    async def stream(self, first: First) -> Read:
        count = characters = 0
        async for chunk in await self._client.chat.completions.create(
            model=MODEL, messages=messages(), stream=True
        ):
            if chunk.choices and (text := chunk.choices[0].delta.content):
                if not count:
                    first()
                count += 1
                characters += len(text)
        return count, characters

    async def close(self) -> None:
        await self._client.close()


class Blocking:
    def __init__(self, root: str) -> None:
        self._client = OpenAI(api_key="token", base_url=f"{root}/v1")

    def chat(self) -> int:
        completion = self._client.chat.completions.create(model=MODEL, messages=messages())
        return len(completion.choices[0].message.content)

    def stream(self, first: First) -> Read:
        count = characters = 0
        for chunk in self._client.chat.completions.create(
            model=MODEL, messages=messages(), stream=True
        ):
            if chunk.choices and (text := chunk.choices[0].delta.content):
                if not count:
                    first()
                count += 1
                characters += len(text)
        return count, characters

    def close(self) -> None:
        self._client.close()
