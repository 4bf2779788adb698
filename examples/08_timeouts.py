"""Limit the waiting time.

Shows: a number limits the complete call, retries included; `Timeout` limits each phase of it.
Heartbeats of the service do not count as data, so a silent stream ends, too.
"""

from __future__ import annotations

import asyncio

from acechat import AsyncClient, RequestTimeoutError, Timeout

LIMITS = Timeout(total=60, connect=5, first_token=30, idle=10)


async def main() -> None:
    async with AsyncClient(timeout=LIMITS) as client:
        print((await client.chat("Hello")).text)

        hasty = client.with_options(timeout=Timeout(total=0.0001))
        try:
            await hasty.chat("Tell me all you know.")
        except RequestTimeoutError as error:
            print("too slow:", error)
            print("limit:", error.phase, "=", error.limit, "s")

        reply = await client.chat("Take your time.", timeout=120)
        print(reply.text, "after", round(reply.response.elapsed), "s")


if __name__ == "__main__":
    asyncio.run(main())
