"""The service as an aiohttp application: it reads requests and plays plans."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from aiohttp import web

from acechat.emulator.connection import hang_up, reset, write
from acechat.emulator.plan import (
    HangUp,
    Head,
    Pieces,
    Plan,
    Reset,
    Send,
    Until,
    Wait,
    Write,
    pieced,
)
from acechat.emulator.routes import respond
from acechat.emulator.state import ReceivedRequest, ServiceState

if TYPE_CHECKING:  # it brings cassettes
    from acechat.emulator.replay import Replay

__all__ = ["create_app", "describe"]


def create_app(stage: ServiceState | None = None, replay: Replay | None = None) -> web.Application:
    """Make the application, to be run in a loop of one's own.

    Args:
        stage: Takes the script and keeps the requests. None: a new one, so the echo answers.
        replay: Answers in place of the service, whatever the token is. None: the service does.
    """
    stage = stage or ServiceState()

    async def attend(request: web.Request) -> web.StreamResponse:
        body, too_large = b"", False
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            too_large = True
        received = describe(request, body, stage.next_trace_id())
        stage.note(received)
        authorization = request.headers.get("Authorization")
        if replay is not None:
            plan = replay.respond(received, authorization)
        else:
            plan = respond(stage, received, authorization=authorization, too_large=too_large)
        return await _play(request, plan, received.trace_id)

    # A handler ends when its client goes away, whatever it waits for.
    app = web.Application(
        client_max_size=stage.max_request_bytes,
        handler_args={"handler_cancellation": True, "access_log": None},
    )
    app.router.add_route("*", "/{path:.*}", attend)
    return app


def describe(request: web.Request, body: bytes, trace_id: str) -> ReceivedRequest:
    """Return what is remembered of a request."""
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
    began = time.monotonic()
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
                case Until(seconds):
                    await asyncio.sleep(began + seconds - time.monotonic())
                case Write(data):
                    write(request, data)
                    await asyncio.sleep(0)  # as above
                case HangUp():
                    hang_up(request)
                case Reset():
                    await reset(request)
                case Pieces():
                    pass  # `pieced` has done it
    except ConnectionError:
        pass
    return response
