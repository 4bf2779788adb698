"""Execute the tool calls of a completion, in parallel and within their time limits."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from inspect import isawaitable
from typing import Any, TypeAlias, TypeVar, cast

import msgspec

from acechat._credentials import Token
from acechat._policy.values import RunLimits
from acechat._tools.tool import by_name
from acechat.errors import ToolError
from acechat.types import (
    ChatCompletion,
    ImagePart,
    TextPart,
    ToolCall,
    ToolFinished,
    ToolResult,
    ToolStarted,
)

__all__ = ["EventCallback", "ToolExecutor", "ToolResults", "run_in_daemon_thread"]

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


ToolResults: TypeAlias = dict[int, ToolResult]
"""Results of the tool calls of one completion, by the index of the call."""


_MAX_REASON = 1000
"""Characters of an exception that the model receives: some contain a complete HTML page."""


class _FailureError(Exception):
    """A tool call failed; the message is the reason that the model receives."""


class ToolExecutor:
    """The tools of one run.

    Args:
        tools: Functions, `Tool` objects, and other callables that `compile_tool` accepts.
        limits: Maximum parallel calls, time limit of a call, and handling of failed calls.
        token: The API token, redacted in results and errors.

    Raises:
        ConfigurationError: A tool cannot be described, or two tools have the same name.
    """

    def __init__(self, tools: Iterable[Any], limits: RunLimits, token: Token) -> None:
        self._tools = named = by_name(tools)
        self.definitions: msgspec.Raw | None = None
        """The request field ``tools`` as JSON, the same in each request; None without tools."""

        if named:
            encoded = b",".join([compiled.encoded for compiled, _ in named.values()])
            self.definitions = msgspec.Raw(b"[%b]" % encoded)
        self._limits = limits
        self._token = token

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
        failed = False
        if on_event:
            on_event(ToolStarted(call))
        try:
            content, images = _to_content(await self._start(call, complete=complete))
        except BaseException as error:
            if _must_end_run(error):
                raise
            reason = _reason(error, self._token)
            if self._limits.raise_tool_errors:
                cause = error.__cause__ if isinstance(error, _FailureError) else error
                raise ToolError(call, reason) from cause
            content, images, failed = f"Error: {reason}", (), True
        result = ToolResult(
            call=call,
            # Unpaired surrogates cannot be encoded as UTF-8.
            content=content if content.isascii() else content.encode(errors="replace").decode(),
            images=images,
            failed=failed,
            elapsed=clock() - started,
        )
        if on_event:
            on_event(ToolFinished(result))
        return result

    def _start(self, call: ToolCall, *, complete: bool) -> Awaitable[object]:
        """Start *call*; return an awaitable of the value that the tool returns.

        Raises:
            _FailureError: The tool is unknown, the call is truncated, or the arguments are invalid.
        """
        known = self._tools.get(call.function.name)
        if known is None:
            names = ", ".join(self._tools) or "none"
            raise _FailureError(
                f"no tool is named {call.function.name!r}; available tools: {names}"
            )
        if not complete:
            raise _FailureError("the call was truncated at the token limit and not executed")
        compiled, function = known
        try:
            arguments = compiled.read(call.function.arguments)
        except ValueError as error:
            raise _FailureError(f"invalid arguments: {error}") from error
        limit = self._limits.tool_timeout if compiled.timeout is None else compiled.timeout
        value: Awaitable[object]
        if compiled.asynchronous:
            value = function(**arguments)
        else:
            value = _in_thread(partial(function, **arguments))
        return value if limit is None else _limit_time(limit, value)


async def _limit_time(limit: float, value: Awaitable[object]) -> object:
    scope = asyncio.timeout(limit)
    try:
        async with scope:
            return await value
    except TimeoutError as error:
        if not scope.expired():
            raise  # raised by the tool itself
        raise _FailureError(f"the tool did not finish within {limit:g} s") from error


async def _in_thread(function: Callable[[], Any]) -> object:
    value = await run_in_daemon_thread(function)
    return await value if isawaitable(value) else value


def _store_result(results: ToolResults, number: int, task: asyncio.Task[ToolResult]) -> None:
    if not task.cancelled() and task.exception() is None:
        results[number] = task.result()


def _must_end_run(error: BaseException) -> bool:
    """Return True if *error* must end the run (cancellation, Ctrl-C).

    Other exceptions of a tool, SystemExit included, are reported to the model.
    """
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is None or task.cancelling() > 0  # else only the tool cancelled itself
    return isinstance(error, GeneratorExit | KeyboardInterrupt)


def _reason(error: BaseException, token: Token) -> str:
    """Return the reason that the model receives, redacted before it is truncated."""
    if isinstance(error, _FailureError):
        return token.redact_text(str(error))
    if isinstance(error, asyncio.CancelledError):
        return "the tool was cancelled"
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - __str__ may be code of the tool
        text = ""
    text = token.redact_text(text, truncated=True)
    return f"{type(error).__name__}: {text}"[:_MAX_REASON] if text else type(error).__name__


def _to_content(value: object) -> tuple[str, tuple[ImagePart, ...]]:
    """Convert the value of a tool to text, and to images, which a tool message cannot hold."""
    if isinstance(value, str):
        return value, ()
    parts: list[object] = [value]
    if isinstance(value, list | tuple):
        parts = list(cast("list[object]", value))
    if any(isinstance(part, TextPart | ImagePart) for part in parts):
        images = tuple(part for part in parts if isinstance(part, ImagePart))
        texts = [_to_text(part) for part in parts if not isinstance(part, ImagePart)]
        if images:
            texts.append(f"(images in the next message: {len(images)})")
        return "\n".join(texts), images
    return _to_text(cast("object", value)), ()


def _to_text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, TextPart):
        return value.text
    try:
        return msgspec.json.encode(value, enc_hook=_to_json).decode()
    except (TypeError, ValueError, RecursionError) as error:
        raise _FailureError("the return value of the tool cannot be encoded as JSON") from error


def _to_json(value: Any) -> Any:
    if not hasattr(value, "model_dump"):
        raise TypeError
    return value.model_dump(mode="json")  # of a pydantic model
