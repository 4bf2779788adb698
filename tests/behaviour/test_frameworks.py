"""Completions and relays as the responses of web frameworks."""

from __future__ import annotations

import asyncio
import json
import warnings

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from acechat import AsyncClient, ChatCompletion, Client
from acechat.emulator import Service


@pytest.fixture(scope="module")
def service():
    with Service() as service:
        yield service


async def get(app, path="/"):
    """Send a GET request to an ASGI *app*; return its headers and body."""
    scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b""}
    scope |= {"asgi": {"version": "3.0", "spec_version": "2.4"}, "http_version": "1.1"}
    scope |= {"scheme": "http", "server": ("test", 80), "client": ("test", 1), "root_path": ""}
    sent = []

    async def receive():
        await asyncio.sleep(0 if not sent else 3600)
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    await app(scope, receive, send)
    head = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    assert sent[0]["status"] == 200
    return head, b"".join(message.get("body", b"") for message in sent[1:])


def serve(service, make, path="/"):
    """Return the headers and body of the app that *make* returns for a client."""

    async def main():
        async with AsyncClient(service.token, base_url=service.url) as client:
            return await get(make(client), path)

    return asyncio.run(main())


def fastapi_app(client):
    app = FastAPI()

    @app.get("/plain")
    async def plain():
        return await client.chat("Hello")

    @app.get("/annotated")
    async def annotated() -> ChatCompletion:
        return await client.chat("Hello")

    @app.get("/dict")
    async def as_dict():
        return (await client.chat("Hello")).to_dict()

    @app.get("/nested")
    async def nested() -> dict[str, ChatCompletion]:
        return {"reply": await client.chat("Hello")}

    return app


@pytest.mark.parametrize("path", ["/plain", "/annotated", "/dict", "/nested"])
def test_a_fastapi_handler_returns_a_completion(service, path):
    head, body = serve(service, fastapi_app, path)

    sent = json.loads(body)
    sent = sent.get("reply", sent)
    assert head["content-type"] == "application/json"
    assert "Hello" in sent["choices"][0]["message"]["content"]
    assert sent["usage"]["total_tokens"] > 0


def test_the_openapi_page_of_such_an_app(service):
    _, body = serve(service, fastapi_app, "/openapi.json")

    content = json.loads(body)["paths"]["/annotated"]["get"]["responses"]["200"]["content"]
    assert content["application/json"]["schema"]["type"] == "object"


def test_a_starlette_handler_returns_a_completion(service):
    def make(client):
        async def as_json(request):
            reply = await client.chat("Hello")
            return Response(reply.to_json(), media_type="application/json")

        async def as_dict(request):
            return JSONResponse(dict(await client.chat("Hello")))

        return Starlette(routes=[Route("/", as_json), Route("/dict", as_dict)])

    for path in ("/", "/dict"):
        head, body = serve(service, make, path)
        assert head["content-type"] == "application/json"
        assert json.loads(body)["object"] == "chat.completion"


def relaying(**options):
    def make(client):
        async def chat(request):
            relay = client.stream("Hello").sse()
            given = {"headers": relay.headers} if options == {"headers": True} else options
            return StreamingResponse(relay, **given)

        return Starlette(routes=[Route("/", chat)])

    return make


def test_a_streaming_response_without_headers_says_which_are_missing(service):
    with pytest.warns(RuntimeWarning, match="headers=relay.headers"):
        _, body = serve(service, relaying())

    assert body.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("options", [{"headers": True}, {"media_type": "text/event-stream"}])
def test_a_streaming_response_with_the_content_type_is_silent(service, options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        head, body = serve(service, relaying(**options))

    assert head["content-type"].startswith("text/event-stream")
    assert body.endswith(b"data: [DONE]\n\n")


def test_a_blocking_relay_without_headers_says_which_are_missing(service):
    async def chat(request):
        relay = await asyncio.to_thread(client.stream("Hello").sse)
        return StreamingResponse(relay)

    with (
        Client(service.token, base_url=service.url) as client,
        pytest.warns(RuntimeWarning, match="headers=relay.headers"),
    ):
        _, body = asyncio.run(get(Starlette(routes=[Route("/", chat)])))

    assert body.endswith(b"data: [DONE]\n\n")


def test_iterating_elsewhere_is_silent(service):
    async def main():
        async with AsyncClient(service.token, base_url=service.url) as client:
            return [data async for data in client.stream("Hello").sse()]

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert asyncio.run(main())[-1].endswith(b"data: [DONE]\n\n")
        with Client(service.token, base_url=service.url) as client:
            assert list(client.stream("Hello").sse())[-1].endswith(b"data: [DONE]\n\n")


@pytest.fixture(params=["async", "sync"])
def reply(service, request):
    async def main():
        async with AsyncClient(service.token, base_url=service.url) as client:
            return await client.chat("Hello " * 100)

    if request.param == "async":
        return asyncio.run(main())
    with Client(service.token, base_url=service.url) as client:
        return client.chat("Hello " * 100)


def test_printing_a_reply_prints_its_text(reply):
    assert str(reply) == f"{reply}" == reply.text


def test_the_repr_of_a_reply_is_short(reply):
    shown = repr(reply)

    assert len(shown) < 300
    assert shown.startswith("ChatCompletion('You said: \"Hello Hello")
    for fact in ("finish_reason='stop'", "model='claude-", "tokens=", "trace_id="):
        assert fact in shown


def test_the_repr_of_an_empty_reply():
    assert repr(ChatCompletion(choices=[])) == "ChatCompletion('')"


def test_a_run_prints_its_text_and_has_a_short_repr(service):
    with Client(service.token, base_url=service.url) as client:
        result = client.run("Hello " * 100)

    assert str(result) == result.text
    assert repr(result).startswith("RunResult('You said: ")
    assert repr(result).endswith("…', turns=1)")
    assert len(repr(result)) < 100


def test_a_reply_as_json(reply):
    assert json.loads(reply.to_json()) == reply.to_dict()
    assert "\n" not in reply.to_json()
    assert reply.to_json(indent=2).startswith('{\n  "id"')
    assert json.loads(reply.to_json(indent=2)) == reply.to_dict()


def test_a_reply_as_a_dict(reply):
    assert dict(reply) == reply.to_dict()
    assert reply["choices"][0]["message"]["content"] == reply.text
    with pytest.raises(KeyError):
        reply["xyzzy"]
    with pytest.raises(TypeError, match="not iterable"):
        iter(reply)
