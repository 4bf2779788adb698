"""``--tool``, ``--functions`` and ``--mcp``: the tools of a command, each call with approval."""

from __future__ import annotations

import asyncio
import functools
import importlib
import importlib.util
import inspect
import shlex
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import msgspec
from msgspec import Struct

from acechat import Tool
from acechat.cli.calls.approval import Approval
from acechat.cli.content.paths import typed_path
from acechat.cli.terminal.text import one_line

__all__ = ["ToolNames", "open_tools"]


class ToolNames(Struct, frozen=True, kw_only=True):
    """The tools that a command names."""

    functions: Sequence[str] = ()
    """``module:function``, or ``module:one,other``."""
    files: Sequence[str] = ()
    """Python files, whose public functions are tools."""
    servers: Sequence[str] = ()
    """Commands or URLs of MCP servers."""

    def __bool__(self) -> bool:
        return bool(self.functions or self.files or self.servers)


@asynccontextmanager
async def open_tools(names: ToolNames, approval: Approval) -> AsyncGenerator[list[Any]]:
    """Yield the tools, each of which asks for *approval* before a call.

    Raises:
        UsageError: A name does not lead to a function.
        ConfigurationError: A function cannot be a tool; the package mcp is not installed.
        ConnectError: An MCP server cannot be reached.
    """
    tools: list[Any] = [found for name in names.functions for found in _imported(name)]
    tools += [found for file in names.files for found in _defined(file)]
    async with AsyncExitStack() as stack:
        for server in names.servers:
            from acechat import mcp

            words = [server] if server.startswith(("http://", "https://")) else _words(server)
            tools += await stack.enter_async_context(mcp.connect(*words))
        yield [_approved(tool, approval) for tool in tools]


def _words(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise click.BadParameter(f"{command!r}: {error}", param_hint="'--mcp'") from None
    if not words:
        raise click.BadParameter("the command is empty", param_hint="'--mcp'")
    return words


def _imported(name: str) -> list[Callable[..., Any]]:
    module, colon, functions = name.partition(":")
    if not (module and colon and functions):
        raise click.BadParameter(
            f"expected MODULE:FUNCTION such as mytools:weather, not {name!r}",
            param_hint="'--tool'",
        )
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # the command acechat does not have it there
    try:
        found = importlib.import_module(module)
    except Exception as error:  # noqa: BLE001 - the module is the user's code
        raise click.BadParameter(
            f"cannot import {module!r}: {type(error).__name__}: {one_line(str(error))}",
            param_hint="'--tool'",
        ) from None
    return [_function(found, each.strip(), name) for each in functions.split(",")]


def _function(module: ModuleType, name: str, origin: str) -> Any:
    value: Any = module
    for step in name.split("."):
        value = getattr(value, step, None)
    if not callable(value):
        from difflib import get_close_matches

        close = get_close_matches(name, [n for n in vars(module) if callable(vars(module)[n])], 1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise click.BadParameter(
            f"{origin!r}: {module.__name__} has no function {name!r}{hint}", param_hint="'--tool'"
        )
    return value


def _defined(file: str) -> list[Any]:
    """Return the public functions that a Python file defines."""
    path = typed_path(file)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise click.BadParameter(f"{file!r} is not a Python file", param_hint="'--functions'")
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)  # annotations are evaluated in it
    try:
        spec.loader.exec_module(module)
    except OSError as error:
        raise click.BadParameter(
            f"cannot read {file!r}: {error.strerror or error}", param_hint="'--functions'"
        ) from None
    except Exception as error:  # noqa: BLE001 - the file is the user's code
        raise click.BadParameter(
            f"{file!r}: {type(error).__name__}: {one_line(str(error))}",
            param_hint="'--functions'",
        ) from None
    found = [
        value
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (isinstance(value, Tool) or inspect.isfunction(value))
        and getattr(value, "__module__", None) in {module.__name__, Tool.__module__}
    ]
    if not found:
        raise click.BadParameter(f"{file!r} defines no function", param_hint="'--functions'")
    return found


def _approved(tool: Any, approval: Approval) -> Any:
    function: Callable[..., Any] = tool.function if isinstance(tool, Tool) else tool
    name = tool.name if isinstance(tool, Tool) else getattr(function, "__name__", str(function))

    approved: Callable[..., Any]
    if inspect.iscoroutinefunction(function) or isinstance(tool, Tool):  # those of MCP are async

        @functools.wraps(function)
        async def approved_call(*args: Any, **arguments: Any) -> Any:
            await approval.request(name, arguments)
            value: Any = function(*args, **arguments)
            return await value if inspect.isawaitable(value) else value

        approved = approved_call
    else:  # the client calls it in a thread
        loop = asyncio.get_running_loop()

        @functools.wraps(function)
        def approved_in_thread(*args: Any, **arguments: Any) -> Any:
            asking = approval.request(name, arguments)
            asyncio.run_coroutine_threadsafe(asking, loop).result()
            return function(*args, **arguments)

        approved = approved_in_thread
    return msgspec.structs.replace(tool, function=approved) if isinstance(tool, Tool) else approved
