"""The tools of MCP servers, for `AsyncClient.run` (extra ``mcp``).

>>> async with mcp.connect("python", "server.py") as tools:
...     await client.run("Umbrella in Paris?", tools=[*tools, other_tool])

Of what a tool returns, the model gets texts as they are, pictures as pictures, resources as their
text, and of everything else a line that says what it is.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, ExitStack, suppress
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from types import TracebackType
from typing import TYPE_CHECKING, Any

import msgspec

from acechat import ConfigurationError, ConnectError, ImagePart, TextPart, Tool
from acechat.types import ContentPart, ImageURL

if TYPE_CHECKING:  # the extra
    from mcp import Client
    from mcp.types import CallToolResult, ContentBlock

__all__ = ["Connection", "MCPToolError", "connect"]

_FORBIDDEN = re.compile(r"[^a-zA-Z0-9_-]")
_NAME_LENGTH = 64
_READ_TIMEOUT = 300.0
"""Seconds; mcp's own default, because a server may hold a response open while a tool works."""


class MCPToolError(Exception):
    """A tool of an MCP server failed; the text is the server's."""


def connect(
    server: str,
    /,
    *arguments: str,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    headers: Mapping[str, str] | None = None,
    prefix: str = "",
) -> Connection:
    """Connect to an MCP server, as long as a ``with`` or an ``async with`` block lasts.

    Args:
        server: A command, which is started and spoken with over stdio; or the URL of a server,
            ``http://`` or ``https://``, which is spoken with over streamable HTTP.
        *arguments: Those of the command.
        env: Variables for the command, beside the few that mcp passes on.
        cwd: Where the command runs; None for here.
        headers: For a URL, such as ``{"Authorization": "Bearer …"}``.
        prefix: What the names of the tools begin with, if two servers have tools of one name.

    Raises:
        ConfigurationError: The extra is not installed, or an argument does not go with the server.

    Example:
        >>> async with mcp.connect("https://example.com/mcp", prefix="web_") as tools:
        ...     await client.run("What is new?", tools=tools)
    """
    if find_spec("mcp") is None:
        raise ConfigurationError("acechat.mcp needs the package mcp: pip install 'acechat[mcp]'")
    if server.startswith(("http://", "https://")):
        if arguments or env or cwd:
            raise ConfigurationError("a URL takes no arguments, env= or cwd=")
        return Connection(server, partial(_at_url, server, dict(headers or {})), prefix)
    if headers:
        raise ConfigurationError("headers= are for a URL; a command takes env=")
    return Connection(server, partial(_of_command, server, arguments, env, cwd), prefix)


def _import_the_rest() -> None:
    """Import what mcp itself imports at a tool's first call, when everybody would wait for it."""
    with suppress(ImportError):  # a version that does without
        import_module("jsonschema")


async def _at_url(url: str, headers: dict[str, str], stack: AsyncExitStack) -> Client:
    import httpx2  # what mcp itself uses
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client

    _import_the_rest()
    timeout = httpx2.Timeout(30.0, read=_READ_TIMEOUT)
    session = await stack.enter_async_context(httpx2.AsyncClient(headers=headers, timeout=timeout))
    return Client(streamable_http_client(url, http_client=session))


async def _of_command(
    command: str,
    arguments: tuple[str, ...],
    env: Mapping[str, str] | None,
    cwd: str | None,
    _: AsyncExitStack,
) -> Client:
    from mcp import Client, StdioServerParameters
    from mcp.client.stdio import stdio_client

    _import_the_rest()
    server = StdioServerParameters(
        command=command, args=list(arguments), env=dict(env) if env else None, cwd=cwd
    )
    return Client(stdio_client(server))  # Client takes the parameters themselves from mcp 2.1 on


class Connection:
    """A connection to an MCP server; `connect` makes it, and the block gets the server's tools."""

    def __init__(
        self, server: str, make: Callable[[AsyncExitStack], Awaitable[Client]], prefix: str
    ) -> None:
        self._server = server
        self._make = make
        self._prefix = prefix
        self._stack = AsyncExitStack()
        self._portal = ExitStack()

    async def __aenter__(self) -> list[Tool]:
        async with AsyncExitStack() as stack:
            try:
                client = await stack.enter_async_context(await self._make(stack))
                tools = await self._tools_of(client)
            except Exception as error:  # noqa: BLE001 - mcp raises groups of anything
                reason = _innermost(error)
            else:
                self._stack = stack.pop_all()
                return tools
        raise ConnectError(f"no MCP server at {self._server!r}: {reason}", final=True)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Told of the block's error, mcp's task groups would raise a group that holds it.
        await self._stack.aclose()

    def __enter__(self) -> list[Tool]:
        from anyio.from_thread import start_blocking_portal

        with ExitStack() as stack:
            portal = stack.enter_context(start_blocking_portal())
            tools = stack.enter_context(portal.wrap_async_context_manager(self))
            self._portal = stack.pop_all()
        return [
            msgspec.structs.replace(tool, function=_waiting(portal.call, tool.function))
            for tool in tools
        ]

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._portal.close()

    async def _tools_of(self, client: Client) -> list[Tool]:
        tools: list[Tool] = []
        cursor: str | None = None
        while True:
            page = await client.list_tools(cursor=cursor)
            tools += [
                Tool(
                    name=_FORBIDDEN.sub("_", f"{self._prefix}{one.name}")[:_NAME_LENGTH],
                    description=one.description or one.title or "",
                    parameters=one.input_schema,
                    function=partial(_call, client, one.name),
                )
                for one in page.tools
            ]
            cursor = page.next_cursor
            if not cursor:
                return tools


def _waiting(call: Callable[..., Any], function: Callable[..., Any]) -> Callable[..., Any]:
    """Return *function* for callers in other threads than the connection's."""

    def wait(**arguments: Any) -> Any:
        return call(partial(function, **arguments))

    return wait


async def _call(client: Client, name: str, /, **arguments: Any) -> str | list[ContentPart] | Any:
    result: CallToolResult = await client.call_tool(name, arguments)
    parts = [_as_part(block) for block in result.content]
    if result.is_error:
        raise MCPToolError("\n".join(part.text for part in parts if isinstance(part, TextPart)))
    if not parts:
        return "" if result.structured_content is None else result.structured_content
    return parts


def _as_part(block: ContentBlock) -> ContentPart:
    if block.type == "text":
        return TextPart(block.text)
    if block.type == "image":
        return ImagePart(ImageURL(f"data:{block.mime_type};base64,{block.data}"))
    if block.type == "audio":
        return TextPart(f"(sound, {block.mime_type}, which cannot be passed on)")
    if block.type == "resource_link":
        return TextPart(f"{block.name}: {block.uri}")
    resource = block.resource
    text: str | None = getattr(resource, "text", None)
    kind = resource.mime_type or "bytes"
    return TextPart(
        f"({kind} at {resource.uri}, which cannot be passed on)" if text is None else text
    )


def _innermost(error: BaseException) -> str:
    """Say what is wrong: mcp raises groups of groups of one."""
    inner: Any = getattr(error, "exceptions", ())
    return _innermost(inner[0]) if inner else f"{type(error).__name__}: {error}"
