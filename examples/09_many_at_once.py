"""Make many calls at the same time.

Shows: one client for all calls; `max_concurrency` limits the requests in flight, the others wait
for a slot; one failure does not stop the others.
"""

from __future__ import annotations

import asyncio

from acechat import AceChatError, AsyncClient


async def main() -> None:
    async with AsyncClient(max_concurrency=20) as client:

        async def square(number: int) -> str:
            try:
                reply = await client.chat(f"What is {number}²?", max_tokens=50)
            except AceChatError as error:
                return f"failed: {error}"
            return reply.text

        for first in asyncio.as_completed([square(1), square(2), square(3)]):
            print(await first)

        replies = await asyncio.gather(*[square(number) for number in range(100)])

    print(len(replies), "replies; the last one:", replies[-1])


if __name__ == "__main__":
    asyncio.run(main())
