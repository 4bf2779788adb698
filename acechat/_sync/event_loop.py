"""The event loops that are acechat's own: uvloop's, where it is installed."""

from __future__ import annotations

import re
import socket
import sys
from asyncio import AbstractEventLoop
from collections.abc import Callable
from typing import Any

from acechat._http.lookups import look_up

__all__ = ["loop_factory"]

_OLDEST = (0, 23)
"""Before that, a connection that was given up while it was being made stays open: 0.22.1 fails
``test_close_never_leaves_a_thread_waiting``."""


def loop_factory() -> Callable[[], AbstractEventLoop] | None:
    """Return the class of uvloop's loop; None for asyncio's, where uvloop cannot be used."""
    if _threads_are_green():
        return None
    try:
        import uvloop
    except ImportError:
        return None
    version = re.match(r"(\d+)\.(\d+)", getattr(uvloop, "__version__", ""))
    if version is None or tuple(map(int, version.groups())) < _OLDEST:
        return None

    class Loop(uvloop.Loop):
        """Looks up hosts in threads of Python's.

        At the exit of a forked child, libuv waits for its own, which only the parent has: the child
        crashes.
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


def _threads_are_green() -> bool:
    """Return True if gevent or eventlet has patched `threading`: then all share one real thread.

    uvloop waits in C, which would stop them all. asyncio's loop waits in their patched `select`.
    """
    gevent = sys.modules.get("gevent.monkey")
    eventlet = sys.modules.get("eventlet.patcher")
    return bool(
        (gevent is not None and gevent.is_module_patched("threading"))
        or (eventlet is not None and eventlet.is_monkey_patched("thread"))
    )
