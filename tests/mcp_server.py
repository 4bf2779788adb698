"""A server of the official package, which the tests of `acechat.mcp` start."""

from __future__ import annotations

import asyncio
import os
import sys

from mcp.server import MCPServer
from mcp.types import (
    AudioContent,
    BlobResourceContents,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
    TextResourceContents,
)

server = MCPServer("weather", log_level="CRITICAL")


@server.tool()
def forecast(city: str, days: int = 1) -> str:
    """Forecast the weather."""
    if city == "Atlantis":
        raise LookupError("no such city")
    return f"rain in {city} for {days}"


@server.tool(name="show.everything", structured_output=False)
def everything() -> list[object]:
    """Return something of every kind."""
    return [
        TextContent(text="Look:"),
        ImageContent(data="iVBORw0KGgo=", mime_type="image/png"),
        AudioContent(data="UklGRg==", mime_type="audio/wav"),
        EmbeddedResource(resource=TextResourceContents(uri="file:///a", text="inside")),
        EmbeddedResource(
            resource=BlobResourceContents(uri="file:///b", blob="AA==", mime_type="font/woff")
        ),
        ResourceLink(uri="file:///c", name="more"),
    ]


@server.tool()
def setting(name: str) -> str:
    """Return a variable of the environment."""
    return os.environ.get(name, "unset")


@server.tool()
async def sleep() -> str:
    """Take a minute."""
    await asyncio.sleep(60)
    return "late"


if __name__ == "__main__":
    if len(sys.argv) > 1:
        server.run("streamable-http", port=int(sys.argv[1]))
    else:
        server.run()
