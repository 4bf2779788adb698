"""Services that relay a stream, one for each framework: real servers on real sockets.

Each is a context manager that takes the settings of its client, and gives its own URL. They serve
``POST /v1/chat/completions``, so that clients of the API can read them.
"""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import aclosing, contextmanager, suppress
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import uvicorn
from aiohttp import web
from fastapi import FastAPI, Request
from starlette.applications import Starlette
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from acechat import AceChatError, APIError, AsyncClient, Client

PATH = "/v1/chat/completions"


def refusal(error):
    """Return status and body of a response that could not begin."""
    status = error.status if isinstance(error, APIError) and error.status else 502
    told = {"code": getattr(error, "code", None) or "upstream", "message": str(error)}
    return status, {"error": told, "trace_id": error.trace_id}


def asked(body):
    return {"messages": body["messages"]}


async def relayed(stream, keep_alive, at_once):
    """Return the response to a page: at once, or an error status for an early failure."""
    relay = stream.sse(keep_alive=keep_alive)
    return relay if at_once else await relay


@contextmanager
def aiohttp_service(keep_alive=15.0, at_once=False, **settings):
    async def chat(request):
        stream = request.app[CLIENT].stream(**asked(await request.json()))
        async with aclosing(await relayed(stream, keep_alive, at_once)) as relay:
            response = web.StreamResponse(headers=relay.headers)
            await response.prepare(request)
            async for told in relay:
                await response.write(told)
        return response

    @web.middleware
    async def refuse(request, handler):
        try:
            return await handler(request)
        except AceChatError as error:
            status, body = refusal(error)
            return web.json_response(body, status=status)

    async def clients(app):
        async with AsyncClient(**settings) as client:
            app[CLIENT] = client
            yield

    async def serve(ready):
        app = web.Application(middlewares=[refuse])
        app.router.add_post(PATH, chat)
        app.cleanup_ctx.append(clients)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        stopped = asyncio.Event()
        ready(runner.addresses[0][1], asyncio.get_running_loop(), stopped)
        await stopped.wait()
        await runner.cleanup()

    with _in_thread(serve) as url:
        yield url


CLIENT = web.AppKey("client", AsyncClient)


@contextmanager
def starlette_service(keep_alive=15.0, at_once=False, **settings):
    client = AsyncClient(**settings)

    async def chat(request):
        stream = client.stream(**asked(await request.json()))
        relay = await relayed(stream, keep_alive, at_once)
        return StreamingResponse(relay, headers=relay.headers)

    app = Starlette(
        routes=[Route(PATH, chat, methods=["POST"])],
        exception_handlers={AceChatError: _refused},
    )
    with _uvicorn(app, client) as url:
        yield url


@contextmanager
def fastapi_service(keep_alive=15.0, at_once=False, **settings):
    client = AsyncClient(**settings)
    app = FastAPI(exception_handlers={AceChatError: _refused})

    async def chat(request: Request):
        stream = client.stream(**asked(await request.json()))
        relay = await relayed(stream, keep_alive, at_once)
        return StreamingResponse(relay, headers=relay.headers)

    chat.__annotations__["request"] = Request
    app.post(PATH)(chat)
    with _uvicorn(app, client) as url:
        yield url


async def _refused(_, error):
    status, body = refusal(error)
    return JSONResponse(body, status)


@contextmanager
def _uvicorn(app, client):
    async def serve(ready):
        config = uvicorn.Config(app, port=0, log_level="critical", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        stopped = asyncio.Event()

        async def stop():
            await stopped.wait()
            server.should_exit = True

        async with client:
            watcher = asyncio.create_task(stop())
            serving = asyncio.create_task(server._serve())
            while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.005)
            port = server.servers[0].sockets[0].getsockname()[1]
            ready(port, asyncio.get_running_loop(), stopped)
            await serving
            await watcher

    with _in_thread(serve) as url:
        yield url


@contextmanager
def _in_thread(serve):
    began = threading.Event()
    facts = []

    def ready(*told):
        facts.extend(told)
        began.set()

    thread = threading.Thread(target=asyncio.run, args=(serve(ready),))
    thread.start()
    assert began.wait(10)
    port, loop, stopped = facts
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        loop.call_soon_threadsafe(stopped.set)
        thread.join(10)
        assert not thread.is_alive()


class _ThreadingServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


@contextmanager
def wsgi_service(**settings):
    """Run the blocking client behind the standard library's own WSGI server."""
    with Client(**settings) as client:

        def chat(environ, start):
            body = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
            try:
                relay = client.stream(**asked(body)).sse()
            except AceChatError as error:
                status, told = refusal(error)
                start(f"{status} No", [("Content-Type", "application/json")])
                return [json.dumps(told).encode()]
            start("200 OK", list(relay.headers.items()))
            return relay

        server = make_server("127.0.0.1", 0, chat, _ThreadingServer, _Quiet)
        server.handle_error = lambda *_: None  # pages that are left are part of the tests
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            with suppress(OSError):
                server.shutdown()
            thread.join(5)
            server.server_close()


SERVICES = {
    "aiohttp": aiohttp_service,
    "starlette": starlette_service,
    "fastapi": fastapi_service,
    "wsgi": wsgi_service,
}
