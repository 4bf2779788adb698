"""Take the token from a vault that changes it.

Shows: `api_token=` as a function, async or not; it is called before each request, and once more
after a 401.
"""

from __future__ import annotations

import asyncio
import os

from acechat import AsyncClient


async def read_token() -> str:
    """Return the current token; a real program asks its vault, and keeps the result for a while."""
    return os.environ["ACEDATACLOUD_API_TOKEN"]


async def main() -> None:
    async with AsyncClient(api_token=read_token) as client:
        print((await client.chat("Who may ask?")).text)


if __name__ == "__main__":
    asyncio.run(main())
