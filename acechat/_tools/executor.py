"""Run the tool calls of a completion, in parallel, within their time limit."""

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
    """Call *function* in a thread of its own, in this context.

    Cancelled, it leaves the thread to itself: nothing can stop one. A pool would wait for it when
    the program ends; this is a daemon, so a function that hangs holds up nobody.
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
"""Who is told when a tool is called and when it has ended."""


ToolResults: TypeAlias = dict[int, ToolResult]
"""What became of the calls of one answer, by their places in it."""


_SHOWN = 1000
"""Characters of an exception that the model is told: some hold a whole page."""


class _FailureError(Exception):
    """A call failed; the text says why, in words for the model."""


class ToolExecutor:
    """The tools of one run.

    Args:
        tools: Functions, `Tool`s, and whatever else `compile_tool` takes.
        limits: How many at a time, how long, and what becomes of failures.
        token: What no text may hold.
    """

    def __init__(self, tools: Iterable[Any], limits: RunLimits, token: Token) -> None:
        self._tools = named = by_name(tools)
        self.written: msgspec.Raw | None = None
        """What the service is told, the same in each request; None without tools."""

        if named:
            told = b",".join([form.written for form, _ in named.values()])
            self.written = msgspec.Raw(b"[%b]" % told)
        self._limits = limits
        self._token = token

    async def call_all(
        self, completion: ChatCompletion, results: ToolResults, tell: EventCallback | None = None
    ) -> None:
        """Call what *completion* wants called; put what becomes of it into *results*.

        What has its result there is not called again.

        Raises:
            ToolError: A call failed and is not to be told to the model; the others were cancelled.
        """
        calls = completion.tool_calls
        # Only the last call can be cut. Without its arguments it would look whole.
        cut = completion.finish_reason == "length"
        if len(calls) == 1:  # a task for it would be a third of what a run costs
            results[0] = await self._call(calls[0], tell, whole=not cut)
            return
        whole = len(calls) - cut
        room = asyncio.Semaphore(self._limits.max_parallel)
        failures: tuple[BaseException, ...] = ()
        try:
            async with asyncio.TaskGroup() as group:
                for number, call in enumerate(calls):
                    if number in results:
                        continue
                    one = self._in_turn(room, call, tell, whole=number < whole)
                    group.create_task(one).add_done_callback(partial(_keep, results, number))
        except BaseExceptionGroup as several:
            failures = several.exceptions
        if failures:
            raise failures[0]

    async def _in_turn(
        self, room: asyncio.Semaphore, call: ToolCall, tell: EventCallback | None, *, whole: bool
    ) -> ToolResult:
        began = asyncio.get_running_loop().time()
        async with room:
            return await self._call(call, tell, whole=whole, began=began)

    async def _call(
        self, call: ToolCall, tell: EventCallback | None, *, whole: bool, began: float | None = None
    ) -> ToolResult:
        clock = asyncio.get_running_loop().time
        began = clock() if began is None else began
        failed = False
        if tell:
            tell(ToolStarted(call))
        try:
            content, images = _as_content(await self._begin(call, whole=whole))
        except BaseException as error:
            if _ends_the_run(error):
                raise
            reason = self._token.redact_text(_reason(error))
            if self._limits.raise_tool_errors:
                cause = error.__cause__ if isinstance(error, _FailureError) else error
                raise ToolError(call, reason) from cause
            content, images, failed = f"Error: {reason}", (), True
        result = ToolResult(
            call=call,
            # Half characters cannot be sent.
            content=content if content.isascii() else content.encode(errors="replace").decode(),
            images=images,
            failed=failed,
            elapsed=clock() - began,
        )
        if tell:
            tell(ToolFinished(result))
        return result

    def _begin(self, call: ToolCall, *, whole: bool) -> Awaitable[object]:
        """Return what is to be awaited for what the tool returns."""
        known = self._tools.get(call.function.name)
        if known is None:
            names = ", ".join(self._tools) or "none"
            raise _FailureError(f"no tool is named {call.function.name!r}; there are: {names}")
        if not whole:
            raise _FailureError("this call was cut at the limit of tokens, and not made")
        form, function = known
        try:
            arguments = form.read(call.function.arguments)
        except ValueError as error:
            raise _FailureError(f"the arguments do not fit: {error}") from error
        limit = self._limits.tool_timeout if form.timeout is None else form.timeout
        value: Awaitable[object]
        if form.asynchronous:
            value = function(**arguments)
        else:
            value = _in_thread(partial(function, **arguments))
        return value if limit is None else _within(limit, value)


async def _within(limit: float, value: Awaitable[object]) -> object:
    scope = asyncio.timeout(limit)
    try:
        async with scope:
            return await value
    except TimeoutError as error:
        if not scope.expired():
            raise  # the tool's own
        raise _FailureError(f"the tool did not end within {limit:g} s") from error


async def _in_thread(function: Callable[[], Any]) -> object:
    value = await run_in_daemon_thread(function)
    return await value if isawaitable(value) else value


def _keep(results: ToolResults, number: int, task: asyncio.Task[ToolResult]) -> None:
    if not task.cancelled() and task.exception() is None:
        results[number] = task.result()


def _ends_the_run(error: BaseException) -> bool:
    """Whether nobody waits for an answer; whatever else a tool raises, SystemExit too, is one."""
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is None or task.cancelling() > 0  # else the tool cancelled itself, and alone
    return isinstance(error, GeneratorExit | KeyboardInterrupt)


def _reason(error: BaseException) -> str:
    if isinstance(error, _FailureError):
        return str(error)
    if isinstance(error, asyncio.CancelledError):
        return "the tool was cancelled"
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - what it says of itself is the tool's own code
        text = ""
    return f"{type(error).__name__}: {text}"[:_SHOWN] if text else type(error).__name__


def _as_content(value: object) -> tuple[str, tuple[ImagePart, ...]]:
    """Return what a tool returned as text, and its pictures, which no result of a tool can hold."""
    if isinstance(value, str):
        return value, ()
    pieces: list[object] = [value]
    if isinstance(value, list | tuple):
        pieces = list(cast("list[object]", value))
    if any(isinstance(piece, TextPart | ImagePart) for piece in pieces):
        images = tuple(piece for piece in pieces if isinstance(piece, ImagePart))
        texts = [_as_text(piece) for piece in pieces if not isinstance(piece, ImagePart)]
        if images:
            texts.append(f"(pictures in the next message: {len(images)})")
        return "\n".join(texts), images
    return _as_text(cast("object", value)), ()


def _as_text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, TextPart):
        return value.text
    try:
        return msgspec.json.encode(value, enc_hook=_as_json).decode()
    except (TypeError, ValueError, RecursionError) as error:
        raise _FailureError("the tool returned what is no JSON") from error


def _as_json(value: Any) -> Any:
    if not hasattr(value, "model_dump"):
        raise TypeError
    return value.model_dump(mode="json")  # pydantic's
