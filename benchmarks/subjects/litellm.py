"""litellm, as its documentation shows it for servers with OpenAI's format."""

from __future__ import annotations

import litellm

from benchmarks.subjects import MODEL, First, Read, messages


class Async:
    def __init__(self, root: str) -> None:
        self._to = {"model": f"openai/{MODEL}", "api_base": f"{root}/v1", "api_key": "token"}

    async def chat(self, image_bytes: bytes | None = None) -> int:
        completion = await litellm.acompletion(messages=messages(image_bytes), **self._to)
        return len(completion.choices[0].message.content)

    async def stream(self, first: First) -> Read:
        count = characters = 0
        async for chunk in await litellm.acompletion(messages=messages(), stream=True, **self._to):
            if chunk.choices and (text := chunk.choices[0].delta.content):
                if not count:
                    first()
                count += 1
                characters += len(text)
        return count, characters

    async def close(self) -> None:
        """Its connections are internal."""


class Blocking:
    def __init__(self, root: str) -> None:
        self._to = {"model": f"openai/{MODEL}", "api_base": f"{root}/v1", "api_key": "token"}

    def chat(self) -> int:
        completion = litellm.completion(messages=messages(), **self._to)
        return len(completion.choices[0].message.content)

    def stream(self, first: First) -> Read:
        count = characters = 0
        for chunk in litellm.completion(messages=messages(), stream=True, **self._to):
            if chunk.choices and (text := chunk.choices[0].delta.content):
                if not count:
                    first()
                count += 1
                characters += len(text)
        return count, characters

    def close(self) -> None:
        """Its connections are internal."""
