"""Let the model call the tools of an MCP server.

Shows: `mcp.connect`, of `acechat[mcp]`, starts a server, and its block gets the server's tools,
which can be combined with plain functions. The server is this file, started with an argument; yours
may be any command, or a URL.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Literal

from acechat import AsyncClient, mcp


def serve() -> None:
    from mcp.server import MCPServer

    server = MCPServer("weather", log_level="WARNING")

    @server.tool()
    def forecast(city: Literal["Paris", "Rome"]) -> str:
        """Forecast the weather."""
        return f"rain in {city}"

    server.run()


async def main() -> None:
    async with AsyncClient() as client, mcp.connect(sys.executable, __file__, "serve") as tools:
        result = await client.run("Umbrella in Paris?", tools=tools, tool_choice="required")
        print([one.content for turn in result for one in turn.results], result.text)
        result = await client.run("Thank you!", messages=result.messages, tools=tools)
        print(result.text)


if __name__ == "__main__":
    serve() if sys.argv[1:] else asyncio.run(main())
