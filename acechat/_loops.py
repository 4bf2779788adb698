"""The event loops that are acechat's own: uvloop's, where it is installed."""

from __future__ import annotations

import socket
from asyncio import AbstractEventLoop
from collections.abc import Callable
from functools import partial
from typing import Any

__all__ = ["loop_factory"]


def loop_factory() -> Callable[[], AbstractEventLoop] | None:
    """Return what makes a loop of uvloop; None where that is not installed, for asyncio's own."""
    try:
        import uvloop
    except ImportError:
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
            look_up = partial(socket.getaddrinfo, host, port, family, type, proto, flags)
            found: list[Any] = await self.run_in_executor(None, look_up)
            return found

        async def getnameinfo(self, sockaddr: Any, flags: int = 0) -> tuple[str, str]:
            name: tuple[str, str]
            name = await self.run_in_executor(None, socket.getnameinfo, sockaddr, flags)
            return name

    return Loop
