"""Detect leaks of a test: sockets, tasks, sessions, threads, exceptions, blocked event loops.

The fixture `nothing_is_left` of conftest.py runs each test inside of `watch`.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
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

import acechat

_PATIENCE = 2.0
"""Seconds in which closed resources must disappear: other threads close them."""

_FILES = Path("/proc/self/fd")

_PACKAGE = str(Path(acechat.__file__).parent)


_WAITS = {"wait", "stop"}

KINDS = {
    "exceptions": "exceptions that were never retrieved",
    "tasks": "tasks that were pending when their loop ended",
    "blocking calls": "calls that blocked the loop",
    "sessions": "sessions that were not closed",
    "sockets": "sockets that are open",
    "threads": "threads that run",
}


class LeakError(AssertionError):
    """A test has leaked resources."""


def sockets() -> set[str]:
    """Return the open sockets of this process; none if the system does not list them."""
    found = set()
    with suppress(OSError):
        for file in _FILES.iterdir():
            with suppress(OSError):  # closed in the meantime
                found.add(os.readlink(file))  # noqa: PTH115 - it is not a path
    return {name for name in found if name.startswith("socket:")}


def _soon(condition: Callable[[], bool]) -> bool:
    until = time.monotonic() + _PATIENCE
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


class _Watch:
    """The leaks observed during a test."""

    def __init__(self) -> None:
        self.complaints: list[str] = []
        self.pending: list[str] = []
        self.blocked: list[str] = []
        self.sessions: weakref.WeakSet[aiohttp.ClientSession] = weakref.WeakSet()

    @contextmanager
    def logger(self) -> Iterator[None]:
        """Record asyncio's log messages about exceptions that were never retrieved."""
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
        """Record the tasks that a loop cancels at its end."""
        cancel = asyncio.runners._cancel_all_tasks  # type: ignore[attr-defined]

        @wraps(cancel)
        def recording(loop: asyncio.AbstractEventLoop) -> None:
            self.pending += [repr(task) for task in asyncio.all_tasks(loop)]
            cancel(loop)

        with mock.patch.object(asyncio.runners, "_cancel_all_tasks", recording):
            yield

    @contextmanager
    def made_sessions(self) -> Iterator[None]:
        """Record each created session."""
        make = aiohttp.ClientSession.__init__

        @wraps(make)
        def recording(session: aiohttp.ClientSession, *args: Any, **kwargs: Any) -> None:
            self.sessions.add(session)
            make(session, *args, **kwargs)

        with mock.patch.object(aiohttp.ClientSession, "__init__", recording):
            yield

    @contextmanager
    def blocking(self) -> Iterator[None]:
        """Record calls of acechat that block a loop, also if the error is caught."""
        make = blockbuster.BlockingError.__init__

        @wraps(make)
        def recording(error: blockbuster.BlockingError, function: str) -> None:
            self.blocked.append(function)
            make(error, function)

        with mock.patch.object(blockbuster.BlockingError, "__init__", recording):
            yield


_MAY_BLOCK = {
    "logging/__init__.py": {"emit"},  # handlers write to the user's destination
    "acechat/_record/cassette.py": {"save"},  # save() is documented to block
    "acechat/_core/history.py": {"save", "load"},
    "acechat/mcp/__init__.py": {"_connect_url", "_start_command"},  # they import packages
    "acechat/emulator/recording_proxy.py": {"_write"},  # a recorder for one developer
    "coverage/collector.py": {"lock_data"},  # it measures acechat, and is not part of it
}


@contextmanager
def blocking_forbidden() -> Iterator[None]:
    """Make blocking calls of acechat in a running loop raise."""
    # The loop of the conformance kit starts processes, and has no other tasks.
    ours = {"scanned_modules": ["acechat"], "excluded_modules": ["benchmarks.conformance"]}
    blocks = blockbuster.BlockBuster(**ours)
    # Using the blocking client in a loop is documented to block it.
    for file in ("latch", "event_loop_thread"):
        blocks.functions["threading.Lock.acquire"].can_block_in(f"acechat/_sync/{file}.py", _WAITS)
    if find_spec("uvloop"):  # it waits for a thread that has ended, as asyncio does
        blocks.functions["threading.Lock.acquire"].can_block_in("asyncio/runners.py", {"close"})
    for function in blocks.functions.values():
        for file, where in _MAY_BLOCK.items():
            function.can_block_in(file, where)
        function.can_block_predicate = _or_in_a_woken_task(function.can_block_predicate)
    blocks.activate()
    try:
        yield
    finally:
        blocks.deactivate()


def _or_in_a_woken_task(permits: Callable[..., bool]) -> Callable[..., bool]:
    """Return *permits*, extended by calls of a task that acechat has only woken.

    `Waiter.wake` is then in the stack, although the code above it is the caller's.
    """

    def permits_too(*arguments: object, **options: object) -> bool:
        if permits(*arguments, **options):
            return True
        frame = sys._getframe(1)
        while frame is not None:
            if (file := frame.f_code.co_filename).startswith(_PACKAGE):
                return file.endswith("waiter.py") and frame.f_code.co_name == "wake"
            frame = frame.f_back
        return False

    return permits_too


@contextmanager
def watch(allowed: frozenset[str] = frozenset()) -> Iterator[None]:
    """Fail if the body leaks anything.

    Args:
        allowed: The `KINDS` that it may leak.

    Raises:
        LeakError: There are leaks; the message lists all of them.
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
    if "sockets" not in allowed and not _soon(lambda: sockets() <= open_before):
        gc.collect()  # objects in a reference cycle are freed late, but are no leak
        if not _soon(lambda: sockets() <= open_before):
            found["sockets"] = sorted(sockets() - open_before)
    started = [one for one in threading.enumerate() if one not in threads_before]
    mine = [one for one in started if one.name.startswith("acechat")]
    if "threads" not in allowed and not _soon(lambda: not any(one.is_alive() for one in mine)):
        found["threads"] = [one.name for one in mine if one.is_alive()]
    leaked = [
        f"{KINDS[kind]}: {', '.join(which)}"
        for kind, which in found.items()
        if which and kind not in allowed
    ]
    if leaked:
        raise LeakError("left behind\n" + "\n".join(leaked))
