"""Execute the tool calls of a completion, in parallel and within their time limits."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from inspect import isawaitable, iscoroutinefunction
from typing import Any, TypeAlias, TypeVar

import msgspec

from acechat._credentials import Token
from acechat._policy.values import RunLimits
from acechat._tools.approval import ApprovalFailedError, Approve, ToolRefusedError, changed_by
from acechat._tools.execution import in_own_context, limit_time, must_end_run
from acechat._tools.tool import KnownTool, by_name, read_object
from acechat._tools.tool_content import ToolFailureError, content_of, reason_of
from acechat.errors import ConfigurationError, ToolError
from acechat.types import (
    ChatCompletion,
    ToolCall,
    ToolFinished,
    ToolResult,
    ToolStarted,
)

__all__ = [
    "EventCallback",
    "ToolEnded",
    "ToolExecutor",
    "ToolResults",
    "call_hook",
    "run_in_daemon_thread",
]

_T = TypeVar("_T")


async def run_in_daemon_thread(function: Callable[[], _T]) -> _T:
    """Run *function* in a new daemon thread, in a copy of the current context.

    Cancellation abandons the thread, because Python cannot stop one. A daemon thread, unlike that
    of a thread pool, does not delay the exit of the interpreter.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    values: list[_T] = []
    errors: list[BaseException] = []
    context = copy_context()

    def work() -> None:
        try:
            values.append(context.run(function))
        except BaseException as error:  # noqa: BLE001 - it is raised where it is awaited
            errors.append(error)
        with suppress(RuntimeError):  # the loop has been closed meanwhile
            loop.call_soon_threadsafe(wake)

    def wake() -> None:
        if not ended.done():
            ended.set_result(None)

    threading.Thread(target=work, name="acechat tool", daemon=True).start()
    await ended
    if errors:
        raise errors.pop()
    return values[0]


EventCallback: TypeAlias = Callable[[ToolStarted | ToolFinished], object]
"""Receives the start and the end of each tool call."""


ToolEnded: TypeAlias = Callable[[ToolResult | None, BaseException | None], None]
"""Receives the result of a tool call, and the exception of the tool, at its end."""


ToolResults: TypeAlias = dict[int, ToolResult]
"""Results of the tool calls of one completion, by the index of the call."""


def _ignore(result: ToolResult | None, error: BaseException | None) -> None:
    """Take the end of a tool call that no observer sees."""


class ToolExecutor:
    """The tools of one run.

    Args:
        tools: Functions, `Tool` objects, and other callables that `compile_tool` accepts.
        limits: Maximum parallel calls, time limit of a call, and handling of failed calls.
        token: The API token, redacted in results and errors.
        observe: Called before a tool, in its context; returns a callback for its end. Default none.
        approve: Decides about the calls of tools without an own one; default none.

    Raises:
        ConfigurationError: A tool cannot be described, or two tools have the same name.
    """

    def __init__(
        self,
        tools: Iterable[Any],
        limits: RunLimits,
        token: Token,
        observe: Callable[[ToolCall], ToolEnded] | None = None,
        approve: Approve | None = None,
    ) -> None:
        if approve is not None and not callable(approve):
            raise ConfigurationError(f"approve must be a function, not {approve!r}")
        self._tools = named = by_name(tools)
        self.definitions: msgspec.Raw | None = None
        """The request field ``tools`` as JSON, the same in each request; None without tools."""

        if named:
            encoded = b",".join([compiled.encoded for compiled, _, _ in named.values()])
            self.definitions = msgspec.Raw(b"[%b]" % encoded)
        self._limits = limits
        self._token = token
        self._observe = observe
        self._approve = approve
        self._asking = asyncio.Lock()

    async def call_all(
        self,
        completion: ChatCompletion,
        results: ToolResults,
        on_event: EventCallback | None = None,
    ) -> None:
        """Execute the tool calls of *completion* and store their results in *results*.

        Calls that already have a result are not repeated.

        Raises:
            ToolError: A call failed and RunLimits.raise_tool_errors is set. The other calls were
                cancelled.
        """
        calls = completion.tool_calls
        # Only the last call can be truncated. Without arguments it would look complete.
        truncated = completion.finish_reason == "length"
        if len(calls) == 1:  # a task would add a third to the CPU time of a run
            results[0] = await self._call(calls[0], on_event, complete=not truncated)
            return
        complete = len(calls) - truncated
        slots = asyncio.Semaphore(self._limits.max_parallel)
        failures: tuple[BaseException, ...] = ()
        try:
            async with asyncio.TaskGroup() as group:
                for number, call in enumerate(calls):
                    if number in results:
                        continue
                    one = self._call_in_slot(slots, call, on_event, complete=number < complete)
                    group.create_task(one).add_done_callback(
                        partial(_store_result, results, number)
                    )
        except BaseExceptionGroup as several:
            failures = several.exceptions
        if failures:
            raise failures[0]

    async def _call_in_slot(
        self,
        slots: asyncio.Semaphore,
        call: ToolCall,
        on_event: EventCallback | None,
        *,
        complete: bool,
    ) -> ToolResult:
        started = asyncio.get_running_loop().time()  # the elapsed time includes the wait for a slot
        async with slots:
            return await self._call(call, on_event, complete=complete, started=started)

    async def _call(
        self,
        call: ToolCall,
        on_event: EventCallback | None,
        *,
        complete: bool,
        started: float | None = None,
    ) -> ToolResult:
        clock = asyncio.get_running_loop().time
        started = clock() if started is None else started
        failure: BaseException | None = None
        refused = False
        if on_event:
            on_event(ToolStarted(call))
        ended = self._observe(call) if self._observe is not None else _ignore
        try:
            content, images = content_of(await self._start(call, complete=complete))
        except BaseException as error:
            if must_end_run(error):
                ended(None, error)
                raise
            if isinstance(error, ApprovalFailedError):
                raised = error.__cause__ or error
                ended(None, raised)
                raise raised from None
            cancelled = isinstance(error, asyncio.CancelledError)
            reason = "the tool was cancelled" if cancelled else reason_of(error, self._token)
            failed = isinstance(error, ToolFailureError)
            failure = error.__cause__ or error if failed else error
            refused = isinstance(error, ToolRefusedError)
            if self._limits.raise_tool_errors and not refused:
                ended(None, failure)
                cause = error.__cause__ if failed else error
                raise ToolError(call, reason) from cause
            content, images = reason if refused else f"Error: {reason}", ()
        result = ToolResult(
            call=call,
            # Unpaired surrogates cannot be encoded as UTF-8.
            content=content if content.isascii() else content.encode(errors="replace").decode(),
            images=images,
            failed=failure is not None,
            refused=refused,
            elapsed=clock() - started,
        )
        ended(result, failure)
        if on_event:
            on_event(ToolFinished(result))
        return result

    def _start(self, call: ToolCall, *, complete: bool) -> Awaitable[object]:
        """Start *call*; return an awaitable of the value that the tool returns.

        Raises:
            ToolFailureError: The tool is unknown, the call is truncated, or its arguments are
                invalid.
        """
        known = self._tools.get(call.function.name)
        if known is None:
            names = ", ".join(self._tools) or "none"
            raise ToolFailureError(
                f"no tool is named {call.function.name!r}; available tools: {names}"
            )
        if not complete:
            raise ToolFailureError("the call was truncated at the token limit and not executed")
        compiled, _, approve = known
        try:
            arguments = compiled.read(call.function.arguments)
        except ValueError as error:
            raise ToolFailureError(f"invalid arguments: {error}") from error
        approve = approve or self._approve
        if approve is not None:
            return self._start_approved(approve, call, known, arguments)
        return self._begin(known, arguments)

    def _begin(self, known: KnownTool, arguments: dict[str, Any]) -> Awaitable[object]:
        compiled, function, _ = known
        limit = self._limits.tool_timeout if compiled.timeout is None else compiled.timeout
        value: Awaitable[object]
        if compiled.asynchronous:
            value = in_own_context(function(**arguments))
        else:
            value = _in_thread(partial(function, **arguments))
        return value if limit is None else limit_time(limit, value)

    async def _start_approved(
        self, approve: Approve, call: ToolCall, known: KnownTool, arguments: dict[str, Any]
    ) -> object:
        """Execute *call* if *approve* allows it; one call is decided at a time.

        Raises:
            ToolRefusedError: It does not.
            ApprovalFailedError: It raised an exception, or returned something else.
        """
        name = call.function.name
        try:
            async with self._asking:
                shown = read_object(call.function.arguments)
                approval = await call_hook(approve, name, shown)
            changed = changed_by(approval)
            if changed is not None:
                arguments = known[0].read(msgspec.json.encode(changed).decode())
        except ToolRefusedError:
            raise
        except Exception as error:
            raise ApprovalFailedError from error
        return await self._begin(known, arguments)


async def call_hook(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function of the program like a tool: a function that is not async in a thread."""
    if iscoroutinefunction(function):
        return await in_own_context(function(*arguments))
    return await _in_thread(partial(function, *arguments))


async def _in_thread(function: Callable[[], Any]) -> object:
    value = await run_in_daemon_thread(function)
    return await in_own_context(value) if isawaitable(value) else value


def _store_result(results: ToolResults, number: int, task: asyncio.Task[ToolResult]) -> None:
    if not task.cancelled() and task.exception() is None:
        results[number] = task.result()
