"""Hold a conversation of several turns.

Shows: `conversation`, which keeps the history; `fork` for a second branch; `undo` to remove the
last turn; `save` and `load`.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from acechat import AsyncClient


async def main() -> None:
    file = Path(tempfile.mkdtemp()) / "conversation.json"
    async with AsyncClient() as client:
        conversation = client.conversation(system="Answer in one line.")
        await conversation.send("My name is Ada.")
        print((await conversation.send("What is my name?")).text)

        branch = conversation.fork()
        await branch.send("And what rhymes with it?")
        branch.undo()
        print("equal again:", branch == conversation)

        conversation.save(file)
        again = client.conversation().load(file)
        async for delta in again.stream("Say it backwards."):
            print(delta, end="", flush=True)
        print()
        print("messages:", len(again.messages))


if __name__ == "__main__":
    asyncio.run(main())
