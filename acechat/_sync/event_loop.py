"""The event loop of the blocking client: uvloop's if that is installed, else asyncio's."""

from __future__ import annotations

import asyncio
import re
import socket
import sys
from collections.abc import Callable
from typing import Any

from acechat.errors import ConfigurationError

__all__ = ["check_no_loop_runs", "loop_factory"]

_OLDEST = (0, 23)
"""The oldest usable version of uvloop. Older ones leave a connection open that was cancelled while
it was being established: 0.22.1 fails ``test_close_never_leaves_a_thread_waiting``."""


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's class of loops, or None for asyncio's default if uvloop cannot be used."""
    if _threads_are_green():
        return None
    try:
        import uvloop
    except ImportError:
        return None
    version = re.match(r"(\d+)\.(\d+)", getattr(uvloop, "__version__", ""))
    if version is None or tuple(map(int, version.groups())) < _OLDEST:
        return None
    from acechat._http.lookups import look_up  # it imports aiohttp: not before the first call

    class Loop(uvloop.Loop):
        """A uvloop loop that looks up hosts in threads of Python.

        libuv waits for its own threads at exit. A forked child does not have them, and crashes.
        """

        async def getaddrinfo(
            self,
            host: str | bytes | None,
            port: str | bytes | int | None,
            *,
            family: int = 0,
            type: int = 0,  # noqa: A002 - asyncio's name
            proto: int = 0,
            flags: int = 0,
        ) -> list[Any]:
            return await look_up(socket.getaddrinfo, host, port, family, type, proto, flags)

        async def getnameinfo(self, sockaddr: Any, flags: int = 0) -> tuple[str, str]:
            return await look_up(socket.getnameinfo, sockaddr, flags)

    return Loop


def check_no_loop_runs() -> None:
    """Raise ConfigurationError if another event loop is running in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise ConfigurationError(
        "gevent or eventlet has patched threading, so all event loops run in one thread, and "
        "another one is running there; share one Client, or its with_options() copies"
    )


def _threads_are_green() -> bool:
    """Return True if gevent or eventlet has patched `threading`.

    All green threads share one real thread. uvloop waits in C and would block all of them;
    asyncio's loop waits in the patched `select`.
    """
    gevent = sys.modules.get("gevent.monkey")
    eventlet = sys.modules.get("eventlet.patcher")
    return bool(
        (gevent is not None and gevent.is_module_patched("threading"))
        or (eventlet is not None and eventlet.is_monkey_patched("thread"))
    )
