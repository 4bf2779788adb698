"""Standard input, read as it arrives, by threads that no exit waits for."""

from __future__ import annotations

import asyncio
import io
import os
import sys
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import Any, BinaryIO, cast

from acechat.errors import ConfigurationError

__all__ = ["piped_lines", "standard_input"]

_BLOCK = 2**16


def standard_input() -> BinaryIO:
    """Return standard input.

    Raises:
        ConfigurationError: It is closed.
    """
    stdin: Any = sys.stdin
    if stdin is None:  # the descriptor was closed, or the program has no console
        raise ConfigurationError("standard input is closed: give the path of a file")
    return cast("BinaryIO", getattr(stdin, "buffer", stdin))


async def piped_lines() -> AsyncGenerator[list[bytes]]:
    """Yield the lines of standard input, those that have arrived at a time.

    Raises:
        ConfigurationError: It is closed.
    """
    file = standard_input()
    try:
        descriptor = file.fileno()
    except (OSError, io.UnsupportedOperation):  # replaced, as in notebooks
        descriptor = None
    torn: list[bytes] = []

    def read() -> bytes:
        # Not file.read(): a thread that waits in it has its lock, on which the interpreter ends.
        return file.read(_BLOCK) if descriptor is None else os.read(descriptor, _BLOCK)

    while data := await _in_daemon(read):
        *whole, rest = data.split(b"\n")
        if whole:
            whole[0] = b"".join([*torn, whole[0]])
            torn.clear()
        torn.append(rest)
        if whole:
            yield whole
    yield [b"".join(torn)]


async def _in_daemon(function: Callable[[], bytes]) -> bytes:
    """Call *function* in a thread of its own, which may outlive the loop and the process."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[bytes] = loop.create_future()

    def run() -> None:
        try:
            result = function()
        except OSError as error:
            report(future.set_exception, error)
        else:
            report(future.set_result, result)

    def report(end: Callable[[Any], None], value: object) -> None:
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, end, value)

    def settle(end: Callable[[Any], None], value: object) -> None:
        if not future.done():  # else the run has ended
            end(value)

    threading.Thread(target=run, name="acechat-stdin", daemon=True).start()
    return await future
