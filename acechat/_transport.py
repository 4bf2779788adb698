"""The client's only aiohttp: one request → one response, and foreign exceptions → ours.

aiohttp's exceptions are never kept as cause or context of ours: some of them show the headers of
the request, the token included, in their repr.
"""

from __future__ import annotations

import asyncio
import os
import ssl as _ssl
import time
from collections.abc import AsyncGenerator, Awaitable
from contextvars import ContextVar
from io import BytesIO
from typing import TypeVar
from urllib.request import getproxies_environment, proxy_bypass_environment
from weakref import WeakSet

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.tracing import Trace
from yarl import URL

from acechat._config import Config, Timeout
from acechat._request import HTTPRequest
from acechat._version import __version__
from acechat.errors import (
    AceChatError,
    ClientClosedError,
    ConfigurationError,
    ConnectError,
    RequestTimeoutError,
    TransportError,
)

__all__ = ["Response", "Transport", "read_proxy", "timed_out"]

_T = TypeVar("_T")

_KEEPALIVE = 15.0
"""Seconds that an idle connection is kept: well below the 60 s after which gateways cut one."""

_STALE_WITHIN = 2.0
"""Seconds. A connection that was dead when it was reused says so within a round trip."""

_GRACE = 0.1
"""Seconds that a stream's connection may take to end after ``[DONE]`` and still be kept."""

_SERVER = 500
"""From which status on a proxy's refusal may be about this moment only."""

_LARGE_BODY = 2**20
"""Bytes from which on aiohttp wants a file instead of bytes."""

_reused: ContextVar[bool] = ContextVar("acechat_reused")
"""Whether the request that this task is sending travels on a connection that was used before."""

# What arrived by fork() is the parent's: closing it here would end the parent's TLS sessions.
_inherited: list[object] = []


class _Connector(aiohttp.TCPConnector):
    """Knows whether a connection is new, and bounds everything that making one takes."""

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> aiohttp.connector.Connection:
        _reused.set(True)
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
        _reused.set(False)
        # aiohttp's own limit is per address and leaves out the look-up of the host.
        async with asyncio.timeout(timeout.sock_connect):
            return await super()._create_connection(req, traces, timeout)


class _Pool:
    """What belongs to one event loop of one process."""

    def __init__(self, session: aiohttp.ClientSession, slots: int | None, *, owned: bool) -> None:
        self.pid = os.getpid()
        self.session = session
        self.responses: WeakSet[Response] = WeakSet()
        self.slots = asyncio.Semaphore(slots) if slots is not None else None
        self.closer = self._close_with_the_loop() if owned else None

    async def _close_with_the_loop(self) -> AsyncGenerator[None, None]:
        """Close the session when the loop ends without a close() of the client.

        `asyncio.run` closes the generators that are still open before it closes the loop.
        """
        try:
            yield
        finally:
            await self.session.close()


class Response:
    """One response whose body is being read."""

    def __init__(self, raw: aiohttp.ClientResponse, pool: _Pool, headers: dict[str, str]) -> None:
        self.status = raw.status
        self.headers = headers
        self.timeout = Timeout()
        self.first_token_at: float | None = None
        """When the first content is due, on the loop's clock."""
        self.total_at: float | None = None
        """When the call must have ended, on the loop's clock."""
        self.open = True

        self._raw = raw
        self._pool = pool
        self._loop = asyncio.get_running_loop()
        self._failure: AceChatError | None = None
        self._phase: str | None = None  # of the read that is waiting
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        pool.responses.add(self)

    async def read(self, phase: str, at: float | None) -> bytes:
        """Wait for the next bytes of the body; return none at its clean end.

        Args:
            phase: The field of `Timeout` that limits the wait, beside the total.
            at: When that limit passes, on the loop's clock; None for never.

        Raises:
            RequestTimeoutError: A limit passed.
            TransportError: The connection broke, or the client was closed.
        """
        if self._failure is not None:
            raise self._failure
        total = self.total_at
        due = at if total is None or (at is not None and at < total) else total
        if due is not None:
            self._watch(phase, due)
        try:
            return await self._raw.content.readany()
        except Exception as error:  # noqa: BLE001 - the boundary to aiohttp: nothing foreign passes
            failure = self._failure or _translated(error, "the answer was cut")
        finally:
            self._phase = None
        self.abort(failure)
        raise failure

    def _watch(self, phase: str, due: float) -> None:
        """Arm the one timer of this response, unless it will look early enough by itself."""
        self._phase = phase
        self._due = due
        if self._timer is not None:
            if self._timer.when() <= due:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._phase is None:
            return  # nobody waits; the next read arms the timer again
        now = self._loop.time()
        if now < self._due:
            self._timer = self._loop.call_at(self._due, self._look)
        elif self.total_at is not None and now >= self.total_at:
            self.abort(timed_out("total", self.timeout))
        else:
            self.abort(timed_out(self._phase, self.timeout))

    def abort(self, failure: AceChatError | None = None) -> None:
        """Close the connection; a read that waits raises *failure*."""
        self._failure = self._failure or failure or TransportError("the response was closed")
        self._end()
        self._raw.close()

    def finish(self) -> None:
        """Give the connection back: the answer is whole, whatever else may follow."""
        self._end()
        if self._raw.connection is not None:
            late = self._loop.call_later(_GRACE, self._raw.close)
            self._raw.content.on_eof(late.cancel)

    def _end(self) -> None:
        if self.open:
            self.open = False
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if self._pool.slots is not None:
                self._pool.slots.release()

    def drop(self) -> None:
        """Abort from any thread, and after the loop has ended."""
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if here:
            self.abort()
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.abort)


class Transport:
    """Sends requests, each on the session of the running event loop.

    Args:
        config: Where to, and as whom.
        ssl: How to check the service's certificate; None for the system's way.
        session: The caller's own session, used as it is and not closed here.
    """

    def __init__(
        self,
        config: Config,
        *,
        ssl: _ssl.SSLContext | None = None,
        session: aiohttp.ClientSession | None = None,
    ) -> None:
        self._config = config
        self._root = URL(config.api_root, encoded=True)
        self._urls: dict[str, URL] = {}
        self._session = session
        self._pools: dict[asyncio.AbstractEventLoop, _Pool] = {}
        self._closed = False
        if ssl is None and (os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR")):
            # aiohttp made its context when it was imported, which may be before they were set.
            ssl = _ssl.create_default_context()
        self._ssl: _ssl.SSLContext | bool = True if ssl is None else ssl
        self._headers = {
            "Authorization": f"Bearer {config.token.reveal()}",
            "Content-Type": "application/json",
            "Accept": "application/json",  # for streams too, as the source document has it
            "Accept-Encoding": "gzip, deflate",
            "User-Agent": f"acechat/{__version__}",
        }

    async def open(
        self, request: HTTPRequest, timeout: Timeout, total_at: float | None
    ) -> Response:
        """Send *request* and wait for the head of the response.

        Args:
            request: What to send.
            timeout: The limits of the call.
            total_at: When the call must have ended, on the loop's clock; None for never.

        Raises:
            ConnectError: There was no connection, so nothing was sent.
            RequestTimeoutError: A limit passed.
            TransportError: The connection broke before the response began.
        """
        pool = await self._pool()
        if pool.slots is not None:
            await _within(pool.slots.acquire(), total_at, "total", timeout)
        loop = asyncio.get_running_loop()
        response = None
        try:
            now = loop.time()
            first_at = None if timeout.first_token is None else now + timeout.first_token
            phase, due = "first_token", first_at
            if total_at is not None and (due is None or total_at < due):
                phase, due = "total", total_at
            raw = await _within(self._send(pool, request, timeout), due, phase, timeout)
            redact = self._config.token.redact_text
            headers = {name.lower(): redact(value) for name, value in raw.headers.items()}
            response = Response(raw, pool, headers)
        finally:
            if response is None and pool.slots is not None:
                pool.slots.release()
        response.timeout = timeout
        response.first_token_at = first_at
        response.total_at = total_at
        if self._closed:
            response.abort(ClientClosedError())
        return response

    async def _send(
        self, pool: _Pool, request: HTTPRequest, timeout: Timeout
    ) -> aiohttp.ClientResponse:
        url = self._urls.get(request.path)
        if url is None:
            url = URL(f"{self._root}{request.path}", encoded=True)
            self._urls[request.path] = url
        body = request.body
        headers = request.headers or None
        if self._session is not None:
            headers = self._headers | request.headers
        limits = aiohttp.ClientTimeout(total=None, sock_connect=timeout.connect)
        while True:
            _reused.set(False)
            began = time.monotonic()
            large = body is not None and len(body) > _LARGE_BODY
            try:
                return await pool.session.request(
                    request.method,
                    url,
                    data=BytesIO(body or b"") if large else body,
                    headers=headers,
                    allow_redirects=False,
                    timeout=limits,
                    proxy=self._config.proxy,
                    ssl=self._ssl,
                )
            except Exception as error:  # noqa: BLE001 - as in Response.read
                failure = _translated(error, "the connection broke before the answer")
            if self._closed:
                raise ClientClosedError
            if isinstance(failure, RequestTimeoutError):
                raise timed_out("connect", timeout)
            # A kept connection that the server had closed meanwhile: the request went nowhere.
            dead = _reused.get() and time.monotonic() - began < _STALE_WITHIN
            if not dead or isinstance(failure, ConnectError):
                raise failure

    async def _pool(self) -> _Pool:
        if self._closed:
            raise ClientClosedError
        loop = asyncio.get_running_loop()
        pool = self._pools.get(loop)
        if pool is not None and pool.pid == os.getpid():
            return pool
        if pool is not None:
            _inherited.append(pool)
        for old in [old for old in self._pools if old.is_closed()]:
            del self._pools[old]
        session = self._session or aiohttp.ClientSession(
            connector=_Connector(limit=0, keepalive_timeout=_KEEPALIVE),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=self._headers,
        )
        pool = _Pool(session, self._config.max_concurrency, owned=self._session is None)
        self._pools[loop] = pool
        if pool.closer is not None:
            await anext(pool.closer)
        return pool

    async def close(self) -> None:
        """End what is under way, with `ClientClosedError`, and close the connections."""
        self._closed = True
        pools, self._pools = self._pools, {}
        here = asyncio.get_running_loop()
        for loop, pool in pools.items():
            if pool.pid != os.getpid():
                _inherited.append(pool)
            elif loop is here:
                for response in list(pool.responses):
                    if response.open:
                        response.abort(ClientClosedError())
                if pool.closer is not None:
                    await pool.closer.aclose()


def read_proxy(given: str | None, api_root: str) -> str | None:
    """Return the proxy to use: the one *given*, none for ``""``, the environment's for None.

    The environment is read here, because aiohttp's ``trust_env`` would read ``~/.netrc`` as well,
    per request.

    Raises:
        ConfigurationError: The proxy is of a kind that aiohttp does not speak.
    """
    proxy = given
    if proxy is None:
        url = URL(api_root)
        if not proxy_bypass_environment(url.host or ""):
            proxies = getproxies_environment()
            proxy = proxies.get(url.scheme) or proxies.get("all")
    if proxy and not proxy.lower().startswith(("http://", "https://")):
        raise ConfigurationError(
            "a proxy must begin with http:// or https://, "
            f"not with {proxy.partition('://')[0]}:// (proxy=\"\" uses none)"
        )
    return proxy or None


async def _within(
    awaitable: Awaitable[_T], at: float | None, phase: str, timeout: Timeout
) -> _T:
    """Await, until the limit *phase* passes at the time *at* of the loop's clock."""
    scope = asyncio.timeout_at(at)
    try:
        async with scope:
            return await awaitable
    except TimeoutError:
        if not scope.expired():
            raise
    raise timed_out(phase, timeout)


def timed_out(phase: str, timeout: Timeout) -> RequestTimeoutError:
    """Make the error of the limit *phase* of *timeout*."""
    return RequestTimeoutError(phase, getattr(timeout, phase) or 0.0)


def _translated(error: Exception, otherwise: str) -> AceChatError:
    """Turn a foreign exception into ours, keeping its text alone."""
    match error:
        case AceChatError():
            return error
        case aiohttp.ClientConnectorCertificateError():
            reason = getattr(error.certificate_error, "verify_message", "") or str(error)
            return ConnectError(
                f"the certificate of {error.host}:{error.port} is not trusted: {reason}", final=True
            )
        case aiohttp.ClientConnectorSSLError():
            return ConnectError(
                f"TLS with {error.host}:{error.port} failed: {error.os_error}", final=True
            )
        case aiohttp.ClientConnectorDNSError():
            return ConnectError(f"cannot find the host {error.host}: {error.os_error}")
        case aiohttp.ClientProxyConnectionError():
            return ConnectError(f"cannot connect to the proxy {error.host}:{error.port}")
        case aiohttp.ClientConnectorError():
            why = os.strerror(error.os_error.errno) if error.os_error.errno else error.os_error
            return ConnectError(f"cannot connect to {error.host}:{error.port}: {why}")
        case aiohttp.ClientHttpProxyError():
            return ConnectError(
                f"the proxy refused: {error.status} {error.message}", final=error.status < _SERVER
            )
        case aiohttp.InvalidURL():
            return ConfigurationError(f"no URL that can be asked: {error}")
        case TimeoutError():
            return RequestTimeoutError("connect", 0.0)
        case aiohttp.ServerDisconnectedError():
            return TransportError(f"{otherwise}: the server closed it")
        case _:
            return TransportError(f"{otherwise}: {error or type(error).__name__}")
