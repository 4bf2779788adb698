"""The transport: sends one request and returns its response."""

from __future__ import annotations

import asyncio
import ssl as _ssl
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import TypeAlias

import aiohttp
import msgspec
from multidict import CIMultiDict, CIMultiDictProxy, istr
from yarl import URL

from acechat._config import Config
from acechat._http.certificates import named_certificates
from acechat._http.connection import ConnectionState, Connector, current_connection
from acechat._http.content_coding import find_decoder, header_texts
from acechat._http.direct import OWN_REQUEST, DirectSender, RawResponse
from acechat._http.exceptions import MAX_FIELD, MAX_HEADERS, map_exception, timeout_error
from acechat._http.pool import Pool
from acechat._http.resolver import Resolver
from acechat._http.response import AiohttpResponse
from acechat._http.upload import Upload
from acechat._policy.values import Timeout
from acechat._record.recorder import Recorder, Recording
from acechat._rotating_token import RotatingToken
from acechat._version import __version__
from acechat._wire.request import HTTPRequest
from acechat.errors import ClientClosedError, ConfigurationError, ConnectError, RequestTimeoutError

__all__ = ["Transport"]

_Received: TypeAlias = tuple[aiohttp.ClientResponse | RawResponse, CIMultiDictProxy[str]]
"""A response and aiohttp's headers."""

_KEEPALIVE = 15.0
"""Seconds that an idle connection is kept; gateways commonly close them after 60 s."""

_MAX_SENDERS = 32
"""Cached senders, one for each method and path."""

_LARGE_BODY, _LARGE_UPLOAD = 2**21, 2**20
"""Bytes of the largest body that is written at once, directly or by aiohttp's session, which warns
of larger ones; these are written in chunks."""


@lru_cache(maxsize=16)
def _limits(connect: float | None) -> aiohttp.ClientTimeout:
    """Return aiohttp's timeouts, for connecting only; acechat enforces the others."""
    return aiohttp.ClientTimeout(total=None, sock_connect=connect)


class Transport:
    """Sends requests, each with the connection pool of the running event loop.

    Args:
        config: The client's settings: URL, token, headers, proxy and concurrency.
        ssl: TLS context for the service and the proxy; None for the system's certificates.
        session: The caller's session, which is never closed here; None to create one per loop.
        with_token: Whether requests have the ``Authorization`` header.
    """

    def __init__(
        self,
        config: Config,
        *,
        ssl: _ssl.SSLContext | None = None,
        session: aiohttp.ClientSession | None = None,
        with_token: bool = True,
    ) -> None:
        self.recorder: Recorder = Recorder(config)
        """Recorder of all calls that share these connections."""

        self._config = config
        self._root = URL(config.api_root, encoded=True)
        self._session = session
        self._pools: dict[asyncio.AbstractEventLoop, Pool] = {}
        self._closed = False
        tls = self._root.scheme == "https" or (config.proxy or "").startswith("https:")
        if ssl is None and tls:
            ssl = named_certificates()
        self._ssl: _ssl.SSLContext | bool = True if ssl is None else ssl
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",  # for streams, too (docs/api.md#transport)
            "Accept-Encoding": "gzip, deflate",
            "User-Agent": f"acechat/{__version__}",
        }
        token = config.token
        self._token = token if with_token and isinstance(token, RotatingToken) else None
        if with_token and self._token is None:
            headers["Authorization"] = f"Bearer {config.token.reveal()}"
        # aiohttp's own type, into which it would convert a dict for each request.
        self._headers = CIMultiDict({istr(name): value for name, value in headers.items()})

    def anonymous(self, api_root: str) -> Transport:
        """Return a transport to *api_root* that sends no token and no client headers."""
        config = msgspec.structs.replace(self._config, api_root=api_root, headers={})
        ssl = None if self._ssl is True else self._ssl
        return Transport(
            config,
            ssl=ssl if isinstance(ssl, _ssl.SSLContext) else None,
            session=self._session,
            with_token=False,
        )

    async def open(
        self,
        request: HTTPRequest,
        timeout: Timeout,
        total_at: float | None,
        ready: Callable[[], Awaitable[None] | None] | None = None,
        recording: Recording | None = None,
    ) -> AiohttpResponse:
        """Send *request* and wait for the head of the response.

        Args:
            request: The request.
            timeout: The limits of the call.
            total_at: Deadline of the call on the loop's clock; None for no limit.
            ready: Called after the request has a slot and before it is sent; what it returns is
                awaited, unless it is None. Default None.
            recording: Records the exchange; None if recording is off.

        Raises:
            ConnectError: No connection could be opened; nothing was sent.
            RequestTimeoutError: A time limit passed.
            TransportError: The connection broke before the response began.
            ClientClosedError: The client was closed.
            ConfigurationError: The caller's session cannot be used in this event loop.
        """
        # Not `_find_pool`: a coroutine for each call costs time.
        pool = self._pools.get(asyncio.get_running_loop())
        pool = pool if pool is not None and pool.usable else await self._find_pool()
        state = ConnectionState()
        if pool.slots is not None:
            await pool.run_with_deadline(pool.slots.acquire(), total_at, "total", timeout, state)
        if ready is not None:
            try:
                if (wait := ready()) is not None:
                    await pool.run_with_deadline(wait, total_at, "total", timeout, state)
            except BaseException:
                if pool.slots is not None:
                    pool.slots.release()
                raise
        now = asyncio.get_running_loop().time()
        first_at = None if timeout.first_token is None else now + timeout.first_token
        phase, due = "first_token", first_at
        if total_at is not None and (due is None or total_at < due):
            phase, due = "total", total_at
        try:
            sending = self._send(pool, request, timeout, state)
            raw, raw_headers = await pool.run_with_deadline(sending, due, phase, timeout, state)
        except BaseException:
            if pool.slots is not None:
                pool.slots.release()
            raise
        headers = self._config.token.redact_headers(header_texts(raw_headers))
        response = AiohttpResponse(raw, pool, headers, timeout, first_at, total_at)
        if "content-encoding" in headers:
            response.decoder = find_decoder(
                raw_headers.getall("Content-Encoding"), by_aiohttp=pool.session.auto_decompress
            )
        if recording is not None:
            response.recorder = recording.receive_head(
                response.status, headers, asyncio.get_running_loop().time()
            )
        if self._closed:
            response.abort(ClientClosedError())
        return response

    async def _send(
        self, pool: Pool, request: HTTPRequest, timeout: Timeout, state: ConnectionState
    ) -> _Received:
        body = request.body
        limits = _limits(timeout.connect)
        state.sent = pool.connector is None  # unknown with the caller's session
        if self._token is not None:
            await self._token.fetch()
        before = current_connection.set(state)
        while True:
            try:
                direct = self._direct(pool, request)
                if direct is None or not isinstance(body, bytes):
                    state.size = len(body or b"") or 1
                    received = await self._send_by_session(pool.session, request, limits)
                else:
                    headers = request.headers
                    received = await direct.send(
                        headers if self._token is None else self._token.authorize(headers),
                        body,
                        limits,
                        alone=len(pool.waits) == 1,
                    )
                current_connection.reset(
                    before
                )  # so that the task does not keep it alive while it reads a stream
                return received  # noqa: TRY300 - its errors are those of the call
            except Exception as error:  # noqa: BLE001 - converts all exceptions of aiohttp
                failure = map_exception(error, "the connection broke before the response")
                if isinstance(error, RuntimeError) and self._session is not None:
                    failure = ConfigurationError(
                        "session= is closed or belongs to another event loop: "
                        "pass one that was created in the running event loop"
                    )
            except BaseException as ended:  # noqa: BLE001 - as below
                state.abort()
                raise ended.with_traceback(None)  # noqa: B904 - its frames contain the token
            state.abort()
            if self._closed:
                raise ClientClosedError
            if isinstance(failure, RequestTimeoutError):
                raise timeout_error("connect", timeout, looking_up=state.looking_up)
            # Send again only if the server cannot have read the request: it may be billed.
            if not state.unsent or state.fresh or isinstance(failure, ConnectError):
                raise failure
            state.renew()

    async def _send_by_session(
        self, session: aiohttp.ClientSession, request: HTTPRequest, limits: aiohttp.ClientTimeout
    ) -> _Received:
        """Send a large request, or one through a proxy or the caller's session, with aiohttp."""
        headers = self._headers
        if request.headers or self._token is not None:
            headers = headers.copy()
            headers.update(request.headers)
            if self._token is not None:
                headers.update(self._token.authorize({}))
        body = request.body
        response = await session.request(
            request.method,
            self._url(request.path),
            data=body if body is None or len(body) <= _LARGE_UPLOAD else Upload(body),
            # Not on the session: aiohttp sends the headers of a session to proxies.
            headers=headers,
            allow_redirects=False,
            raise_for_status=False,
            timeout=limits,
            proxy=self._config.proxy,
            ssl=self._ssl,
        )
        return response, response.headers

    def _direct(self, pool: Pool, request: HTTPRequest) -> DirectSender | None:
        """Return the direct sender for *request*; None if the session must send it."""
        if pool.connector is None or self._config.proxy or len(request.body or b"") > _LARGE_BODY:
            return None
        if pool.traced or getattr(aiohttp.ClientSession, "_request", None) is not OWN_REQUEST:
            return None
        key = request.method, request.path
        direct = pool.direct.get(key)
        if direct is None:
            if len(pool.direct) >= _MAX_SENDERS:  # a middleware may send to any number of paths
                pool.direct.clear()
            address = aiohttp.ClientRequest(
                request.method,
                self._url(request.path),
                headers=self._headers,
                loop=pool.loop,
                session=pool.session,
                ssl=self._ssl,
            )
            direct = pool.direct[key] = DirectSender(pool.connector, address)
        return direct

    def _url(self, path: str) -> URL:
        return URL(f"{self._root}{path}", encoded=True)

    async def pause(self, seconds: float, timeout: Timeout) -> None:
        """Wait *seconds* between two attempts.

        Raises:
            ClientClosedError: The client was closed meanwhile.
        """
        pool = await self._find_pool()
        await pool.run_with_deadline(
            asyncio.sleep(seconds), None, "total", timeout, ConnectionState()
        )

    async def _find_pool(self) -> Pool:
        if self._closed:
            raise ClientClosedError
        loop = asyncio.get_running_loop()
        pool = self._pools.get(loop)
        if pool is not None and pool.usable:
            return pool
        for old in [old for old in list(self._pools) if old.is_closed()]:
            self._pools.pop(old, None)  # another thread may remove it, too
        session, connector = self._session, None
        if session is None:
            connector = Connector(limit=0, keepalive_timeout=_KEEPALIVE, resolver=Resolver())
            connector.adopt()
            session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                max_line_size=MAX_FIELD,
                max_field_size=MAX_FIELD,
                max_headers=MAX_HEADERS,
            )
        pool = Pool(session, connector, self._config.max_concurrency)
        self._pools[loop] = pool
        await pool.start(self)
        return pool

    async def close(self) -> None:
        """End pending requests with `ClientClosedError` and close the connections."""
        self._closed = True
        pools, self._pools = self._pools, {}
        here = asyncio.get_running_loop() if pools else None
        for loop, pool in pools.items():
            if loop is here:
                await pool.close()
            else:
                pool.abandon()
