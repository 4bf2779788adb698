"""Await a tool: in its own context, within its time limit, and with its exceptions classified."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Generator
from contextvars import copy_context
from types import coroutine
from typing import Any, TypeVar, cast

from acechat._tools.tool_content import ToolFailureError

__all__ = ["in_own_context", "limit_time", "must_end_run"]

_T = TypeVar("_T")


async def limit_time(limit: float, value: Awaitable[object]) -> object:
    scope = asyncio.timeout(limit)
    try:
        async with scope:
            return await value
    except TimeoutError as error:
        if not scope.expired():
            raise  # raised by the tool itself
        raise ToolFailureError(f"the tool did not finish within {limit:g} s") from error


@coroutine
def in_own_context(value: Awaitable[_T]) -> Generator[Any, Any, _T]:
    """Await *value* in a copy of the current context, as a task would at twice the cost.

    Otherwise a context variable that a tool sets would keep its value in the caller after a single
    call, and not after several, which run in tasks.
    """
    if not isinstance(value, Coroutine):  # a future, which runs no code here
        return (yield from value.__await__())
    steps = cast("Coroutine[Any, Any, _T]", value)
    run = copy_context().run
    try:
        waits_for = run(steps.send, None)
        while True:
            try:
                yield waits_for
            except BaseException as error:  # noqa: BLE001 - cancellation, handled by the tool
                waits_for = run(steps.throw, error)
            else:
                waits_for = run(steps.send, None)
    except StopIteration as end:
        return cast("_T", end.value)


def must_end_run(error: BaseException) -> bool:
    """Return True if *error* must end the run (cancellation, Ctrl-C).

    Other exceptions of a tool, SystemExit included, are reported to the model.
    """
    if isinstance(error, BaseExceptionGroup):
        inner: tuple[BaseException, ...] = cast("BaseExceptionGroup", error).exceptions
        return any(map(must_end_run, inner))
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is None or task.cancelling() > 0  # else only the tool cancelled itself
    return isinstance(error, GeneratorExit | KeyboardInterrupt)
