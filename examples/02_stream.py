"""Print a response while it is generated.

Shows: `stream`, reasoning models, and the fields that are known at the end. A truncated stream
never looks complete: it raises `StreamTruncatedError`, with the partial response.
"""

from __future__ import annotations

import asyncio

from acechat import AsyncClient, StreamTruncatedError

MODEL = "claude-sonnet-4-20250514-thinking"


async def main() -> None:
    async with AsyncClient(model=MODEL) as client:
        try:
            async with client.stream("What is the sine of 30 degrees?") as stream:
                async for delta in stream:
                    if delta.reasoning_content:
                        print(f"[{delta.reasoning_content}]", end="", flush=True)
                    print(delta, end="", flush=True)
        except StreamTruncatedError as error:
            print(f"\ntruncated after {error.chunks} events; partial:", error.partial)
            return

    print()
    print("finished because of:", stream.finish_reason)
    print("tokens:", stream.usage.total_tokens if stream.usage else "unknown")


if __name__ == "__main__":
    asyncio.run(main())
