"""Watch the model think before it answers.

What you learn: models whose name ends in "-thinking" tell their thoughts, beside the answer and
never in it; `events` gives you one struct per thing that happens, made for `match`.
"""

from __future__ import annotations

import asyncio

from acechat import AsyncClient, Finished, ReasoningDelta, TextDelta

MODEL = "claude-sonnet-4-20250514-thinking"


async def main() -> None:
    async with AsyncClient() as client:
        reply = await client.chat("What is 2 + 2?", model=MODEL)
        print("thoughts:", reply.reasoning)
        print("answer:", reply.text)

        async with client.stream("And 3 + 3?", model=MODEL) as stream:
            async for event in stream.events():
                match event:
                    case ReasoningDelta(thought):
                        print(f"[{thought}]", end="", flush=True)
                    case TextDelta(text):
                        print(text, end="", flush=True)
                    case Finished(reason, usage):
                        print("\nfinished because of:", reason)
                        details = usage and usage.completion_tokens_details
                        print("tokens of thought:", details and details.reasoning_tokens)


if __name__ == "__main__":
    asyncio.run(main())
