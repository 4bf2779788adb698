"""Decide about tool calls before they are executed (human in the loop).

Shows: `approve=`, which allows, changes or refuses a call; `ToolResult.refused`.
"""

from __future__ import annotations

import asyncio
from typing import Any

from acechat import AsyncClient


def delete(path: str) -> str:
    """Delete a file."""
    return f"deleted {path}"


async def ask(name: str, arguments: dict[str, Any]) -> bool | str:
    if arguments.get("path") == "/":
        return "never the root folder"
    print(f"{name}({arguments})? y")  # or ask: await asyncio.to_thread(input, ...)
    return True


async def main() -> None:
    async with AsyncClient() as client:
        print((await client.chat("I will ask you to tidy up.")).text)

        run = client.run("Tidy up.", tools=[delete], tool_choice="required", approve=ask)
        async for turn in run:
            for result in turn.results:
                print("refused:" if result.refused else "executed:", result.content)


if __name__ == "__main__":
    asyncio.run(main())
