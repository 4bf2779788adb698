"""A web page that streams responses, and the service behind it.

Run it with ACEDATACLOUD_API_TOKEN set, or with the two variables that ``acechat emulate`` prints,
and open http://localhost:8080. It listens on this computer only: a client that can reach it uses
your account. To serve it under another name, list that in ALLOWED_HOSTS.
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
    """Return the hash of the page's inline *tag*, in the format of a Content-Security-Policy."""
    (inline,) = re.findall(f"<{tag}>(.*?)</{tag}>", PAGE, re.DOTALL)
    return f"'sha256-{b64encode(hashlib.sha256(inline.encode()).digest()).decode()}'"


HEADERS = {
    # Only the page's own script and style, requests to this service, and images within the text:
    # no output of the model can run or load anything.
    "Content-Security-Policy": "; ".join(
        [
            "default-src 'none'",
            f"script-src {hash_of('script')}",
            f"style-src {hash_of('style')}",
            "img-src data:",
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
    """Reject requests for other hosts.

    A page of any site can let its own name resolve to this computer, to use your account.
    """
    try:
        host = URL(f"http://{request.host}").host
    except ValueError:
        host = None
    if host not in HOSTS:
        raise web.HTTPForbidden(text="this host is not in ALLOWED_HOSTS")
    return await handler(request)


async def page(_: web.Request) -> web.Response:
    """Return the page."""
    return web.Response(text=PAGE, content_type="text/html", headers=HEADERS)


async def chat(request: web.Request) -> web.StreamResponse:
    """Relay the response to the messages of the request."""
    stream = request.app[CLIENT].stream(messages=await read_messages(request), **OPTIONS)
    try:
        relay = await stream.sse()
    except AceChatError as error:
        return error_response(error)
    async with stream:  # closes it when the handler is cancelled, because the page was closed
        response = web.StreamResponse(headers=relay.headers)
        await response.prepare(request)
        async for events in relay:
            await response.write(events)
    return response


async def read_messages(request: web.Request) -> list[dict[str, str]]:
    """Return the messages of *request*: only texts, because other content costs more."""
    # A page of another site needs a CORS preflight for this type, which this service rejects.
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType
    with suppress(ValueError):
        match await request.json():
            case {"messages": [_, *_] as messages} if all(map(is_text, messages)):
                return [{"role": each["role"], "content": each["content"]} for each in messages]
    raise web.HTTPBadRequest(text="messages must be texts of the user and the assistant")


def is_text(message: object) -> bool:
    """Return whether *message* is a text of the user or the assistant."""
    match message:
        case {"role": "user" | "assistant", "content": str()}:
            return True
    return False


def error_response(error: AceChatError) -> web.Response:
    """Return *error* as JSON, in the format that the relay sends after the first chunk."""
    if isinstance(error, APIError):
        fields = {"message": error.message, "code": error.code}
    else:
        fields = {"message": "The service cannot be reached.", "code": "unreachable"}
    return web.json_response({"error": fields | {"trace_id": error.trace_id}}, status=502)


async def clients(app: web.Application) -> AsyncIterator[None]:
    """Keep one client and its connections open while the service runs."""
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
