"""acechat with its features, and the same work by hand on acechat's plain calls."""

from __future__ import annotations

import msgspec

from acechat import AsyncClient, Budget, RateLimit, Tool, tool
from benchmarks.subjects import MESSAGE, First, Read


class Answer(msgspec.Struct):
    text: str


class Question(msgspec.Struct):
    city: str
    days: int = 1


async def weather(city: str, days: int = 1) -> str:
    """Forecast the weather."""
    return f"rain in {city} for {days} days"


_DESCRIPTION = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Forecast the weather.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer", "default": 1}},
            "required": ["city"],
        },
    },
}


class _Calls:
    def __init__(self, root: str) -> None:
        self._client = self._make(f"{root}/v1")

    def _make(self, url: str) -> AsyncClient:
        return AsyncClient("token", base_url=url)

    async def stream(self, first: First) -> Read:
        raise NotImplementedError

    async def close(self) -> None:
        await self._client.aclose()


class Watched(_Calls):
    """Calls with an observer, a rate limit and a budget, none of which ever delays or refuses."""

    def _make(self, url: str) -> AsyncClient:
        return AsyncClient(
            "token",
            base_url=url,
            observers=[lambda _: None],
            rate_limit=RateLimit(requests_per_minute=10**9, tokens_per_minute=10**12),
            budget=Budget(tokens=10**12),
        )

    async def chat(self, image_bytes: bytes | None = None) -> int:
        assert image_bytes is None
        return len((await self._client.chat(MESSAGE)).text)


class Typed(_Calls):
    """Calls whose response is decoded to a struct."""

    async def chat(self, image_bytes: bytes | None = None) -> int:
        assert image_bytes is None
        output = (await self._client.chat(MESSAGE, output_type=Answer)).output
        assert output is not None
        return len(output.text)


class Run(_Calls):
    """Runs of two turns with one tool."""

    tools: tuple[Tool, ...] = (tool(weather),)

    async def chat(self, image_bytes: bytes | None = None) -> int:
        assert image_bytes is None
        return len((await self._client.run(MESSAGE, tools=self.tools)).text)


class ByHand(_Calls):
    """The loop of `Run`, as one would write it for this tool alone."""

    async def chat(self, image_bytes: bytes | None = None) -> int:
        assert image_bytes is None
        messages: list[object] = [{"role": "user", "content": MESSAGE}]
        while True:
            reply = await self._client.chat(messages=messages, tools=[_DESCRIPTION])
            messages.append(reply.message)
            if not reply.tool_calls:
                return len(reply.text)
            for call in reply.tool_calls:
                asked = msgspec.json.decode(call.function.arguments, type=Question)
                result = await weather(asked.city, asked.days)
                messages.append({"role": "tool", "content": result, "tool_call_id": call.id})
