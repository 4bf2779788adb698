"""Requests written directly to a connection of aiohttp's pool.

`aiohttp.ClientSession.request` handles cookies, redirects, netrc, traces and uploads, which a call
does not use. That takes a third of the CPU time of a call and, on Python 3.11, one iteration of the
event loop before anything is written.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

import aiohttp
from aiohttp.client_proto import ResponseHandler
from multidict import CIMultiDictProxy

from acechat._http.connection import ConnectionHandler, Connector
from acechat._http.exceptions import MAX_FIELD, MAX_HEADERS
from acechat._http.waiter import Waiter

__all__ = ["OWN_REQUEST", "DirectSender", "RawResponse"]

_INFORMATIONAL = range(100, 200)
_SWITCHING_PROTOCOLS = 101


def _own_request() -> object:
    """Return aiohttp's own `ClientSession._request`; a unique object if a tool has replaced it."""
    request = getattr(aiohttp.ClientSession, "_request", None)
    source = getattr(getattr(request, "__code__", None), "co_filename", None)
    return request if source == aiohttp.client.request.__code__.co_filename else object()


OWN_REQUEST = _own_request()
"""Tools that trace or mock requests replace it: while they do, they must see all requests."""


class RawResponse:
    """A response whose head has arrived; the part of `aiohttp.ClientResponse` used here.

    The connection returns to the pool at the end of the body.
    """

    __slots__ = ("connection", "content", "status")

    def __init__(
        self,
        connection: aiohttp.connector.Connection,
        status: int,
        content: aiohttp.StreamReader,
    ) -> None:
        self.connection: aiohttp.connector.Connection | None = connection
        """None after it was returned to the pool or closed."""

        self.status: int = status
        self.content = content
        content.on_eof(self._release)

    def _release(self) -> None:
        connection = self.connection
        if connection is None or (connection.protocol and connection.protocol.upgraded):
            return
        self.connection = None
        transport = connection.transport
        if transport is not None and transport.get_write_buffer_size():
            connection.close()  # the server responded before it read the request
        else:
            connection.release()

    def close(self) -> None:
        """Close the connection; a pending read of the body raises."""
        if not self.content.is_eof() and self.content.exception() is None:
            with suppress(RuntimeError):  # its loop is closed
                self.content.set_exception(aiohttp.ClientConnectionError("closed"))
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.close()


class _HeadReader(Waiter):
    """Resumes the task that waits for the head of a response as soon as data arrives.

    Thus one call has used its head before the next head is parsed: of hundreds of calls that begin
    at once, the first texts come earlier, and less memory is used at the peak.
    """

    __slots__ = ("unread",)
    unread: bytes

    def data_ready(self) -> None:
        self.wake()


class DirectSender:
    """Sends requests of one method to one URL.

    Args:
        connector: Source of connections.
        address: The request that identifies the connection, with the headers of all requests.
    """

    def __init__(self, connector: Connector, address: aiohttp.ClientRequest) -> None:
        self._connector = connector
        self._address = address
        self._head = self._write_head({})

    def _write_head(self, headers: dict[str, str]) -> bytes:
        """Encode the head up to the body length; *headers* are validated and override others."""
        merged = self._address.headers.copy()
        merged.pop("Content-Length", None)  # aiohttp computed it without a body
        merged.update(headers)
        lines = [f"{self._address.method} {self._address.url.raw_path_qs} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in merged.items()]
        return "\r\n".join([*lines, "Content-Length: "]).encode()

    async def send(
        self,
        headers: dict[str, str],
        body: bytes,
        timeout: aiohttp.ClientTimeout,
        *,
        alone: bool,
    ) -> tuple[RawResponse, CIMultiDictProxy[str]]:
        """Send *body* and wait for the head of the response. Raises aiohttp's exceptions.

        Args:
            headers: Additional headers of this request.
            body: The body, at most 2 MiB: it is written at once.
            timeout: The time limit of connecting.
            alone: Whether no other call waits for its response.

        Returns:
            The response and aiohttp's headers, which are too large to be kept for each stream.
        """
        head = self._write_head(headers) if headers else self._head
        connection = await self._connector.connect(self._address, [], timeout)
        try:
            protocol, transport = connection.protocol, connection.transport
            assert isinstance(protocol, ConnectionHandler)  # noqa: S101 - of `Connector`
            assert transport is not None  # noqa: S101 - it was just opened
            protocol.set_response_params(
                read_until_eof=True,
                max_line_size=MAX_FIELD,
                max_field_size=MAX_FIELD,
                max_headers=MAX_HEADERS,
            )
            protocol.reader = reader = _HeadReader(self._address.loop)
            data = b"%b%d\r\n\r\n%b" % (head, len(body), body)
            if alone:
                _write(protocol, transport, data)
            else:  # the writes of many calls in one iteration of the loop need fewer wake-ups
                self._address.loop.call_soon(_write, protocol, transport, data)
            while True:
                while not (protocol or protocol.is_eof()):
                    await reader
                message, content = await protocol.read()
                if message.code not in _INFORMATIONAL or message.code == _SWITCHING_PROTOCOLS:
                    return RawResponse(connection, message.code, content), message.headers
        except BaseException:
            connection.close()
            raise


def _write(protocol: ResponseHandler, transport: asyncio.Transport, data: bytes) -> None:
    if transport.is_closing():
        return
    transport.write(data)
    # A transport that is closing now has accepted nothing.
    if isinstance(protocol, ConnectionHandler) and not transport.is_closing():
        protocol.request_written(len(data))
