"""Ask about an image.

Shows: `image`, from a file, from bytes, or from a URL that the service downloads. Data that is not
an image is rejected before anything is sent.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from acechat import AsyncClient, ConfigurationError, image

DOT = Path(__file__).with_name("dot.png")


async def main() -> None:
    async with AsyncClient() as client:
        reply = await client.chat("What is in this image?", image(DOT))
        print(reply.text)

        reply = await client.chat(
            "Are these two the same?",
            image(DOT.read_bytes()),
            image("https://cdn.acedata.cloud/ueugot.png"),
        )
        print(reply.text)

    try:
        image(__file__)
    except ConfigurationError as error:
        print("rejected:", str(error).removeprefix(repr(__file__)))


if __name__ == "__main__":
    asyncio.run(main())
