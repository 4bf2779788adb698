"""The tools of MCP servers, for `AsyncClient.run` (extra ``mcp``).

>>> async with mcp.connect("python", "server.py") as tools:
...     await client.run("Umbrella in Paris?", tools=[*tools, other_tool])

The model receives the texts, images, text resources and structured content of a result. Other
content, such as audio, becomes a line of text with its type.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, suppress
from functools import partial
from importlib.util import find_spec
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

import msgspec

from acechat import (
    AceChatError,
    ConfigurationError,
    ConnectError,
    ProtocolError,
    TextPart,
    Tool,
    TransportError,
)
from acechat._sync.loop_thread import LoopThread
from acechat.mcp.owner import Owner
from acechat.mcp.server import Server
from acechat.mcp.tools import Parameters, parts_of, unique_names
from acechat.mcp.transport import repairing
from acechat.types import ContentPart

if TYPE_CHECKING:  # the extra
    from mcp import Client
    from mcp.types import Tool as ListedTool

__all__ = ["Connection", "MCPToolError", "connect"]

_READ_TIMEOUT = 300.0
"""Seconds between two reads; mcp's default, because a tool may run while the response is open."""

_MAX_PAGES = 100
_MAX_TOOLS = 1000
_MAX_BYTES = 16 * 2**20
"""Limits of the list of tools of a server; bytes are those of descriptions and schemas."""


class MCPToolError(AceChatError):
    """A tool of an MCP server failed; the message is that of the server."""


def connect(
    server: str,
    /,
    *arguments: str,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    headers: Mapping[str, str] | None = None,
    prefix: str = "",
    timeout: float | None = 30.0,
) -> Connection:
    """Connect to an MCP server for the duration of a ``with`` or an ``async with`` block.

    Connections may be closed in any order, and by other tasks than those that opened them.

    Args:
        server: A command to start, with which to communicate over stdio; or the URL of a server
            (``http://`` or ``https://``), with which to communicate over streamable HTTP.
        *arguments: Arguments of the command.
        env: Environment variables of the command, in addition to the few that mcp passes on.
        cwd: Working directory of the command; None for the current one.
        headers: HTTP headers for a URL, such as ``{"Authorization": "Bearer …"}``.
        prefix: Prefix of the tool names, for servers whose tools have equal names.
        timeout: Seconds for connecting and listing the tools, greater than 0; None for no limit.
            *tool_timeout* of `AsyncClient.run` limits the calls.

    Returns:
        A context manager whose value is the list of the server's tools.

    Raises:
        ConfigurationError: The extra is not installed, or an argument does not apply to *server*.
        ConnectError: Raised by the block: the server cannot be reached or its tools not listed.

    Example:
        >>> async with mcp.connect("https://example.com/mcp", prefix="web_") as tools:
        ...     await client.run("What is new?", tools=tools)
    """
    if find_spec("mcp") is None:
        raise ConfigurationError("acechat.mcp needs the package mcp: pip install 'acechat[mcp]'")
    if timeout is not None and not timeout > 0:
        raise ConfigurationError(
            f"timeout must be a positive number of seconds or None, not {timeout!r}"
        )
    if server.startswith(("http://", "https://")):
        if arguments or env or cwd:
            raise ConfigurationError("arguments, env= and cwd= apply to a command, not to a URL")
        open_client = partial(_connect_url, server, _check_headers(headers or {}))
    elif headers:
        raise ConfigurationError("headers= applies to a URL, not to a command; use env=")
    else:
        open_client = partial(_start_command, server, arguments, env, cwd)
    return Connection(open_client, Server(server, headers or {}), prefix, timeout)


def _check_headers(headers: Mapping[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if not (name + value).isprintable():  # the error of the HTTP client would show the value
            raise ConfigurationError(f"invalid header {name!r}: control characters are not allowed")
    return dict(headers)


async def _connect_url(url: str, headers: dict[str, str], stack: AsyncExitStack) -> Client:
    import httpx2  # mcp's own HTTP client
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client

    timeout = httpx2.Timeout(30.0, read=_READ_TIMEOUT)
    session = await stack.enter_async_context(httpx2.AsyncClient(headers=headers, timeout=timeout))
    return Client(repairing(streamable_http_client(url, http_client=session)))


async def _start_command(
    command: str,
    arguments: tuple[str, ...],
    env: Mapping[str, str] | None,
    cwd: str | None,
    stack: AsyncExitStack,
) -> Client:
    from mcp import Client, StdioServerParameters
    from mcp.client.stdio import stdio_client

    server = StdioServerParameters(
        command=command, args=list(arguments), env=dict(env) if env else None, cwd=cwd
    )
    return Client(repairing(stdio_client(server, errlog=_stderr(stack))))


def _stderr(stack: AsyncExitStack) -> TextIO:
    """Return a file with a descriptor; sys.stderr of notebooks and pytest has none."""
    files: list[TextIO | None] = [sys.stderr, sys.__stderr__]
    for file in filter(None, files):  # both are None with pythonw
        # The file may be closed, or have no descriptor or a closed one.
        with suppress(AttributeError, TypeError, ValueError, OSError):
            os.fstat(descriptor := file.fileno())
            if type(descriptor) is int:  # a mock returns another type
                return file
    return stack.enter_context(open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123 - as above


class Connection:
    """A connection to an MCP server, created by `connect`; its block gets the server's tools."""

    def __init__(
        self,
        open_client: Callable[[AsyncExitStack], Awaitable[Client]],
        server: Server,
        prefix: str,
        timeout: float | None,
    ) -> None:
        self._open_client = open_client
        self._server = server
        self._prefix = prefix
        self._timeout = timeout
        self._owner: Owner[list[Tool]] | None = None
        self._thread: LoopThread | None = None

    async def __aenter__(self) -> list[Tool]:
        if self._owner is not None and self._owner.alive:
            raise ConfigurationError(f"{self._server} is already open")
        self._owner = Owner(self._enter, self._timeout)
        try:
            return await self._owner.open()
        except Exception as error:  # noqa: BLE001 - mcp raises groups of anything
            reason = self._server.reason(error)
            final = not isinstance(error, TimeoutError)
        raise ConnectError(
            f"cannot connect to the MCP server {self._server.name!r}: {reason}", final=final
        )

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._owner is not None:
            await self._owner.close()

    def __enter__(self) -> list[Tool]:
        thread = LoopThread()
        try:
            tools = thread.run(self.__aenter__)
        except BaseException:
            thread.stop(_nothing)
            raise
        self._thread = thread
        return [
            msgspec.structs.replace(tool, function=_in_loop_thread(thread, tool.function))
            for tool in tools
        ]

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._thread is not None:
            self._thread.stop(partial(self.__aexit__, kind, error, traceback))

    async def _enter(self, owner: Owner[list[Tool]], stack: AsyncExitStack) -> list[Tool]:
        client = await stack.enter_async_context(await self._open_client(stack))
        listed = await self._list(client)
        names = unique_names(listed, prefix=self._prefix)
        tools: list[Tool] = []
        for one in listed.values():
            try:
                parameters = Parameters.of(one.input_schema)
            except ValueError as error:
                raise ProtocolError(f"invalid tool {one.name!r}: {error}") from None
            tools.append(
                Tool(
                    name=names[one.name],
                    description=one.description or one.title or "",
                    parameters=parameters.schema,
                    function=partial(self._call, owner, client, one.name, parameters),
                )
            )
        return tools

    async def _list(self, client: Client) -> dict[str, ListedTool]:
        """Return the tools by name.

        Raises:
            ProtocolError: The list exceeds a limit or repeats a page.
        """
        tools: dict[str, ListedTool] = {}
        size = 0
        cursors: set[str] = set()
        cursor: str | None = None
        while True:
            page = await client.list_tools(cursor=cursor)
            for one in page.tools:
                size += len(msgspec.json.encode([one.description, one.input_schema]))
                tools.setdefault(one.name, one)
            cursor = page.next_cursor
            if len(cursors) > _MAX_PAGES or len(tools) > _MAX_TOOLS or size > _MAX_BYTES:
                raise ProtocolError(
                    f"the list of tools has more than {_MAX_PAGES} pages, {_MAX_TOOLS} tools or "
                    f"{_MAX_BYTES:,} bytes"
                )
            if not cursor:
                return tools
            if cursor in cursors:
                raise ProtocolError("the list of tools does not end: a cursor was repeated")
            cursors.add(cursor)

    async def _call(
        self,
        owner: Owner[list[Tool]],
        client: Client,
        name: str,
        parameters: Parameters,
        /,
        **arguments: Any,
    ) -> str | list[ContentPart]:
        if not owner.alive:
            raise TransportError(
                f"the connection to the MCP server {self._server.name!r} is closed"
            )
        try:
            sent = parameters.restore(arguments)
            result = await owner.run(partial(client.call_tool, name, sent))
            parts = parts_of(result)
        except Exception as error:  # noqa: BLE001 - of mcp, pydantic, anyio and httpx
            failure = self._failure(error)
        else:
            if not result.is_error:
                return parts or ""
            texts = [part.text for part in parts if isinstance(part, TextPart)]
            failure = MCPToolError(
                self._server.redact("\n".join(texts)) or "the server gave no reason"
            )
        raise failure

    def _failure(self, error: Exception) -> AceChatError:
        """Convert an exception of a call to one of acechat."""
        from mcp import MCPError
        from mcp.types import CONNECTION_CLOSED

        if isinstance(error, MCPError):
            if error.code != CONNECTION_CLOSED:
                return MCPToolError(self._server.redact(error.message))
            return TransportError(f"{self._server} was closed")
        if isinstance(error, ValueError):  # pydantic's for an invalid result, too
            return MCPToolError(self._server.reason(error))
        return TransportError(f"{self._server} failed: {self._server.reason(error)}")


async def _nothing() -> None:
    """Do nothing before the thread stops."""


def _in_loop_thread(thread: LoopThread, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a blocking function that runs *function* in the thread of the connection."""

    def call(**arguments: Any) -> Any:
        return thread.run(partial(function, **arguments))

    return call
