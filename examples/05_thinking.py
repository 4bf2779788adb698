"""Print the reasoning of a model before its text.

Shows: models with the suffix "-thinking" return reasoning, separate from the text; `events`
yields one struct per event, for `match`.
"""

from __future__ import annotations

import asyncio

from acechat import AsyncClient, Finished, ReasoningDelta, TextDelta

MODEL = "claude-sonnet-4-20250514-thinking"


async def main() -> None:
    async with AsyncClient() as client:
        reply = await client.chat("What is 2 + 2?", model=MODEL)
        print("reasoning:", reply.reasoning)
        print("text:", reply.text)

        async with client.stream("And 3 + 3?", model=MODEL) as stream:
            async for event in stream.events():
                match event:
                    case ReasoningDelta(text):
                        print(f"[{text}]", end="", flush=True)
                    case TextDelta(text):
                        print(text, end="", flush=True)
                    case Finished(reason, usage):
                        print("\nfinished because of:", reason)
                        details = usage and usage.completion_tokens_details
                        print("reasoning tokens:", details and details.reasoning_tokens)


if __name__ == "__main__":
    asyncio.run(main())
