"""Let the model call your functions.

Shows: `run` calls plain functions until the model gives its final response; `run_stream` yields
the events meanwhile; types and a docstring define a tool.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

from msgspec import Meta

from acechat import AsyncClient, TextDelta, ToolStarted


async def weather(
    city: str, days: Annotated[int, Meta(ge=1, le=7)] = 1, unit: Literal["C", "F"] = "C"
) -> str:
    """Forecast the weather, from today on."""
    return f"rain in {city} for {days} days, 12 °{unit}"


async def main() -> None:
    async with AsyncClient() as client:
        result = await client.run("Umbrella in Paris?", tools=[weather], tool_choice="required")
        print(result.text, "after", len(result.turns), "turns")

        async with client.run_stream("And in Rome?", tools=[weather]) as stream:
            async for event in stream:
                match event:
                    case ToolStarted(call):
                        print("calling", call.function.name)
                    case TextDelta(text):
                        print(text, end="", flush=True)
        print()


if __name__ == "__main__":
    asyncio.run(main())
