"""aiohttp and json by hand, line by line, with a pool that has no limit."""

from __future__ import annotations

import json

import aiohttp

from benchmarks.subjects import MODEL, First, Read, messages


class Async:
    def __init__(self, root: str) -> None:
        self._url = f"{root}/v1/chat/completions"
        self._session = aiohttp.ClientSession(
            headers={"Authorization": "Bearer token"}, connector=aiohttp.TCPConnector(limit=0)
        )

    async def chat(self, image_bytes: bytes | None = None) -> int:
        body = {"model": MODEL, "messages": messages(image_bytes)}
        async with self._session.post(self._url, json=body, raise_for_status=True) as response:
            return len((await response.json())["choices"][0]["message"]["content"])

    async def stream(self, first: First) -> Read:
        count = characters = 0
        body = {"model": MODEL, "messages": messages(), "stream": True}
        async with self._session.post(self._url, json=body, raise_for_status=True) as response:
            async for line in response.content:
                if not line.startswith(b"data: "):
                    continue
                if line == b"data: [DONE]\n":
                    break
                choices = json.loads(line[6:])["choices"]
                if choices and (text := choices[0]["delta"].get("content")):
                    if not count:
                        first()
                    count += 1
                    characters += len(text)
        return count, characters

    async def close(self) -> None:
        await self._session.close()
