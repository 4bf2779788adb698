"""Connections: what belongs to one event loop of one process."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextvars import ContextVar
from typing import TYPE_CHECKING
from weakref import WeakSet

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.tracing import Trace

if TYPE_CHECKING:
    from acechat._transport._response import Response

__all__ = ["Connector", "Pool", "reused"]

reused: ContextVar[bool] = ContextVar("acechat_reused")
"""Whether the request that this task is sending travels on a connection that was used before."""


class Connector(aiohttp.TCPConnector):
    """Knows whether a connection is new, and bounds everything that making one takes."""

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> aiohttp.connector.Connection:
        reused.set(True)
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol = connection.protocol
            if protocol is None or not protocol.should_close:
                return connection
            # Bytes arrived while the connection was idle: they answer nothing that was asked.
            connection.close()

    async def _create_connection(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> ResponseHandler:
        reused.set(False)
        # aiohttp's own limit is per address and leaves out the look-up of the host.
        async with asyncio.timeout(timeout.sock_connect):
            return await super()._create_connection(req, traces, timeout)


class Pool:
    """What belongs to one event loop of one process."""

    def __init__(self, session: aiohttp.ClientSession, slots: int | None, *, owned: bool) -> None:
        self.pid = os.getpid()
        self.session = session
        self.responses: WeakSet[Response] = WeakSet()
        self.draining: set[Response] = set()
        self.slots = asyncio.Semaphore(slots) if slots is not None else None
        self.closer = self._close_with_the_loop() if owned else None

    async def _close_with_the_loop(self) -> AsyncGenerator[None, None]:
        """Close the session when the loop ends without a close() of the client.

        `asyncio.run` closes the generators that are still open before it closes the loop.
        """
        try:
            yield
        finally:
            self.hang_up()
            await self.session.close()

    def hang_up(self) -> None:
        """Close the connections of answers that are whole but for the end of their bodies."""
        for response in list(self.draining):
            response.hang_up()
