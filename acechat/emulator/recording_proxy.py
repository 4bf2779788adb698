"""The recording proxy: forwards requests and appends each exchange to a cassette."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Iterable, Mapping

import aiohttp
from aiohttp import web
from yarl import URL

from acechat._files import append
from acechat._http.exceptions import map_exception
from acechat._http.proxy import read_proxy
from acechat._record.cassette import FIRST_LINE, as_lines
from acechat._record.exchange import Exchange, Request, ending_of
from acechat._record.recorder import ResponseRecorder
from acechat.emulator.app import describe
from acechat.emulator.connection import ClientGoneError, Framing, close, host_check, reset, write
from acechat.emulator.replay import secrets_of
from acechat.emulator.state import ServiceState
from acechat.errors import AceChatError, ConnectError, RequestTimeoutError

__all__ = ["create_recording_proxy"]

_NOT_FORWARDED = {
    "host", "content-length", "transfer-encoding", "connection", "keep-alive", "expect", "te",
    "upgrade", "accept-encoding",
}  # fmt: skip
"""Hop-by-hop headers; ``accept-encoding`` because a compressed cassette is unreadable."""

_NOT_RECORDED = {"authorization", "user-agent", "accept", "content-type"} | _NOT_FORWARDED

_CONNECT = 10.0
"""Seconds."""


def create_recording_proxy(
    state: ServiceState, upstream: str, path: str | os.PathLike[str], hosts: Iterable[str] = ()
) -> web.Application:
    """Return the application of a recording proxy.

    Args:
        state: Holds the received requests.
        upstream: The origin to which requests are forwarded, with their token.
        path: The cassette, to which each exchange is appended when it has ended.
        hosts: As in `create_app`.
    """
    proxy = _RecordingProxy(state, upstream, path)
    app = web.Application(
        client_max_size=state.max_request_bytes,
        middlewares=[host_check(hosts)],
        handler_args={"handler_cancellation": True, "access_log": None},
    )
    app.cleanup_ctx.append(proxy.run)
    app.router.add_route("*", "/{path:.*}", proxy.handle)
    return app


class _RecordingProxy:
    def __init__(self, state: ServiceState, upstream: str, path: str | os.PathLike[str]) -> None:
        self._state = state
        self._upstream = upstream.rstrip("/")
        self._proxy = read_proxy(None, self._upstream)
        self._path = path
        self._began: float | None = None

    async def run(self, _: web.Application) -> AsyncIterator[None]:
        """Keep the upstream connections open as long as the application runs."""
        session = aiohttp.ClientSession(
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT),
        )
        async with session as self._session:
            yield

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Forward one request, return its response, and record both."""
        body = await request.read()
        self._state.add_request(describe(request, body, self._state.next_trace_id()))
        now = time.monotonic()
        self._began = began = self._began or now
        sent = {name.lower(): value for name, value in request.headers.items()}
        recorder = ResponseRecorder(now, sys.maxsize)
        failure: AceChatError | None = None
        try:
            await self._forward(request, body, sent, recorder)
            recorder.end("clean", time.monotonic())
        except ClientGoneError:
            recorder.end("closed", time.monotonic())
        except asyncio.CancelledError:  # aiohttp cancels the handler when the client disconnects
            recorder.end("closed", time.monotonic())
            raise
        except Exception as error:  # noqa: BLE001 - any failure of the upstream is recorded and passed on
            failure = map_exception(error, "the connection broke")
            recorder.end(ending_of(failure), time.monotonic())
        finally:
            recorded = Request(
                method=request.method,
                path=request.path_qs,
                headers={name: sent[name] for name in sent if name not in _NOT_RECORDED},
                body=body,
                at=round(now - began, 6),
            )
            token = secrets_of(sent, request.path_qs)
            self._write(recorder.exchange(recorded, token, str(failure) if failure else None))
        if isinstance(failure, ConnectError | RequestTimeoutError):
            return web.json_response(
                {"error": {"code": "upstream_unreachable", "message": str(failure)}}, status=502
            )
        if failure is not None and ending_of(failure) == "reset":
            await reset(request)
        elif failure is not None and ending_of(failure) == "malformed":
            write(request, b"no HTTP\r\n\r\n")
        close(request)
        return web.StreamResponse()

    async def _forward(
        self, request: web.Request, body: bytes, sent: Mapping[str, str], recorder: ResponseRecorder
    ) -> None:
        headers = {name: sent[name] for name in sent if name not in _NOT_FORWARDED}
        async with self._session.request(
            request.method,
            URL(self._upstream + request.path_qs, encoded=True),
            data=body or None,
            headers=headers | {"accept-encoding": "identity"},
            allow_redirects=False,
            proxy=self._proxy,
        ) as response:
            received = {name.lower(): value for name, value in response.headers.items()}
            framing = Framing(received)
            recorder.receive_head(response.status, received, time.monotonic())
            write(request, framing.head(response.status))
            while data := await response.content.readany():
                recorder.add(data, time.monotonic())
                write(request, framing.chunk(data))
            write(request, framing.end())

    def _write(self, exchange: Exchange) -> None:
        append(self._path, as_lines([exchange]), first=FIRST_LINE)
