"""Host resolution for aiohttp."""

from __future__ import annotations

import os
import socket
from functools import partial

from aiohttp.abc import AbstractResolver, ResolveResult

from acechat._http.lookups import look_up

__all__ = ["Resolver"]

_NUMERIC = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV


class Resolver(AbstractResolver):
    """Resolves hosts with the system's resolver, in threads of its own."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of *host*.

        Raises:
            OSError: The host cannot be resolved.
        """
        return await look_up(_resolve, host, port, family)

    async def close(self) -> None:
        """Do nothing: unfinished lookups are abandoned."""


def _resolve(host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
    getaddrinfo = partial(socket.getaddrinfo, host, port, family=family, type=socket.SOCK_STREAM)
    try:
        infos = getaddrinfo(flags=socket.AI_ADDRCONFIG)
    except socket.gaierror:
        # Without a network, Windows cannot resolve localhost with this flag.
        if os.name != "nt" or host.rstrip(".").casefold() != "localhost":
            raise
        infos = getaddrinfo(flags=0)
    found: list[ResolveResult] = []
    for kind, _, proto, _, address in infos:
        name = str(address[0])
        if kind == socket.AF_INET6:
            if len(address) < 3:  # noqa: PLR2004 - this Python is built without IPv6
                continue
            if address[3]:  # a link-local address includes its interface
                flags = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
                name = socket.getnameinfo(address, flags)[0]
        found.append(
            ResolveResult(
                hostname=host, host=name, port=port, family=kind, proto=proto, flags=_NUMERIC
            )
        )
    return found
