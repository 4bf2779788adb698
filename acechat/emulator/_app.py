"""The service as an aiohttp application: it reads requests and plays plans."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
import time

from aiohttp import web

from acechat.emulator._actions import HangUp, Head, Pieces, Plan, Reset, Send, Wait, pieced
from acechat.emulator._routes import respond
from acechat.emulator._stage import ReceivedRequest, Stage

__all__ = ["create_app"]

_FLUSH_POLL = 0.001
"""Seconds."""

_RESET_ON_CLOSE = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
"""A ``struct linger``: on, 0 seconds."""


def create_app(stage: Stage | None = None) -> web.Application:
    """Make the application, to be run in a loop of one's own.

    Args:
        stage: Takes the script and keeps the requests. None: a new one, so the echo answers.
    """
    stage = stage or Stage()

    async def attend(request: web.Request) -> web.StreamResponse:
        body, too_large = b"", False
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            too_large = True
        received = _describe(request, body, stage.next_trace_id())
        stage.note(received)
        authorization = request.headers.get("Authorization")
        plan = respond(stage, received, authorization=authorization, too_large=too_large)
        return await _play(request, plan, received.trace_id)

    # A handler ends when its client goes away, whatever it waits for.
    app = web.Application(
        client_max_size=stage.max_request_bytes,
        handler_args={"handler_cancellation": True, "access_log": None},
    )
    app.router.add_route("*", "/{path:.*}", attend)
    return app


def _describe(request: web.Request, body: bytes, trace_id: str) -> ReceivedRequest:
    headers = {name.lower(): value for name, value in request.headers.items()}
    if "authorization" in headers:
        headers["authorization"] = headers["authorization"].partition(" ")[0] + " ***"
    peer: tuple[str, int] | None = (
        request.transport.get_extra_info("peername") if request.transport else None
    )
    return ReceivedRequest(
        method=request.method,
        path=request.path_qs,
        headers=headers,
        body=body,
        client_port=peer[1] if peer else 0,
        time=time.monotonic(),
        trace_id=trace_id,
    )


async def _play(request: web.Request, plan: Plan, trace_id: str) -> web.StreamResponse:
    """Do what *plan* says. A client that is gone ends it."""
    response = web.StreamResponse()
    try:
        for action in pieced(plan):
            match action:
                case Head(status, headers):
                    named = {"x-request-id": trace_id, **headers}
                    response = web.StreamResponse(status=status, headers=named)
                    await response.prepare(request)
                case Send(data):
                    await response.write(data)
                    # One write, one packet, one read of the client, as far as can be.
                    await asyncio.sleep(0)
                case Wait(seconds):
                    await asyncio.sleep(seconds)
                case HangUp():
                    _close(request)
                case Reset():
                    await _reset(request)
                case Pieces():
                    pass  # `pieced` has done it
    except ConnectionError:
        pass
    return response


def _close(request: web.Request) -> None:
    if request.transport:
        request.transport.close()


async def _reset(request: web.Request) -> None:
    # What was planned before is to arrive, and a transport tells nobody when it is empty.
    transport = request.transport
    while transport and transport.get_write_buffer_size():  # noqa: ASYNC110 - as above
        await asyncio.sleep(_FLUSH_POLL)
    if transport:
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        transport.abort()
