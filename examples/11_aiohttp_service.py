"""Answer over HTTP with aiohttp, while the model writes.

What you learn: the same as with FastAPI, and `handler_cancellation`, without which aiohttp lets a
handler run on when its page is closed.
"""

from __future__ import annotations

import os

from aiohttp import web

from acechat import AceChatError, AsyncClient

client = AsyncClient(max_concurrency=100)


async def chat(request: web.Request) -> web.StreamResponse:
    question = await request.json()
    stream = client.stream(question["prompt"])
    try:
        relay = await stream.sse()
    except AceChatError as error:
        told = {"error": type(error).__name__, "trace_id": error.trace_id}
        return web.json_response(told, status=502)
    async with stream:
        response = web.StreamResponse(headers=relay.headers)
        await response.prepare(request)
        async for events in relay:
            await response.write(events)
    return response


if __name__ == "__main__":
    app = web.Application()
    app.router.add_post("/chat", chat)
    web.run_app(app, port=int(os.environ.get("PORT", "8080")), handler_cancellation=True)
