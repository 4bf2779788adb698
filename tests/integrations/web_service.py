"""A relay of a stream in the framework FRAMEWORK, on PORT, with its compression middleware.

The handlers are those of docs/howto/web-page.md.
"""

from __future__ import annotations

import os

from acechat import AsyncClient, Client

PORT = int(os.environ["PORT"])


def run_asgi(app):
    import uvicorn

    uvicorn.run(app, port=PORT, log_level="warning")


def run_wsgi(app):
    from waitress import serve

    serve(app, host="127.0.0.1", port=PORT, _quiet=True)


def starlette():
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.gzip import GZipMiddleware
    from starlette.responses import StreamingResponse
    from starlette.routing import Route

    client = AsyncClient()

    async def chat(request):
        relay = await client.stream("Hello").sse(keep_alive=1)
        return StreamingResponse(relay, headers=relay.headers)

    run_asgi(
        Starlette(
            routes=[Route("/", chat)], middleware=[Middleware(GZipMiddleware, minimum_size=1)]
        )
    )


def fastapi():
    from fastapi import FastAPI
    from fastapi.middleware.gzip import GZipMiddleware
    from fastapi.responses import StreamingResponse

    client, app = AsyncClient(), FastAPI()
    app.add_middleware(GZipMiddleware, minimum_size=1)

    @app.get("/")
    async def chat() -> StreamingResponse:
        relay = await client.stream("Hello").sse(keep_alive=1)
        return StreamingResponse(relay, headers=relay.headers)

    run_asgi(app)


def litestar():
    global Stream  # noqa: PLW0603 - Litestar reads the annotations of the handler
    from litestar import Litestar, get
    from litestar.config.compression import CompressionConfig
    from litestar.response import Stream

    client = AsyncClient()

    @get("/")
    async def chat() -> Stream:
        relay = await client.stream("Hello").sse(keep_alive=1)
        return Stream(relay, headers=relay.headers, media_type="text/event-stream")

    run_asgi(Litestar([chat], compression_config=CompressionConfig("gzip", minimum_size=1)))


def aiohttp():
    from contextlib import aclosing

    from aiohttp import web

    async def chat(request):
        async with AsyncClient() as client, aclosing(await client.stream("Hello").sse()) as relay:
            response = web.StreamResponse(headers=relay.headers)
            await response.prepare(request)
            async for events in relay:
                await response.write(events)
        return response

    app = web.Application()
    app.router.add_get("/", chat)
    web.run_app(app, host="127.0.0.1", port=PORT, handler_cancellation=True, print=None)


def _django(chat):
    from django.conf import settings
    from django.urls import path

    settings.configure(
        ALLOWED_HOSTS=["127.0.0.1"],
        ROOT_URLCONF=__name__,
        MIDDLEWARE=["django.middleware.gzip.GZipMiddleware"],
    )
    globals()["urlpatterns"] = [path("", chat)]


def django_asgi():
    from django.core.asgi import get_asgi_application
    from django.http import StreamingHttpResponse

    client = AsyncClient()

    async def chat(request):
        relay = await client.stream("Hello").sse(keep_alive=1)
        return StreamingHttpResponse(relay, headers=relay.headers)

    _django(chat)
    run_asgi(get_asgi_application())


def django_wsgi():
    from django.core.wsgi import get_wsgi_application
    from django.http import StreamingHttpResponse

    client = Client()

    def chat(request):
        relay = client.stream("Hello").sse(keep_alive=1)
        # Django's GZipMiddleware holds events back under WSGI, unless there is an encoding.
        headers = {**relay.headers, "Content-Encoding": "identity"}
        return StreamingHttpResponse(relay, headers=headers)

    _django(chat)
    run_wsgi(get_wsgi_application())


def flask():
    from flask import Flask, Response
    from flask_compress import Compress

    client, app = Client(), Flask(__name__)
    app.config["COMPRESS_MIN_SIZE"] = 1
    Compress(app)

    @app.get("/")
    def chat():
        relay = client.stream("Hello").sse(keep_alive=1)
        return Response(relay, headers=relay.headers)

    run_wsgi(app)


if __name__ == "__main__":
    globals()[os.environ["FRAMEWORK"]]()
