"""Running what blocks, without blocking the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from typing import TypeVar

__all__ = ["in_thread"]

_T = TypeVar("_T")


async def in_thread(function: Callable[[], _T]) -> _T:
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
