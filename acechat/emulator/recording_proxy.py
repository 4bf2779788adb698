"""The recording relay: it hands requests on, and writes down what came of them."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping

import aiohttp
from aiohttp import web
from yarl import URL

from acechat._credentials import Token
from acechat._http.exceptions import map_exception
from acechat._http.proxy import read_proxy
from acechat._record.cassette import FIRST_LINE, as_lines
from acechat._record.exchange import Exchange, Request, ending_of
from acechat._record.recorder import ResponseRecorder
from acechat.emulator.app import describe
from acechat.emulator.connection import ClientGoneError, Framing, hang_up, reset, write
from acechat.emulator.state import ServiceState
from acechat.errors import AceChatError, ConnectError, RequestTimeoutError

__all__ = ["create_relay"]

_NOT_HANDED_ON = {
    "host", "content-length", "transfer-encoding", "connection", "keep-alive", "expect", "te",
    "upgrade", "accept-encoding",
}  # fmt: skip
"""Headers about one connection. Compression would make the cassette unreadable."""

_NOT_RECORDED = {"authorization", "user-agent", "accept", "content-type"} | _NOT_HANDED_ON

_CONNECT = 10.0
"""Seconds."""


def create_relay(
    stage: ServiceState, upstream: str, path: str | os.PathLike[str]
) -> web.Application:
    """Make the application of a relay.

    Args:
        stage: Keeps the requests.
        upstream: The origin to which requests go, with what authorizes them.
        path: The cassette. Each exchange is added to it when it has ended.
    """
    relay = _Relay(stage, upstream, path)
    app = web.Application(
        client_max_size=stage.max_request_bytes,
        handler_args={"handler_cancellation": True, "access_log": None},
    )
    app.cleanup_ctx.append(relay.run)
    app.router.add_route("*", "/{path:.*}", relay.attend)
    return app


class _Relay:
    def __init__(self, stage: ServiceState, upstream: str, path: str | os.PathLike[str]) -> None:
        self._stage = stage
        self._upstream = upstream.rstrip("/")
        self._proxy = read_proxy(None, self._upstream)
        self._path = path
        self._began: float | None = None

    async def run(self, _: web.Application) -> AsyncIterator[None]:
        """Keep the connections as long as the application runs."""
        session = aiohttp.ClientSession(
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT),
        )
        async with session as self._session:
            yield

    async def attend(self, request: web.Request) -> web.StreamResponse:
        """Hand one request on, and its answer back; write both down."""
        body = await request.read()
        self._stage.note(describe(request, body, self._stage.next_trace_id()))
        now = time.monotonic()
        self._began = began = self._began or now
        sent = {name.lower(): value for name, value in request.headers.items()}
        tape = ResponseRecorder(now, sys.maxsize)
        failure: AceChatError | None = None
        try:
            await self._hand_on(request, body, sent, tape)
            tape.end("clean", time.monotonic())
        except ClientGoneError:
            tape.end("closed", time.monotonic())
        except asyncio.CancelledError:  # so aiohttp tells that the client is gone
            tape.end("closed", time.monotonic())
            raise
        except Exception as error:  # noqa: BLE001 - whatever aiohttp raises is to be handed on
            failure = map_exception(error, "the connection broke")
            tape.end(ending_of(failure), time.monotonic())
        finally:
            recorded = Request(
                method=request.method,
                path=request.path_qs,
                headers={name: sent[name] for name in sent if name not in _NOT_RECORDED},
                body=body,
                at=round(now - began, 6),
            )
            token = Token(sent.get("authorization", "").rpartition(" ")[2])
            self._write(tape.exchange(recorded, token, str(failure) if failure else None))
        if isinstance(failure, ConnectError | RequestTimeoutError):
            return web.json_response(
                {"error": {"code": "upstream_unreachable", "message": str(failure)}}, status=502
            )
        if failure is not None and ending_of(failure) == "reset":
            await reset(request)
        elif failure is not None and ending_of(failure) == "malformed":
            write(request, b"no HTTP\r\n\r\n")
        hang_up(request)
        return web.StreamResponse()

    async def _hand_on(
        self, request: web.Request, body: bytes, sent: Mapping[str, str], tape: ResponseRecorder
    ) -> None:
        handed = {name: sent[name] for name in sent if name not in _NOT_HANDED_ON}
        async with self._session.request(
            request.method,
            URL(self._upstream + request.path_qs, encoded=True),
            data=body or None,
            headers=handed | {"accept-encoding": "identity"},
            allow_redirects=False,
            proxy=self._proxy,
        ) as answer:
            headers = {name.lower(): value for name, value in answer.headers.items()}
            framing = Framing(headers)
            tape.receive_head(answer.status, headers, time.monotonic())
            write(request, framing.head(answer.status))
            while data := await answer.content.readany():
                tape.add(data, time.monotonic())
                write(request, framing.piece(data))
            write(request, framing.end())

    def _write(self, exchange: Exchange) -> None:
        """Add *exchange* to the cassette, in one write."""
        cassette = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            first = b"" if os.fstat(cassette).st_size else FIRST_LINE
            os.write(cassette, first + as_lines([exchange]))
        finally:
            os.close(cassette)
