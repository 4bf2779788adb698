"""A service in a process of its own that records each request, for tests on a Ray cluster.

``GET /log`` returns ``[prompt, seconds, accepted]`` of each request, and ``POST /set`` sets the
attributes of `Service`. Prompts that contain ``fail`` are refused with 400.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time

HEAD = "HTTP/1.1 {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n"


def reply(status, body):
    data = json.dumps(body).encode()
    return HEAD.format(status, len(data)).encode() + data


def error(status, code):
    return reply(status, {"error": {"code": code, "message": "not now"}, "trace_id": "t-1"})


def completion(prompt):
    message = {"role": "assistant", "content": f"reply to {prompt}"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    return {"id": "c", "object": "chat.completion", "model": "m"} | {
        "choices": [choice],
        "usage": usage,
    }


class Service:
    def __init__(self):
        self.log = []
        self.latency = 0.05
        self.limit = 0  # requests per second; 0 for no limit
        self.broke = 0  # requests after which the credit is used up; 0 for never
        self.hold = 0  # requests after which the others wait until this is 0; 0 for never
        self.accepted = []

    async def serve(self, reader, writer):
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"content-length: *(\d+)", head.lower())
                body = await reader.readexactly(int(length[1]) if length else 0)
                writer.write(await self.respond(head.split(b" ")[1].decode(), body))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def respond(self, path, body):
        if path == "/log":
            return reply("200 OK", self.log)
        fields = json.loads(body)
        if path == "/set":
            self.__dict__.update(fields)
            return reply("200 OK", None)
        prompt = fields["messages"][-1]["content"]
        now = time.monotonic()
        self.accepted = [at for at in self.accepted if at > now - 1]
        fits = not self.limit or len(self.accepted) < self.limit
        self.log.append([prompt, now, fits])
        if not fits:
            return error("429 Too Many Requests", "too_many_requests")
        self.accepted.append(now)
        if self.broke and len(self.log) > self.broke:
            return error("403 Forbidden", "used_up")
        if "fail" in prompt:
            return error("400 Bad Request", "bad_request")
        number = len(self.log)
        await asyncio.sleep(self.latency)
        while 0 < self.hold < number:  # noqa: ASYNC110 - a request sets it
            await asyncio.sleep(0.02)
        return reply("200 OK", completion(prompt))


async def main():
    server = await asyncio.start_server(Service().serve, "127.0.0.1", 0, backlog=1000)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
