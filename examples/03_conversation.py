"""Say several things, one after the other.

What you learn: `conversation`, which keeps the history; `fork` to try two ways on; `undo` to take a
turn back; `save` and `load`.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from acechat import AsyncClient


async def main() -> None:
    file = Path(tempfile.mkdtemp()) / "talk.json"
    async with AsyncClient() as client:
        talk = client.conversation(system="Answer in one line.")
        await talk.send("My name is Ada.")
        print((await talk.send("What is my name?")).text)

        other = talk.fork()
        await other.send("And what rhymes with it?")
        other.undo()
        print("both know the same again:", other == talk)

        talk.save(file)
        again = client.conversation().load(file)
        async for delta in again.stream("Say it backwards."):
            print(delta, end="", flush=True)
        print()
        print("messages:", len(again.messages))


if __name__ == "__main__":
    asyncio.run(main())
