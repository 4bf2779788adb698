"""Bars of bulk runs, against a raw server in its own process.

``python -m benchmarks.bulk`` measures all of them in about ten minutes; names of bars select some:

* ``throughput``: 100,000 prompts at 20 ms, compared with a raw asyncio load generator and the same
  number of connections, and with ``asyncio.gather`` and a semaphore over openai's client
* ``progress``: what the display on a terminal costs, in runs with and without it by turns
* ``resume``: a million rows of which nothing is left to do, and the report of them
* ``rate``: a service that permits 50 requests per second, and refuses others with 429 or 500
* ``outage``: a service that is down for 60 s
* ``ray``: 2 workers on a local Ray cluster compared with one, if Ray is installed
* ``kill``: 50 SIGKILLs at random moments; `tests/batch/test_restart.py` with 50 instead of 6
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.conformance import environments

MESSAGE = {"role": "assistant", "content": "Hello"}
COMPLETION = {
    "id": "c-1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "message": MESSAGE, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}
PROMPTS = int(os.environ.get("ACECHAT_BULK_PROMPTS", "100000"))
CONNECTIONS = 64
LATENCY = 0.02


def response(status: str, body: Any) -> bytes:
    data = json.dumps(body).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(data)}"
    return head.encode() + b"\r\n\r\n" + data


def refusal(status: str, code: str) -> bytes:
    return response(status, {"error": {"code": code, "message": "not now"}, "trace_id": "t"})


OK = response("200 OK", COMPLETION)
REFUSED = {
    "429": refusal("429 Too Many Requests", "too_many_requests"),
    "500": refusal("500 Internal Server Error", "api_error"),
    "502": refusal("502 Bad Gateway", "bad_gateway"),
}


class Server(asyncio.Protocol):
    """Responds after the latency; limits and outages as the arguments of `serve` are."""

    latency, limit, code, jitter = LATENCY, 0, "429", 0.0
    down = (float("inf"), float("inf"))
    accepted: ClassVar[deque[float]] = deque()
    began = 0.0
    counts: ClassVar[dict[int, list[int]]] = {}

    def connection_made(self, transport: Any) -> None:
        self.transport, self.buffer = transport, b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].lower()
            at = head.find(b"content-length:")
            size = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self.buffer) < end + 4 + size:
                return
            self.buffer = self.buffer[end + 4 + size :]
            if head.startswith(b"get /counts"):
                self.transport.write(response("200 OK", self.counts))
            else:
                self.respond()

    def respond(self) -> None:
        loop = asyncio.get_running_loop()
        now, cls = loop.time(), type(self)
        cls.began = cls.began or now
        second = self.counts.setdefault(int(now - cls.began), [0, 0])
        reply, delay = OK, self.latency * random.lognormvariate(0, self.jitter)
        if self.down[0] <= now - cls.began < self.down[1]:
            reply, delay = REFUSED["502"], 0.001
        elif self.limit:
            while self.accepted and self.accepted[0] <= now - 1:
                self.accepted.popleft()
            if len(self.accepted) >= self.limit:
                reply, delay = REFUSED[self.code], 0.001
            else:
                self.accepted.append(now)
        second[reply is not OK] += 1
        loop.call_later(delay, self.transport.write, reply)


async def serve(options: dict[str, Any]) -> None:
    for name, value in options.items():
        setattr(Server, name, value)
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def serving(**options: Any) -> Iterator[int]:
    command = [sys.executable, "-m", "benchmarks.bulk", "serve", json.dumps(options)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


async def counts(port: int) -> dict[int, list[int]]:
    """Return the accepted and refused requests of each second."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /counts HTTP/1.1\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    size = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    found = json.loads(await reader.readexactly(size))
    writer.close()
    return {int(second): numbers for second, numbers in found.items()}


async def generate(port: int, number: int) -> float:
    """Send *number* requests over raw connections; return the requests per second."""
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "Hello"}]}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    request, left = head.encode() + body, number

    async def work() -> None:
        nonlocal left
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while left > 0:
            left -= 1
            writer.write(request)
            received = await reader.readuntil(b"\r\n\r\n")
            size = int(received.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            json.loads(await reader.readexactly(size))
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*[work() for _ in range(CONNECTIONS)])
    return number / (time.perf_counter() - began)


def write_prompts(path: Path, number: int) -> None:
    with path.open("w") as file:
        for n in range(number):
            file.write(f'{{"custom_id":"row-{n}","prompt":"Hello {n}"}}\n')


MEMORY = """
import json, resource, sys, time

def peak_memory():
    # KB. A process inherits ru_maxrss from the one that starts it; VmHWM begins anew.
    try:
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
"""

REPORT = f"""{MEMORY}
from acechat.batch.report.files import write_report

began = time.perf_counter()
write_report(*sys.argv[1:])
seconds, megabytes = time.perf_counter() - began, peak_memory() / 1024
print(json.dumps(dict(seconds=seconds, megabytes=megabytes)))
"""

CHILD = (
    f"""{MEMORY}
import asyncio
from acechat import AsyncClient
"""
    """
async def main(port, folder, options):
    began = time.perf_counter()
    async with AsyncClient("t", base_url=f"http://127.0.0.1:{port}/v1", proxy="") as client:
        async with client.batch(folder + "/in.jsonl", output=folder + "/out.jsonl", **options) as b:
            await b.collect()
    print(json.dumps({
        "seconds": time.perf_counter() - began,
        "megabytes": peak_memory() / 1024,
        "done": b.summary.done, "failed": b.summary.failed, "requests": b.summary.requests,
        "refused": b.summary.refused,
    }))

asyncio.run(main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3])))
"""
)


def run_batch(port: int, folder: str, **options: Any) -> dict[str, Any]:
    """Run a batch in a process of its own; return its figures."""
    command = [sys.executable, "-c", CHILD, str(port), folder, json.dumps(options)]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def throughput(folder: str) -> bool:
    write_prompts(Path(folder, "in.jsonl"), PROMPTS)
    with serving() as port:
        before = asyncio.run(generate(port, PROMPTS // 4))
        figures = run_batch(port, folder, concurrency=CONNECTIONS)
        after = asyncio.run(generate(port, PROMPTS // 4))
        others = openai_rates(port)
    raw, ours = (before + after) / 2, PROMPTS / figures["seconds"]
    print(f"throughput: {ours:,.0f} rows/s of {raw:,.0f} raw ({ours / raw:.0%}; bar: 85 %)")
    print(f"            {figures['megabytes']:.0f} MB (bar: 150 MB)")
    for transport, other in others.items():
        print(
            f"            {ours / other:.1f} × asyncio.gather, a semaphore and openai's client "
            f"on {transport} ({other:,.0f}/s)"
        )
    return ours / raw >= 0.85 and figures["megabytes"] <= 150


OPENAI = """
import asyncio, sys, time
from openai import AsyncOpenAI, DefaultAioHttpClient

async def main(port, number, connections, transport):
    semaphore = asyncio.Semaphore(int(connections))
    options = {"http_client": DefaultAioHttpClient()} if transport == "aiohttp" else {}
    async with AsyncOpenAI(
        api_key="t", base_url=f"http://127.0.0.1:{port}/v1", **options
    ) as client:

        async def one(n):
            async with semaphore:
                completion = await client.chat.completions.create(
                    model="m", messages=[{"role": "user", "content": f"Hello {n}"}]
                )
                assert completion.choices[0].message.content == "Hello"

        await asyncio.gather(*[one(n) for n in range(int(connections))])  # connects
        began = time.perf_counter()
        await asyncio.gather(*[one(n) for n in range(int(number))])
        print(int(number) / (time.perf_counter() - began))

asyncio.run(main(*sys.argv[1:]))
"""


def openai_rates(port: int) -> dict[str, float]:
    """Return the rows per second of `asyncio.gather` over openai's client, by its transport.

    The client is used as its README shows: one client for all requests, by default on httpx and
    "for improved concurrency performance" on aiohttp. Its environment is made on the first run.
    Neither the import nor the first connections count, unlike ours.
    """
    try:
        python = environments.make("openai-bulk", ["openai[aiohttp]"])
    except RuntimeError as error:
        print(f"            without openai's client: {error}")
        return {}
    rates: dict[str, float] = {}
    for transport in ("httpx", "aiohttp"):
        arguments = map(str, (port, PROMPTS // 20, CONNECTIONS, transport))
        command = [str(python), "-c", OPENAI, *arguments]
        done = subprocess.run(command, capture_output=True, check=False, text=True)
        assert done.returncode == 0, done.stderr
        rates[transport] = float(done.stdout)
    return rates


def progress(folder: str) -> bool:
    """Compare `acechat batch` with and without its display, both on a pseudo-terminal."""
    rows, kinds = PROMPTS // 5, ["none", "auto"]
    write_prompts(Path(folder, "in.jsonl"), rows)
    wall: dict[str, float] = dict.fromkeys(kinds, 0.0)
    cpu = wall.copy()
    with serving() as port:
        for turn in range(int(os.environ.get("ACECHAT_BULK_TURNS", "6"))):
            for kind in kinds if turn % 2 else reversed(kinds):
                seconds, busy = run_on_terminal(port, folder, kind)
                wall[kind] += seconds
                cpu[kind] += busy
    cost = 1 - wall["none"] / wall["auto"]
    print(f"progress:   costs {cost:.1%} of the throughput (bar: 3 %)")
    print(f"            {cpu['auto'] / cpu['none'] - 1:.1%} of CPU time")
    return cost <= 0.03


def run_on_terminal(port: int, folder: str, kind: str) -> tuple[float, float]:
    """Run the command; return its seconds, of the clock and of the processor."""
    import pty
    import resource

    for name in ("out.jsonl", "out.jsonl.journal"):
        Path(folder, name).unlink(missing_ok=True)
    command = [sys.executable, "-m", "acechat", "batch", "in.jsonl", "-o", "out.jsonl"]
    command += ["--concurrency", str(CONNECTIONS), "--progress", kind]
    settings = {
        "ACECHAT_CONFIG": f"{folder}/config.toml",
        "ACEDATACLOUD_API_TOKEN": "t",
        "ACEDATACLOUD_API_BASE_URL": f"http://127.0.0.1:{port}/v1",
        "TERM": "xterm-256color",
    }
    ours, its = pty.openpty()
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with subprocess.Popen(
        command, cwd=folder, env=os.environ | settings, stdin=its, stdout=its, stderr=its
    ) as process:
        os.close(its)
        with suppress(OSError):  # the end of a pseudo-terminal
            while os.read(ours, 65536):
                pass
        os.close(ours)
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    assert process.returncode == 0
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def resume(folder: str) -> bool:
    from acechat.batch.results import BatchResult, encode_line
    from acechat.batch.rows import RawRow
    from acechat.batch.storage.files import BatchFiles
    from acechat.types import AssistantMessage, ChatCompletion, Choice

    rows = 1_000_000
    write_prompts(Path(folder, "in.jsonl"), rows)
    options = {"model": "claude-sonnet-4-20250514", "template": None, "system": None}
    files = BatchFiles(Path(folder, "out.jsonl"), options)
    completion: Any = ChatCompletion(choices=[Choice(message=AssistantMessage(content="Hello"))])
    with Path(folder, "in.jsonl").open("rb") as lines:
        for n, line in enumerate(lines):
            content = RawRow(n, n + 1, line.strip()).content
            result = BatchResult(
                row=n,
                line=n + 1,
                custom_id=f"row-{n}",
                completion=completion,
                started=1.7e9 + n / 1000,
                seconds=random.lognormvariate(0, 1),
            )
            files.sent(n, content)
            files.finished(n, content, encode_line(result), failed=False)
            if n % 1000 == 0:
                files.flush()
    files.flush()
    files.close()
    figures = run_batch(9, folder)
    seconds, megabytes = figures["seconds"], figures["megabytes"]
    print(f"resume:     {seconds:.1f} s (bar: 10 s), {megabytes:.0f} MB (bar: 300 MB)")
    assert (figures["done"], figures["requests"]) == (rows, 0)
    arguments = [f"{folder}/out.jsonl", f"{folder}/report.html"]
    done = subprocess.run([sys.executable, "-c", REPORT, *arguments], stdout=-1, check=True)
    figures = json.loads(done.stdout)
    print(f"            its report: {figures['seconds']:.1f} s, {figures['megabytes']:.0f} MB")
    return seconds <= 10 and megabytes <= 300


def rate(folder: str) -> bool:
    fits = True
    for code in ("429", "500"):
        Path(folder, code).mkdir()
        write_prompts(Path(folder, code, "in.jsonl"), 3000)
        with serving(limit=50, code=code) as port:
            run_batch(port, str(Path(folder, code)))
            seconds = asyncio.run(counts(port))
        later = [numbers for second, numbers in seconds.items() if 20 <= second < max(seconds)]
        accepted, refused = (sum(each) / len(later) for each in zip(*later, strict=True))
        share = refused / (accepted + refused)
        print(
            f"rate ({code}): {accepted:.1f} of 50/s after 20 s (bar: 45), "
            f"{share:.1%} refused (bar: 5 %)"
        )
        fits = fits and accepted >= 45 and share <= 0.05
    return fits


def outage(folder: str) -> bool:
    write_prompts(Path(folder, "in.jsonl"), 4000)
    with serving(down=(5, 65), latency=0.2, jitter=0.5) as port:
        figures = run_batch(port, folder, max_concurrency=64)
        seconds = asyncio.run(counts(port))
    back = min(second for second, (accepted, _) in seconds.items() if second >= 65 and accepted)
    probes = sum(refused for _, refused in seconds.values())
    print(
        f"outage:     {figures['failed']} rows failed, resumed {back - 65} s after its end "
        f"(bar: 5), {probes} requests refused"
    )
    return figures["failed"] == 0 and back - 65 <= 5


def kill(_: str) -> bool:
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "tests/batch/test_restart.py"]
    done = subprocess.run(
        [*command, "-k", "killed_at_any_moment"],
        env=os.environ | {"ACECHAT_BATCH_KILLS": "50"},
        check=False,
        stdout=subprocess.DEVNULL,
    )
    outcome = "held" if done.returncode == 0 else "FAILED"
    print(f"kill:       {outcome} for 50 kills, resend and skip")
    return done.returncode == 0


RAY_CHILD = """
import asyncio, json, sys
from acechat.integrations._ray_batch import RayBatch

async def main(source, port, output, workers, concurrency):
    client = {"api_token": "t", "base_url": f"http://127.0.0.1:{port}/v1", "proxy": ""}
    batch = RayBatch(source, output, address="local", workers=int(workers), client=client,
                     options={"concurrency": int(concurrency)})
    await batch.collect()
    print(json.dumps({"done": batch.summary.done}))

asyncio.run(main(*sys.argv[1:]))
"""


def ray_rate(folder: str, workers: int, rows: int, concurrency: int, latency: float) -> float:
    """Return the requests per second of a run on Ray, without its begin and its end."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    source, output = Path(folder, f"in-{workers}.parquet"), Path(folder, f"out-{workers}")
    ids = [f"row-{n}" for n in range(rows)]
    pq.write_table(pa.table({"custom_id": ids, "prompt": ids}), source)
    with serving(latency=latency) as port:
        command = [sys.executable, "-c", RAY_CHILD, str(source), str(port), str(output)]
        done = subprocess.run(
            [*command, str(workers), str(concurrency)], capture_output=True, check=False, text=True
        )
        assert done.returncode == 0, done.stderr
        seconds = asyncio.run(counts(port))
    assert json.loads(done.stdout.splitlines()[-1]) == {"done": rows}
    numbers = [accepted for _, (accepted, _) in sorted(seconds.items())]
    middle = numbers[len(numbers) // 4 : len(numbers) * 3 // 4]
    return sum(middle) / len(middle)


def ray(folder: str) -> bool:
    if not find_spec("ray"):
        print("ray:        not installed, not measured")
        return True
    one, two = (ray_rate(folder, n, n * 800, concurrency=32, latency=0.5) for n in (1, 2))
    print(f"ray:        {two:,.0f} rows/s on 2 workers, {two / one:.2f} × one (bar: 1.7)")
    return two >= 1.7 * one


BARS = {
    "throughput": throughput,
    "progress": progress,
    "resume": resume,
    "rate": rate,
    "outage": outage,
    "ray": ray,
    "kill": kill,
}


def main(names: list[str]) -> int:
    missed = []
    for name in names or BARS:
        with tempfile.TemporaryDirectory() as folder:
            if not BARS[name](folder):
                missed.append(name)
    print("missed:", ", ".join(missed) or "none")
    return bool(missed)


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        asyncio.run(serve(json.loads(sys.argv[2])))
    else:
        sys.exit(main(sys.argv[1:]))
