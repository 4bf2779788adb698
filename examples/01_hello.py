"""Make one call and wait for the complete response.

Shows: `AsyncClient`, `chat`, and the fields of a completion. Run it with ACEDATACLOUD_API_TOKEN
set, or against `acechat emulate`.
"""

from __future__ import annotations

import asyncio

from acechat import AsyncClient


async def main() -> None:
    async with AsyncClient() as client:
        reply = await client.chat("Hello", max_tokens=100)

    print(reply.text)
    print("model:", reply.model)
    print("finished because of:", reply.finish_reason)
    print("tokens:", reply.usage.total_tokens if reply.usage else "unknown")
    print("for support:", reply.trace_id)


if __name__ == "__main__":
    asyncio.run(main())
