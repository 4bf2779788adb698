"""Stream responses to a web page with FastAPI.

Shows: `sse` relays a stream to a page or to any client of the API; a failure within *keep_alive*
seconds becomes a status, a later one an event; closing the page ends the request to the model.
Call it with ``curl -N localhost:8080/chat --json '{"prompt": "Hello"}'``.
"""

from __future__ import annotations

import os

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel

from acechat import AceChatError, AsyncClient

app = FastAPI()
client = AsyncClient(max_concurrency=100)


class Prompt(BaseModel):
    prompt: str


@app.post("/chat")
async def chat(body: Prompt) -> StreamingResponse:
    # FastAPI notices a closed page only after it has the response: after two seconds at most.
    relay = await client.stream(body.prompt).sse(keep_alive=2)
    return StreamingResponse(relay, headers=relay.headers)


@app.exception_handler(AceChatError)
async def report(_: Request, error: AceChatError) -> JSONResponse:
    return JSONResponse({"error": type(error).__name__, "trace_id": error.trace_id}, 502)


if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ.get("PORT", "8080")))
