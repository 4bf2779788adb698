"""What acechat may cost, as ratios to what was measured beside it in the same run.

The bars are generous: they catch a regression, they do not describe the speed.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import queue
import socket
import statistics
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import aiohttp
import msgspec
import pytest

from acechat import AsyncClient, Client, tool
from acechat._tools import executor as _toolbox
from acechat._tools.tool import compile_tool
from acechat.types import ChatCompletionChunk

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def benchmarks():
    sys.path.insert(0, str(ROOT))
    try:
        from benchmarks import floors, server
    finally:
        sys.path.remove(str(ROOT))
    with contextlib.chdir(ROOT), server.running() as origin:
        yield floors, origin


async def seconds(work):
    began = time.process_time()
    done = work()
    if done is not None:
        await done
    return time.process_time() - began


async def ratio(ours, theirs, bar, rounds=7):
    """Return the ratio of the medians of CPU time, measured in turn.

    Other work on the machine makes a ratio worse, never better, so what misses *bar* is measured
    again.
    """
    best = math.inf
    for _ in range(4):
        measured = [(await seconds(ours), await seconds(theirs)) for _ in range(rounds)]
        mine, other = zip(*measured[1:], strict=True)
        best = min(best, statistics.median(mine) / statistics.median(other))
        if best <= bar:
            break
    return best


@pytest.mark.parametrize(("at_once", "times"), [(1, 200), (64, 6)])
def test_a_call_costs_at_most_1_3_times_bare_aiohttp_and_msgspec(benchmarks, at_once, times):
    """It is 0.8 to 1 times (docs/benchmarks.md)."""
    floors, origin = benchmarks

    async def measure():
        url = f"{origin}/plain/40"
        async with (
            AsyncClient("token", base_url=f"{url}/v1") as client,
            aiohttp.ClientSession() as session,
        ):

            async def ours():
                for _ in range(times):
                    await asyncio.gather(*[client.chat("Hello") for _ in range(at_once)])

            async def bare():
                for _ in range(times):
                    await asyncio.gather(*[floors.chat(session, url) for _ in range(at_once)])

            return await ratio(ours, bare, 1.3)

    assert asyncio.run(measure()) <= 1.3


def test_a_call_executes_as_many_bytecodes_as_bare_aiohttp_and_msgspec(benchmarks):
    """It is 0.92 times on Python 3.11, 1.03 to 1.05 on 3.12 and 3.13. On 3.11 it was 0.935 times at
    commit 0f4c28b, and may grow by 2 %.

    The least of several is always the same: noise only adds. See `bytecodes` for 3.12.
    """
    floors, origin = benchmarks
    url = f"{origin}/plain/40"

    async def open_both():
        return AsyncClient("token", base_url=f"{url}/v1"), aiohttp.ClientSession()

    with asyncio.Runner() as runner:
        client, session = runner.run(open_both())

        async def ten_calls(call):
            for _ in range(10):
                await call()

        ours = lambda: runner.run(ten_calls(lambda: client.chat("Hello")))  # noqa: E731
        bare = lambda: runner.run(ten_calls(lambda: floors.chat(session, url)))  # noqa: E731
        counted = [(bytecodes(ours), bytecodes(bare)) for _ in range(6)]
        runner.run(client.aclose())
        runner.run(session.close())

    mine, other = map(min, zip(*counted[2:], strict=True))
    assert 0.5 < mine / other <= (0.954 if sys.version_info < (3, 12) else 1.06)


@pytest.mark.parametrize(("shape", "bar"), [("events", 1.6), ("blocks", 1.3)])
def test_a_streamed_chunk_costs_little_more_than_the_floor(benchmarks, shape, bar):
    """It is 1.1 and 0.9 times (docs/benchmarks.md)."""
    floors, origin = benchmarks
    count = 10_000

    async def measure():
        url = f"{origin}/{shape}/{count}"
        async with AsyncClient("token", base_url=f"{url}/v1") as client:

            async def ours():
                told = [delta.content async for delta in client.stream("Hello")]
                assert len(told) == count

            async def floor():
                told = [delta.content async for delta in floors.stream(url)]
                assert len(told) == count

            return await ratio(ours, floor, bar)

    assert asyncio.run(measure()) <= bar


def test_a_blocking_chunk_costs_at_most_1_9_times_that_of_a_bare_socket(benchmarks):
    """It is 1.1 to 1.6 times (docs/benchmarks.md)."""
    floors, origin = benchmarks
    count = 10_000
    url = f"{origin}/events/{count}"

    def ours():
        assert sum(bool(delta.content) for delta in client.stream("Hello")) == count

    def floor():
        assert sum(bool(delta.content) for delta in bare.deltas()) == count

    bare = floors.BlockingFloor(url)
    with Client("token", base_url=f"{url}/v1") as client:
        assert asyncio.run(ratio(ours, floor, 1.9)) <= 1.9
    bare.close()


def calls_before_sending(work):
    """Return the names of acechat's functions that *work* calls until it writes to a socket."""
    called = []
    sent = False

    def profile(frame, event, function):
        nonlocal sent
        if event == "call" and not sent and frame.f_globals["__name__"].startswith("acechat."):
            called.append(frame.f_code.co_qualname)
        elif event == "c_call" and getattr(function, "__name__", "").startswith(("send", "write")):
            owner = getattr(function, "__self__", None)
            sent |= getattr(owner, "family", None) in {socket.AF_INET, socket.AF_INET6}

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(before)
    assert sent
    return called


def test_chat_calls_at_most_40_functions_before_it_sends(benchmarks):
    """It is 40 on a kept connection; resumed coroutines count as called."""
    _, origin = benchmarks

    async def open_client():
        return AsyncClient("token", base_url=f"{origin}/plain/40/v1")

    with asyncio.Runner() as runner:
        client = runner.run(open_client())
        work = lambda: runner.run(client.chat("Hello"))  # noqa: E731
        work()
        called = calls_before_sending(work)
        runner.run(client.aclose())

    assert called[0] == "AsyncClient.chat"
    assert len(called) <= 40, called


class Forecast(msgspec.Struct):
    city: str
    days: int = 1


async def weather(city: str, days: int = 1) -> str:
    """Forecast the weather."""
    return f"rain in {city} for {days} days"


def forecast(city: str, days: int = 1) -> str:
    """Forecast the weather."""
    return f"rain in {city} for {days} days"


class Station:
    async def weather(self, city: str, days: int = 1) -> str:
        """Forecast the weather."""
        return f"rain in {city} for {days} days"


TOOLS = {
    "function": weather,
    "method": Station().weather,
    "partial": partial(weather),
    "partial of a method": partial(Station().weather),
    "sync function": tool(forecast, name="weather"),
}


async def run_by_hand(client, weather=weather):
    """Do what `run` does for one call, as one would write it for this tool alone."""
    messages = [{"role": "user", "content": "Umbrella?"}]
    while True:
        reply = await client.chat(messages=messages, tools=[WEATHER])
        messages.append(reply.message)
        if not reply.tool_calls:
            return reply.text
        for call in reply.tool_calls:
            asked = msgspec.json.decode(call.function.arguments, type=Forecast)
            result = weather(asked.city, asked.days)
            if weather is not forecast:
                result = await result
            messages.append({"role": "tool", "content": result, "tool_call_id": call.id})


WEATHER = msgspec.json.decode(compile_tool(weather).encoded)


def bytecodes(work):
    """Return how many instructions of Python this thread executes in *work*.

    From 3.12 on, Python counts none of a function when it traces it for the first time.
    """
    counted = 0

    def trace(frame, event, _):
        nonlocal counted
        if "blockbuster" in frame.f_code.co_filename:  # the tests' own, see leaks.py
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        counted += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return counted


async def text_of_run(client, made):
    """Let `run` call the tool. A text is returned, because Runner.run takes the repr of the value
    for the text of an exception, whenever it sets the signal handler."""
    result = await client.run("Umbrella?", tools=[made])
    assert len(result.turns) == 2
    return result.text


@pytest.mark.parametrize("kind", TOOLS)
def test_a_run_executes_hardly_more_bytecodes_than_the_loop_by_hand(benchmarks, monkeypatch, kind):
    """It is 1.3 to 3.7 % more on 3.11 to 3.13.

    The least of several is always the same: noise only adds.

    From 3.12 on, Python counts none of a function's bytecodes when it traces it for the first time,
    so what is counted first does not count. The thread that a sync function is called in would cost
    as much by hand, and is left out.
    """
    made = TOOLS[kind]

    async def called_here(function):
        return function()

    monkeypatch.setattr(_toolbox, "run_in_daemon_thread", called_here)
    _, origin = benchmarks

    async def open_client():
        return AsyncClient("token", base_url=f"{origin}/tool/40/v1")

    with asyncio.Runner() as runner:
        client = runner.run(open_client())
        ours = lambda: runner.run(text_of_run(client, made))  # noqa: E731
        by_hand = lambda: runner.run(run_by_hand(client, made))  # noqa: E731

        ours()
        counted = [(bytecodes(ours), bytecodes(by_hand)) for _ in range(8)]
        runner.run(client.aclose())

    mine, other = map(min, zip(*counted[2:], strict=True))
    assert 1 < mine / other <= 1.05


def test_a_run_costs_at_most_8_percent_more_than_the_loop_written_by_hand(benchmarks):
    """It is 3 to 4 % for a function, 5 % for a method, 5 to 6 % for a partial (processor time)."""
    _, origin = benchmarks

    async def measure():
        async with AsyncClient("token", base_url=f"{origin}/tool/40/v1") as client:

            async def ours():
                for _ in range(20):
                    assert len((await client.run("Umbrella?", tools=[weather])).turns) == 2

            async def by_hand():
                for _ in range(20):
                    assert await run_by_hand(client)

            return await ratio(ours, by_hand, 1.05, rounds=60)

    assert asyncio.run(measure()) <= 1.08


@contextlib.contextmanager
def in_lock_step(events):
    """Serve streams of *events*; yield the URL, and a function that lets the next one be sent."""
    allowed = queue.SimpleQueue()  # written in C: it adds no bytecodes

    def serve():
        for _ in range(2):  # the first is not counted
            connection, _ = listener.accept()
            with connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for _ in range(2):
                    request = b""
                    while not request.endswith(b"}"):
                        request += connection.recv(65536)
                    connection.sendall(STREAM_HEAD)
                    for event in events:
                        allowed.get(timeout=30)
                        connection.sendall(b"%x\r\n%b\r\n" % (len(event), event))
                    connection.sendall(b"0\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1", partial(allowed.put, None)
        thread.join(30)


STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
)


def live_event(text, finish=b"null"):
    choice = b'{"index":0,"delta":{"content":"%b"},"finish_reason":%b}' % (text, finish)
    return b'data: {"id":"c-1","choices":[%b]}\n\n' % choice


LIVE = [
    *[live_event(b"token %d" % number) for number in range(80)],
    live_event(b"", b'"stop"') + b"data: [DONE]\n\n",
]


def bytecodes_between(work, first, last):
    """Return the bytecodes of *work* between two calls of the function that it is given."""
    counted, calls, seen = 0, 0, {}

    def trace(frame, event, _):
        nonlocal counted
        if "blockbuster" in frame.f_code.co_filename:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        counted += event == "opcode"
        return trace

    def called():
        nonlocal calls
        calls += 1
        seen[calls] = counted

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work(called)
    finally:
        sys.settrace(before)
    return seen[last] - seen[first]


def test_a_live_event_executes_fewer_bytecodes_than_with_bare_aiohttp_and_msgspec():
    """It is 1,160 of 1,630 on 3.11. Neither a clock nor other work of the machine changes it."""
    decode = msgspec.json.Decoder(ChatCompletionChunk).decode

    async def ours(url, called):
        async with AsyncClient("token", base_url=url) as client:
            for _ in range(2):  # the second time is counted
                more()
                async for _ in client.stream("Hello"):
                    more()
                    called()

    async def bare(url, called):
        async with aiohttp.ClientSession() as session:
            for _ in range(2):
                more()
                async with session.post(f"{url}/chat/completions", data=b"{}") as response:
                    async for line in response.content:
                        if not line.startswith(b"data: ") or line == b"data: [DONE]\n":
                            continue
                        if decode(line[6:]).choices[0].delta.content:
                            more()
                            called()

    counted = []
    with in_lock_step(LIVE) as (url, more):
        for read in (ours, bare):
            work = lambda called, read=read: asyncio.run(read(url, called))  # noqa: E731
            counted.append(bytecodes_between(work, 100, 140))

    assert 0.3 < counted[0] / counted[1] <= 0.8


IMPORTS = """
import time
began = time.process_time()
import THEIRS
between = time.process_time()
import acechat
OURS
print((time.process_time() - began) / (between - began))
"""


@pytest.mark.parametrize(
    ("theirs", "ours", "bar"),
    [
        ("msgspec, asyncio", "", 1.6),
        ("msgspec, aiohttp", "acechat.AsyncClient('token')", 1.3),
    ],
    ids=["import", "first client"],
)
def test_an_import_costs_little_more_than_those_of_what_it_needs(theirs, ours, bar):
    """It is 1.2 and 1.1 times (docs/benchmarks.md)."""
    env = {name: told for name, told in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    code = IMPORTS.replace("THEIRS", theirs).replace("OURS", ours)

    def measure():
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env
        )
        return float(done.stdout)

    measure()  # writes the bytecode

    assert statistics.median(measure() for _ in range(9)) <= bar
