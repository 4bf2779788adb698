"""A request that is written straight to a connection of aiohttp's pool.

`aiohttp.ClientSession.request` makes ready for cookies, redirects, netrc, traces and uploads, none
of which a call of ours has. That is a third of what a call costs, and on Python 3.11 a turn of the
event loop before anything is written.
"""

from __future__ import annotations

from contextlib import suppress

import aiohttp
from aiohttp.http import StreamWriter
from multidict import istr

from acechat._transport._pool import Connector

__all__ = ["Answer", "Direct"]

_CONTENT_LENGTH = istr("Content-Length")
_INFORMED = range(100, 200)
_UPGRADED = 101


class Answer:
    """A response whose head has come: of `aiohttp.ClientResponse`, what a `Response` uses."""

    __slots__ = ("connection", "content", "headers", "status")

    def __init__(
        self,
        connection: aiohttp.connector.Connection,
        message: aiohttp.http.RawResponseMessage,
        content: aiohttp.StreamReader,
    ) -> None:
        self.connection: aiohttp.connector.Connection | None = connection
        """None once it was given back."""

        self.status: int = message.code
        self.headers = message.headers
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


class Direct:
    """Sends bodies to one URL.

    Args:
        connector: Whose connections to use.
        address: What the connector takes for one, with the headers that all requests have.
    """

    def __init__(self, connector: Connector, address: aiohttp.ClientRequest) -> None:
        self._connector = connector
        self._address = address
        self._line = f"{address.method} {address.url.raw_path_qs} HTTP/1.1"

    async def send(
        self, headers: dict[str, str], body: bytes, timeout: aiohttp.ClientTimeout
    ) -> Answer:
        """Send *body* and wait for the head of the response; exceptions are aiohttp's.

        Args:
            headers: Those of this request alone; they win.
            body: So small that it is written at once.
            timeout: The limit of connecting.
        """
        told = self._address.headers.copy()
        told.update(headers)
        told[_CONTENT_LENGTH] = str(len(body))
        connection = await self._connector.connect(self._address, [], timeout)
        try:
            protocol = connection.protocol
            assert protocol is not None  # noqa: S101 - it was just opened
            protocol.set_response_params(read_until_eof=True)
            writer = StreamWriter(protocol, self._address.loop)
            await writer.write_headers(self._line, told)
            await writer.write(body, drain=False)  # an answer may come before all of it is read
            while True:
                message, content = await protocol.read()
                if message.code not in _INFORMED or message.code == _UPGRADED:
                    return Answer(connection, message, content)
        except BaseException:
            connection.close()
            raise
