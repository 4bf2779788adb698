"""A request that is written straight to a connection of aiohttp's pool.

`aiohttp.ClientSession.request` makes ready for cookies, redirects, netrc, traces and uploads, none
of which a call of ours has. That is a third of what a call costs, and on Python 3.11 a turn of the
event loop before anything is written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress

import aiohttp
from aiohttp.client_proto import ResponseHandler

from acechat._http.connection import ConnectionHandler, Connector

__all__ = ["DirectSender", "RawResponse"]

_INFORMED = range(100, 200)
_UPGRADED = 101


class RawResponse:
    """A response whose head has come: of `aiohttp.ClientResponse`, what a `Response` uses."""

    __slots__ = ("connection", "content", "status")

    def __init__(
        self,
        connection: aiohttp.connector.Connection,
        status: int,
        content: aiohttp.StreamReader,
    ) -> None:
        self.connection: aiohttp.connector.Connection | None = connection
        """None once it was given back."""

        self.status: int = status
        self.content = content
        content.on_eof(self._give_back)

    def _give_back(self) -> None:
        connection = self.connection
        if connection is None or (connection.protocol and connection.protocol.upgraded):
            return
        self.connection = None
        transport = connection.transport
        if transport is not None and transport.get_write_buffer_size():
            connection.close()  # the server answered before it had read the request
        else:
            connection.release()

    def close(self) -> None:
        """Close the connection; who waits for the body is told."""
        if not self.content.is_eof() and self.content.exception() is None:
            with suppress(RuntimeError):  # its loop is closed
                self.content.set_exception(aiohttp.ClientConnectionError("closed"))
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.close()


class DirectSender:
    """Sends bodies to one URL.

    Args:
        connector: Whose connections to use.
        address: What the connector takes for one, with the headers that all requests have.
    """

    def __init__(self, connector: Connector, address: aiohttp.ClientRequest) -> None:
        self._connector = connector
        self._address = address
        self._head = self._write_head({})

    def _write_head(self, headers: dict[str, str]) -> bytes:
        """Write all but the length of the body; *headers* were checked, and win."""
        told = self._address.headers.copy()
        told.pop("Content-Length", None)  # aiohttp's is that of no body
        told.update(headers)
        lines = [f"{self._address.method} {self._address.url.raw_path_qs} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in told.items()]
        return "\r\n".join([*lines, "Content-Length: "]).encode()

    async def send(
        self, headers: dict[str, str], body: bytes, timeout: aiohttp.ClientTimeout
    ) -> tuple[RawResponse, Mapping[str, str]]:
        """Send *body* and wait for the head of the response; exceptions are aiohttp's.

        Args:
            headers: Those of this request alone.
            body: So small that it is written at once.
            timeout: The limit of connecting.

        Returns:
            The response, and its headers as aiohttp has them: too large to be kept by each stream.
        """
        head = self._write_head(headers) if headers else self._head
        connection = await self._connector.connect(self._address, [], timeout)
        try:
            protocol, transport = connection.protocol, connection.transport
            assert protocol is not None  # noqa: S101 - it was just opened
            assert transport is not None  # noqa: S101
            protocol.set_response_params(read_until_eof=True)
            # Not at once: what many calls write one right after the other wakes the kernel once.
            self._address.loop.call_soon(
                _write, protocol, transport, b"%b%d\r\n\r\n%b" % (head, len(body), body)
            )
            while True:
                message, content = await protocol.read()
                if message.code not in _INFORMED or message.code == _UPGRADED:
                    return RawResponse(connection, message.code, content), message.headers
        except BaseException:
            connection.close()
            raise


def _write(protocol: ResponseHandler, transport: asyncio.Transport, data: bytes) -> None:
    if transport.is_closing():
        return
    transport.write(data)
    if (
        isinstance(protocol, ConnectionHandler) and not transport.is_closing()
    ):  # else nothing was accepted
        protocol.asks(len(data))
