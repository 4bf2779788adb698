"""Stream responses to a web page with aiohttp.

Shows: the same as with FastAPI, and `handler_cancellation`, without which aiohttp continues a
handler after its page was closed.
"""

from __future__ import annotations

import os

from aiohttp import web

from acechat import AceChatError, AsyncClient

client = AsyncClient(max_concurrency=100)


async def chat(request: web.Request) -> web.StreamResponse:
    body = await request.json()
    stream = client.stream(body["prompt"])
    try:
        relay = await stream.sse()
    except AceChatError as error:
        failure = {"error": type(error).__name__, "trace_id": error.trace_id}
        return web.json_response(failure, status=502)
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
