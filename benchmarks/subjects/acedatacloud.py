"""The vendor's own client, as its README shows it; completions are dicts."""

from __future__ import annotations

from acedatacloud import AceDataCloud, AsyncAceDataCloud

from benchmarks.subjects import MODEL, First, Read, messages


class Async:
    def __init__(self, root: str) -> None:
        self._client = AsyncAceDataCloud(api_token="token", base_url=root)

    async def chat(self, image_bytes: bytes | None = None) -> int:
        completion = await self._client.openai.chat.completions.create(
            model=MODEL, messages=messages(image_bytes)
        )
        return len(completion["choices"][0]["message"]["content"])

    async def stream(self, first: First) -> Read:
        count = characters = 0
        async for chunk in await self._client.openai.chat.completions.create(
            model=MODEL, messages=messages(), stream=True
        ):
            if (choices := chunk["choices"]) and (text := choices[0]["delta"].get("content")):
                if not count:
                    first()
                count += 1
                characters += len(text)
        return count, characters

    async def close(self) -> None:
        await self._client.__aexit__(None, None, None)


class Blocking:
    def __init__(self, root: str) -> None:
        self._client = AceDataCloud(api_token="token", base_url=root)

    def chat(self) -> int:
        completion = self._client.openai.chat.completions.create(model=MODEL, messages=messages())
        return len(completion["choices"][0]["message"]["content"])

    def stream(self, first: First) -> Read:
        count = characters = 0
        for chunk in self._client.openai.chat.completions.create(
            model=MODEL, messages=messages(), stream=True
        ):
            if (choices := chunk["choices"]) and (text := choices[0]["delta"].get("content")):
                if not count:
                    first()
                count += 1
                characters += len(text)
        return count, characters

    def close(self) -> None:
        self._client.__exit__(None, None, None)
