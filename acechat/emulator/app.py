"""The service as an aiohttp application: reads requests and executes plans."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeAlias

from aiohttp import web

from acechat.emulator.connection import close, host_check, reset, write
from acechat.emulator.plan import (
    ChunkSize,
    Close,
    Head,
    Plan,
    Reset,
    Send,
    Until,
    Wait,
    Write,
    apply_chunk_size,
)
from acechat.emulator.routes import CONTROL, respond
from acechat.emulator.state import ReceivedRequest, ServiceState
from acechat.emulator.wire import RefusalError, error_plan

if TYPE_CHECKING:  # it imports cassettes
    from acechat.emulator.replay import Replay

__all__ = ["OnResponse", "create_app", "describe"]

OnResponse: TypeAlias = Callable[[ReceivedRequest, int, float], object]


def create_app(
    state: ServiceState | None = None,
    replay: Replay | None = None,
    on_response: OnResponse | None = None,
    hosts: Iterable[str] = (),
) -> web.Application:
    """Return the application, to be run in an existing event loop.

    Args:
        state: Holds the script and the received requests. None: a new one, so every response is
            the echo.
        replay: The cassette that responds instead of the service. None: the service responds.
        on_response: Called after each response with the request, the status (0 if the connection
            broke before it) and the seconds since the request was complete. None: no call.
        hosts: Names that requests may have in their ``Host`` header besides ``localhost`` and
            addresses; default none.
    """
    state = state or ServiceState()

    async def handle(request: web.Request) -> web.StreamResponse:
        body, too_large = b"", False
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            too_large = True
        received = describe(request, body, state.next_trace_id())
        state.add_request(received)
        authorization = request.headers.get("Authorization")
        if replay is not None and not received.path.startswith(CONTROL):
            plan = _replay(replay, received, authorization, state.token)
        else:
            plan = respond(state, received, authorization=authorization, too_large=too_large)
        began, head = time.monotonic(), next((one for one in plan if isinstance(one, Head)), None)
        try:
            return await _play(request, plan, received.trace_id)
        finally:
            if on_response is not None:
                status = head.status if head is not None else 0
                on_response(received, status, time.monotonic() - began)

    # A waiting handler is cancelled when its client disconnects.
    app = web.Application(
        client_max_size=state.max_request_bytes,
        middlewares=[host_check(hosts)],
        handler_args={"handler_cancellation": True, "access_log": None},
    )
    app.router.add_route("*", "/{path:.*}", handle)
    return app


def _replay(
    replay: Replay, received: ReceivedRequest, authorization: str | None, token: str
) -> Plan:
    from acechat.emulator.replay import check_credentials

    try:
        check_credentials(received, authorization, token)
    except RefusalError as refusal:
        return error_plan(refusal.status, refusal.code, refusal.message, received.trace_id)
    return replay.respond(received, authorization)


def describe(request: web.Request, body: bytes, trace_id: str) -> ReceivedRequest:
    """Return the record of *request*, without its token."""
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
    """Execute *plan*, until its end or until the client disconnects."""
    response = web.StreamResponse()
    began = time.monotonic()
    try:
        for action in apply_chunk_size(plan):
            match action:
                case Head(status, headers):
                    named = {"x-request-id": trace_id, **headers}
                    response = web.StreamResponse(status=status, headers=named)
                    await response.prepare(request)
                case Send(data):
                    await response.write(data)
                    # Yield to the loop, so that one write tends to be one packet and one read.
                    await asyncio.sleep(0)
                case Wait(seconds):
                    await asyncio.sleep(seconds)
                case Until(seconds):
                    await asyncio.sleep(began + seconds - time.monotonic())
                case Write(data):
                    write(request, data)
                    await asyncio.sleep(0)  # as above
                case Close():
                    close(request)
                case Reset():
                    await reset(request)
                case ChunkSize():
                    pass  # applied by `apply_chunk_size`
    except ConnectionError:
        pass
    return response
