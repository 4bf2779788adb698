"""What a test may not leave: sockets, tasks, sessions, exceptions, or a loop that stood still.

`watch` is what the fixture `nothing_is_left` of conftest.py runs around each test.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import wraps
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest import mock

import aiohttp
import blockbuster

_PATIENCE = 2.0
"""Seconds that what was closed may take to be gone: other threads do it."""

_FILES = Path("/proc/self/fd")


_WAITS = {"wait", "stop"}

KINDS = {
    "exceptions": "exceptions that nobody took",
    "tasks": "tasks that were pending when their loop ended",
    "blocking calls": "calls that blocked the loop",
    "sessions": "sessions that were not closed",
    "sockets": "sockets that are open",
    "threads": "threads that run",
}


class LeakError(AssertionError):
    """A test left something behind."""


def sockets() -> set[str]:
    """Return the open sockets of this process; none where the system does not tell."""
    found = set()
    with suppress(OSError):
        for file in _FILES.iterdir():
            with suppress(OSError):  # it was closed meanwhile
                found.add(os.readlink(file))  # noqa: PTH115 - it is no path
    return {name for name in found if name.startswith("socket:")}


def _soon(condition: Callable[[], bool]) -> bool:
    until = time.monotonic() + _PATIENCE
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


class _Watch:
    """What was seen while a test ran."""

    def __init__(self) -> None:
        self.complaints: list[str] = []
        self.pending: list[str] = []
        self.blocked: list[str] = []
        self.sessions: weakref.WeakSet[aiohttp.ClientSession] = weakref.WeakSet()

    @contextmanager
    def logger(self) -> Iterator[None]:
        """Hear asyncio complain about exceptions that nobody took."""
        handler = logging.Handler(logging.ERROR)
        handler.emit = lambda record: self.complaints.append(record.getMessage())  # type: ignore[method-assign]
        logger = logging.getLogger("asyncio")
        logger.addHandler(handler)
        try:
            yield
        finally:
            gc.collect(1)
            logger.removeHandler(handler)

    @contextmanager
    def tasks(self) -> Iterator[None]:
        """See which tasks a loop must cancel at its end."""
        cancel = asyncio.runners._cancel_all_tasks  # type: ignore[attr-defined]

        @wraps(cancel)
        def noting(loop: asyncio.AbstractEventLoop) -> None:
            self.pending += [repr(task) for task in asyncio.all_tasks(loop)]
            cancel(loop)

        with mock.patch.object(asyncio.runners, "_cancel_all_tasks", noting):
            yield

    @contextmanager
    def made_sessions(self) -> Iterator[None]:
        """Note each session that is made."""
        make = aiohttp.ClientSession.__init__

        @wraps(make)
        def noting(session: aiohttp.ClientSession, *args: Any, **kwargs: Any) -> None:
            self.sessions.add(session)
            make(session, *args, **kwargs)

        with mock.patch.object(aiohttp.ClientSession, "__init__", noting):
            yield

    @contextmanager
    def blocking(self) -> Iterator[None]:
        """Note what of acechat blocks a loop, also where somebody catches the error."""
        make = blockbuster.BlockingError.__init__

        @wraps(make)
        def noting(error: blockbuster.BlockingError, function: str) -> None:
            self.blocked.append(function)
            make(error, function)

        with mock.patch.object(blockbuster.BlockingError, "__init__", noting):
            yield


_MAY_BLOCK = {
    "logging/__init__.py": {"emit"},  # handlers write where the user told them to
    "acechat/_record/cassette.py": {"save"},  # who says save(), wants to wait for it
    "acechat/_core/history.py": {"save", "load"},
    "acechat/mcp/__init__.py": {"_connect_url", "_start_command"},  # they import packages
    "acechat/emulator/recording_proxy.py": {"_write"},  # a recorder that serves one developer
    "coverage/collector.py": {"lock_data"},  # which measures acechat, and is no part of it
}


@contextmanager
def blocking_forbidden() -> Iterator[None]:
    """Let what acechat does in a running loop raise where it would block."""
    # The kit's own loop starts processes, and serves nobody else.
    ours = {"scanned_modules": ["acechat"], "excluded_modules": ["benchmarks.conformance"]}
    with blockbuster.blockbuster_ctx(**ours) as blocks:
        # Whoever uses the blocking client in a loop wants to wait.
        for file in ("latch", "event_loop_thread"):
            blocks.functions["threading.Lock.acquire"].can_block_in(
                f"acechat/_sync/{file}.py", _WAITS
            )
        if find_spec("uvloop"):  # it waits for a thread that has ended, as asyncio does
            blocks.functions["threading.Lock.acquire"].can_block_in("asyncio/runners.py", {"close"})
        for function in blocks.functions.values():
            for file, where in _MAY_BLOCK.items():
                function.can_block_in(file, where)
        yield


@contextmanager
def watch(allowed: frozenset[str] = frozenset()) -> Iterator[None]:
    """Fail if what runs inside leaves anything.

    Args:
        allowed: Of `KINDS`, what it may leave.

    Raises:
        LeakError: It does; the text names all of it.
    """
    seen = _Watch()
    open_before = sockets()
    threads_before = set(threading.enumerate())
    with ExitStack() as stack:
        for part in (seen.logger(), seen.tasks(), seen.made_sessions(), seen.blocking()):
            stack.enter_context(part)
        yield
    found = {
        "exceptions": seen.complaints,
        "tasks": seen.pending,
        "blocking calls": seen.blocked,
        "sessions": [repr(session) for session in seen.sessions if not session.closed],
    }
    seen.sessions.clear()
    if not _soon(lambda: sockets() <= open_before):
        gc.collect()  # what is held by a cycle alone is slow, but no leak
        if not _soon(lambda: sockets() <= open_before):
            found["sockets"] = sorted(sockets() - open_before)
    started = [one for one in threading.enumerate() if one not in threads_before]
    mine = [one for one in started if one.name.startswith("acechat")]
    if not _soon(lambda: not any(one.is_alive() for one in mine)):
        found["threads"] = [one.name for one in mine if one.is_alive()]
    told = [
        f"{KINDS[kind]}: {', '.join(which)}"
        for kind, which in found.items()
        if which and kind not in allowed
    ]
    if told:
        raise LeakError("left behind\n" + "\n".join(told))
