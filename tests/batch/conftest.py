"""A service in another thread that counts requests by prompt, and fails as a test wants."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter

import pytest

from acechat import AsyncClient
from benchmarks.conformance.raw_server import RawServer, reset
from benchmarks.conformance.wire import http


def completion(text="Hello", finish="stop", model="m"):
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion", "model": model, "choices": [choice]} | {
        "usage": usage
    }


def reply(body, status="200 OK", **headers):
    return http(json.dumps(body).encode(), status, "application/json", **headers)


def refusal(status, code, message="not now", **headers):
    error = {"code": code, "message": message}
    return reply({"success": False, "error": error, "trace_id": "t-1"}, status, **headers)


class Service(RawServer):
    """Responds to a prompt with the prompt.

    ``service.handler`` may be a function of the prompt and the number of its requests so far: it
    returns bytes, None for the normal response, or ``"reset"``, and may be async.
    """

    def __init__(self):
        super().__init__()
        self.received = Counter()
        self.running = self.most = 0
        self.latency = 0.0
        self.handler = None
        self.bodies = []
        self.lock = threading.Lock()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/v1"

    def stop(self):
        time.sleep(0.05)  # connections that the client has just opened are attended to
        super().stop()

    async def respond(self, request, reader, writer):
        body = request.json
        prompt = body["messages"][-1]["content"]
        if isinstance(prompt, list):
            prompt = prompt[0]["text"]
        self.received[prompt] += 1
        self.bodies.append(body)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            answer = None
            if self.handler is not None:
                answer = self.handler(prompt, self.received[prompt])
                if asyncio.iscoroutine(answer):
                    answer = await answer
            if self.latency:
                await asyncio.sleep(self.latency)
        finally:
            self.running -= 1
        if answer == "reset":
            reset(writer)
            return
        writer.write(answer or reply(completion(prompt)))
        await writer.drain()


@pytest.fixture
def service():
    with Service() as running:
        yield running


@pytest.fixture
def connect(service):
    def make(**options):
        return AsyncClient("tok-secret-0123456789", base_url=service.url, proxy="", **options)

    return make


@pytest.fixture
def run():
    """Run a coroutine function to its end, with a limit of time."""

    def running(function, seconds=25):
        async def limited():
            async with asyncio.timeout(seconds):
                return await function()

        return asyncio.run(limited())

    return running


class Files:
    """The input and output of a test."""

    def __init__(self, folder):
        self.input = folder / "in.jsonl"
        self.output = folder / "out.jsonl"
        self.journal = folder / "out.jsonl.journal"

    def write(self, *rows):
        self.input.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def prompts(self, number):
        self.write(*[{"custom_id": f"id-{n}", "prompt": f"p{n}"} for n in range(number)])

    @property
    def lines(self):
        return [json.loads(line) for line in self.output.read_text().splitlines()]

    @property
    def by_id(self):
        lines = self.lines
        found = {line["custom_id"]: line for line in lines}
        assert len(found) == len(lines), "an id stands twice in the output"
        return found


@pytest.fixture
def files(tmp_path):
    return Files(tmp_path)


@pytest.fixture
def wire():
    class Wire:
        pass

    Wire.completion, Wire.reply, Wire.refusal = map(staticmethod, (completion, reply, refusal))
    return Wire
