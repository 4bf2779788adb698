"""aiohttp and msgspec by hand, line by line, into acechat's structs."""

from __future__ import annotations

from typing import Any

import aiohttp
import msgspec

from acechat.types import ChatCompletion, ChatCompletionChunk
from benchmarks.subjects import MODEL, First, Read, messages

_chunk = msgspec.json.Decoder(ChatCompletionChunk).decode
_completion = msgspec.json.Decoder(ChatCompletion).decode
_encode = msgspec.json.Encoder().encode


class Async:
    def __init__(self, root: str) -> None:
        self._url = f"{root}/v1/chat/completions"
        self._session = aiohttp.ClientSession(
            headers={"Authorization": "Bearer token", "Content-Type": "application/json"},
            connector=aiohttp.TCPConnector(limit=0),
        )

    async def chat(self, image_bytes: bytes | None = None) -> int:
        return await self._send({"messages": messages(image_bytes)})

    async def send(self, messages: list[Any], tools: list[Any]) -> int:
        return await self._send({"messages": messages} | ({"tools": tools} if tools else {}))

    async def _send(self, fields: dict[str, Any]) -> int:
        body = _encode({"model": MODEL} | fields)
        async with self._session.post(self._url, data=body, raise_for_status=True) as response:
            return len(_completion(await response.read()).choices[0].message.content or "")

    async def stream(self, first: First) -> Read:
        count = characters = 0
        body = _encode({"model": MODEL, "messages": messages(), "stream": True})
        async with self._session.post(self._url, data=body, raise_for_status=True) as response:
            async for line in response.content:
                if not line.startswith(b"data: "):
                    continue
                if line == b"data: [DONE]\n":
                    break
                choices = _chunk(line[6:]).choices
                if choices and (text := choices[0].delta.content):
                    if not count:
                        first()
                    count += 1
                    characters += len(text)
        return count, characters

    async def close(self) -> None:
        await self._session.close()
