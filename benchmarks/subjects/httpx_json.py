"""httpx and json by hand."""

from __future__ import annotations

import json
from typing import Any

import httpx

from benchmarks.subjects import MODEL, First, Read, messages

HEADERS = {"Authorization": "Bearer token"}


def _request(image_bytes: bytes | None = None, **more: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": messages(image_bytes), **more}


class Async:
    def __init__(self, root: str) -> None:
        self._url = f"{root}/v1/chat/completions"
        self._client = self.make()

    @staticmethod
    def make() -> httpx.AsyncClient:
        return httpx.AsyncClient(headers=HEADERS, timeout=600)

    async def chat(self, image_bytes: bytes | None = None) -> int:
        completion = await self._client.post(self._url, json=_request(image_bytes))
        completion.raise_for_status()
        return len(completion.json()["choices"][0]["message"]["content"])

    async def stream(self, first: First) -> Read:
        count = characters = 0
        async with self._client.stream("POST", self._url, json=_request(stream=True)) as response:
            response.raise_for_status()
            async for line in response.aiter_lines():
                if not line.startswith("data: "):
                    continue
                if line == "data: [DONE]":
                    break
                choices = json.loads(line[6:])["choices"]
                if choices and (text := choices[0]["delta"].get("content")):
                    if not count:
                        first()
                    count += 1
                    characters += len(text)
        return count, characters

    async def close(self) -> None:
        await self._client.aclose()


class Blocking:
    def __init__(self, root: str) -> None:
        self._url = f"{root}/v1/chat/completions"
        self._client = httpx.Client(headers=HEADERS, timeout=600)

    def chat(self) -> int:
        completion = self._client.post(self._url, json=_request())
        completion.raise_for_status()
        return len(completion.json()["choices"][0]["message"]["content"])

    def stream(self, first: First) -> Read:
        count = characters = 0
        with self._client.stream("POST", self._url, json=_request(stream=True)) as response:
            response.raise_for_status()
            for line in response.iter_lines():
                if not line.startswith("data: "):
                    continue
                if line == "data: [DONE]":
                    break
                choices = json.loads(line[6:])["choices"]
                if choices and (text := choices[0]["delta"].get("content")):
                    if not count:
                        first()
                    count += 1
                    characters += len(text)
        return count, characters

    def close(self) -> None:
        self._client.close()
