"""A web page that types the answer out, and the service behind it.

Run it with ACEDATACLOUD_API_TOKEN set, or with the two variables that ``acechat emulate`` prints,
and open http://localhost:8080. It listens on this computer only: whoever can reach it asks on your
account. To serve it under another name, name that in ALLOWED_HOSTS.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler
from yarl import URL

from acechat import AceChatError, APIError, AsyncClient, ChatOptions, ConfigurationError

PAGE = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
CLIENT = web.AppKey("client", AsyncClient)
OPTIONS: ChatOptions = {"max_tokens": 4096}
HOSTS = {"localhost", "127.0.0.1", "::1", *os.environ.get("ALLOWED_HOSTS", "").split()}


def hash_of(tag: str) -> str:
    """Return the hash of the page's one inline *tag*, as a Content-Security-Policy wants it."""
    (inline,) = re.findall(f"<{tag}>(.*?)</{tag}>", PAGE, re.DOTALL)
    return f"'sha256-{b64encode(hashlib.sha256(inline.encode()).digest()).decode()}'"


HEADERS = {
    # The page's own script and style, requests to this service, and nothing else at all: whatever
    # the model writes, nothing of it can run or be loaded.
    "Content-Security-Policy": "; ".join(
        [
            "default-src 'none'",
            f"script-src {hash_of('script')}",
            f"style-src {hash_of('style')}",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        ]
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


@web.middleware
async def check_host(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse what was meant for another host.

    A page of any site can have its own name lead to this computer, and ask on your account.
    """
    try:
        host = URL(f"http://{request.host}").host
    except ValueError:
        host = None
    if host not in HOSTS:
        raise web.HTTPForbidden(text="this host is not in ALLOWED_HOSTS")
    return await handler(request)


async def page(_: web.Request) -> web.Response:
    """Answer with the page."""
    return web.Response(text=PAGE, content_type="text/html", headers=HEADERS)


async def chat(request: web.Request) -> web.StreamResponse:
    """Relay the answer to what was said so far."""
    stream = request.app[CLIENT].stream(messages=await said(request), **OPTIONS)
    try:
        relay = await stream.sse()
    except AceChatError as error:
        return refusal(error)
    async with stream:  # closes it when the handler is cancelled, which is when the page is left
        response = web.StreamResponse(headers=relay.headers)
        await response.prepare(request)
        async for events in relay:
            await response.write(events)
    return response


async def said(request: web.Request) -> list[dict[str, str]]:
    """Return the messages that were sent: texts, and nothing that costs more."""
    # No page of another site can send this type without asking first, and nobody answers it.
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType
    with suppress(ValueError):
        match await request.json():
            case {"messages": [_, *_] as messages} if all(map(is_text, messages)):
                return [{"role": each["role"], "content": each["content"]} for each in messages]
    raise web.HTTPBadRequest(text="messages must be texts of the user and the assistant")


def is_text(message: object) -> bool:
    """Whether *message* is a text of one of the two speakers."""
    match message:
        case {"role": "user" | "assistant", "content": str()}:
            return True
    return False


def refusal(error: AceChatError) -> web.Response:
    """Tell in JSON what failed before the first word, as the relay does after it."""
    if isinstance(error, APIError):
        told = {"message": error.message, "code": error.code}
    else:
        told = {"message": "The service cannot be reached.", "code": "unreachable"}
    return web.json_response({"error": told | {"trace_id": error.trace_id}}, status=502)


async def clients(app: web.Application) -> AsyncIterator[None]:
    """Keep one client, and its connections, as long as the service runs."""
    async with AsyncClient(max_concurrency=20) as app[CLIENT]:
        yield


def main() -> None:
    """Serve until Ctrl-C."""
    try:
        AsyncClient()
    except ConfigurationError as error:
        sys.exit(f"{error}; or run: acechat emulate, and set the variables that it prints")
    app = web.Application(client_max_size=2**20, middlewares=[check_host])
    app.add_routes([web.get("/", page), web.post("/chat", chat)])
    app.cleanup_ctx.append(clients)
    port = int(os.environ.get("PORT", "8080"))
    web.run_app(app, host="localhost", port=port, handler_cancellation=True, shutdown_timeout=1)


if __name__ == "__main__":
    main()
