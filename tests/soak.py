"""A long run: calls and streams, every tenth with a fault, many at once, against bare sockets.

``python tests/soak.py --calls 50000`` prints its measurements, and exits with 1 if a result is
wrong, memory grows after the warm-up, or a file stays open. The service runs in another process, so
that the measured memory is the client's.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from acechat import (
    APIError,
    AsyncClient,
    Client,
    ProtocolError,
    RequestTimeoutError,
    RetryPolicy,
    StreamTruncatedError,
    Timeout,
    TransportError,
)
from acechat._sync.event_loop import loop_factory

FAULTS = ("busy", "reset", "truncated", "rejected", "html", "stall", "left")
EVERY = 10
"""One of this many calls has a fault."""

SAMPLES = 400
"""The number of memory samples."""


def fault_of(number):
    """Return the fault of a call, for client and service; None: no fault."""
    return FAULTS[number // EVERY % len(FAULTS)] if number % EVERY == 0 else None


def words_of(number):
    return [f"{number}:", *(f" {word}" for word in range(number % 7 + 1)), " é世"]


# --- the service


def _event(delta, reason=None):
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return b"data: %s\n\n" % json.dumps({"id": "c", "choices": [choice]}).encode()


def _plain(body, status="200 OK", kind="application/json"):
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def _complete(number, *, stream):
    words = words_of(number)
    if stream:
        events = [_event({"content": word}) for word in words]
        ends = [_event({}, "stop"), b"data: [DONE]\n\n"]
        return _HEAD + b"".join(map(_chunk, [*events, *ends])) + _chunk(b"")
    message = {"role": "assistant", "content": "".join(words)}
    completion = {"id": "c", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    return _plain(json.dumps(completion).encode())


def _sent(number, fault, *, stream, again):
    """Return the bytes to send, and True to break the connection, None to hold it open."""
    error_body = b'{"success": false, "error": {"code": "%s", "message": "no"}}'
    match fault:
        case "busy" if not again:
            return _plain(error_body % b"busy", "503 Busy"), False
        case "reset" if not again:
            return b"", True
        case "truncated":
            complete = _complete(number, stream=stream)
            return complete[: -60 if stream else -9], True
        case "rejected":
            return _plain(error_body % b"bad_request", "400 Bad Request"), False
        case "html":
            return _plain(b"<html>502</html>", kind="text/html"), False
        case "stall":
            return _HEAD if stream else b"", None
        case "left":
            return (_HEAD + _chunk(_event({"content": "x"})) if stream else b""), None
        case _:
            return _complete(number, stream=stream), False


async def serve():
    """Serve until standard input ends."""
    seen = set()

    async def connected(reader, writer):
        with suppress(ConnectionError, EOFError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
                request = json.loads(await reader.readexactly(size))
                number = int(request["messages"][-1]["content"])
                fault = fault_of(number)
                sent, broken = _sent(
                    number, fault, stream=bool(request.get("stream")), again=number in seen
                )
                if fault in {"busy", "reset"}:
                    (seen.discard if number in seen else seen.add)(number)
                writer.write(sent)
                await writer.drain()
                if broken:
                    if not sent:
                        linger = struct.pack("ii", 1, 0)
                        sock = writer.get_extra_info("socket")
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    break
                if broken is None:
                    await reader.read()
                    break
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.close()


@contextmanager
def service():
    command = [sys.executable, __file__, "--serve"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        process.stdin.close()


# --- the expected results


PATIENT = Timeout(total=60, connect=60, first_token=60, idle=60)
HASTY = Timeout(total=60, connect=60, first_token=0.3, idle=0.3)
OPTIONS = {"timeout": PATIENT, "retries": RetryPolicy(base_delay=0.01)}


def is_right(number, *, stream, outcome):
    """Return whether a text or an exception is the expected outcome of call *number*."""
    expected = "".join(words_of(number))
    match fault_of(number):
        case "truncated":
            if not stream:
                return isinstance(outcome, TransportError)
            truncated = isinstance(outcome, StreamTruncatedError)
            return truncated and expected.startswith(outcome.partial.text)
        case "rejected":
            return isinstance(outcome, APIError) and outcome.status == 400
        case "html":
            return isinstance(outcome, ProtocolError)
        case "stall":
            return isinstance(outcome, RequestTimeoutError)
        case "left":
            return outcome == "x" if stream else isinstance(outcome, RequestTimeoutError)
        case _:
            return outcome == expected


def options_of(number, *, stream):
    fault = fault_of(number)
    return {"timeout": HASTY} if fault == "stall" or (fault == "left" and not stream) else {}


async def ask(client, number, *, stream):
    if not stream:
        return (await client.chat(str(number), **options_of(number, stream=stream))).text
    async with client.stream(str(number), **options_of(number, stream=stream)) as response:
        text = ""
        async for delta in response:
            text += str(delta)
            if fault_of(number) == "left":
                break
        return text


def ask_and_wait(client, number, *, stream):
    if not stream:
        return client.chat(str(number), **options_of(number, stream=stream)).text
    with client.stream(str(number), **options_of(number, stream=stream)) as response:
        text = ""
        for delta in response:
            text += str(delta)
            if fault_of(number) == "left":
                break
        return text


# --- the run


def resident():
    """Return the memory of this process, in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def files():
    return len(list(Path("/proc/self/fd").iterdir()))


class Run:
    """The measurements during the calls."""

    def __init__(self, calls, warm_up):
        self.numbers = iter(range(warm_up + calls))
        self.warm_up = warm_up
        self.every = max(1, calls // SAMPLES)
        self.memory = []
        self.wrong = []
        self.faults = Counter()
        self.done = 0

    def take(self):
        return next(self.numbers, None)

    def record(self, number, *, stream, outcome):
        self.done += 1
        self.faults[fault_of(number)] += 1
        if not is_right(number, stream=stream, outcome=outcome) and len(self.wrong) < 10:
            self.wrong.append((number, fault_of(number), stream, repr(outcome)))
        if self.done > self.warm_up and self.done % self.every == 0:
            self.memory.append(resident())


async def in_asyncio(run, url, at_once):
    async def worker(client):
        while (number := run.take()) is not None:
            stream = number // 3 % 2 == 0
            try:
                outcome = await ask(client, number, stream=stream)
            except Exception as error:  # noqa: BLE001 - the exception is the outcome
                outcome = error
            run.record(number, stream=stream, outcome=outcome)

    async with AsyncClient("tok-of-the-soak", base_url=url, **OPTIONS) as client:
        await asyncio.gather(*(worker(client) for _ in range(at_once)))


def in_threads(run, url, at_once):
    def worker(_):
        while (number := run.take()) is not None:
            stream = number // 3 % 2 == 0
            try:
                outcome = ask_and_wait(client, number, stream=stream)
            except Exception as error:  # noqa: BLE001 - as above
                outcome = error
            run.record(number, stream=stream, outcome=outcome)

    with (
        Client("tok-of-the-soak", base_url=url, **OPTIONS) as client,
        ThreadPoolExecutor(at_once) as pool,
    ):
        list(pool.map(worker, range(at_once)))


def soak(calls, warm_up, at_once, client, growth):
    """Make the calls; print the measurements; return whether all conditions are met."""
    run = Run(calls, warm_up)
    if make := loop_factory():
        make().close()  # libuv keeps two files as long as the process lives
    with service() as url:
        before = files()
        began = time.monotonic()
        if client == "async":
            asyncio.run(in_asyncio(run, url, at_once))
        else:
            in_threads(run, url, at_once)
        took = time.monotonic() - began
        gc.collect()
        left = files() - before
    quarter = len(run.memory) // 4
    second, last = (
        statistics.mean(part) for part in (run.memory[quarter : 2 * quarter], run.memory[-quarter:])
    )
    measurements = {
        "client": client,
        "calls": run.done,
        "calls before the measurement": warm_up,
        "at once": at_once,
        "with a fault": run.done - run.faults[None],
        "wrong": run.wrong,
        "seconds": round(took, 1),
        "MiB, second quarter": round(second, 2),
        "MiB, last quarter": round(last, 2),
        "growth": round(last / second, 4),
        "files left open": left,
    }
    print(json.dumps(measurements, indent=2))
    return run.done == warm_up + calls and not run.wrong and not left and last / second <= growth


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=50_000)
    parser.add_argument("--warm-up", type=int, default=0, help="calls before the measurement")
    parser.add_argument("--at-once", type=int, default=200)
    parser.add_argument("--client", choices=["async", "blocking"], default="async")
    parser.add_argument("--growth", type=float, default=1.02, help="limit of the growth of memory")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        with suppress(KeyboardInterrupt):
            asyncio.run(serve())
        return
    good = soak(options.calls, options.warm_up, options.at_once, options.client, options.growth)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
