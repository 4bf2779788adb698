"""What acechat may cost, as ratios to what was measured beside it in the same run.

The bars are generous: they catch a regression, they do not describe the speed.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import msgspec
import pytest

from acechat import AsyncClient
from acechat._tool import as_tool

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.xdist_group("costs")


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
    await work()
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


def test_a_call_costs_at_most_1_6_times_bare_aiohttp_and_msgspec(benchmarks):
    floors, origin = benchmarks

    async def measure():
        url = f"{origin}/whole/40"
        async with (
            AsyncClient("token", base_url=f"{url}/v1") as client,
            aiohttp.ClientSession() as session,
        ):

            async def ours():
                for _ in range(300):
                    await client.chat("Hello")

            async def bare():
                for _ in range(300):
                    await floors.chat(session, url)

            return await ratio(ours, bare, 1.6)

    assert asyncio.run(measure()) <= 1.6


@pytest.mark.parametrize("shape", ["events", "blocks"])
def test_a_streamed_chunk_costs_at_most_twice_the_floor(benchmarks, shape):
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

            return await ratio(ours, floor, 2.0)

    assert asyncio.run(measure()) <= 2.0


class Forecast(msgspec.Struct):
    city: str
    days: int = 1


async def weather(city: str, days: int = 1) -> str:
    """Forecast the weather."""
    return f"rain in {city} for {days} days"


async def run_by_hand(client):
    """Do what `run` does for one call, as one would write it for this tool alone."""
    messages = [{"role": "user", "content": "Umbrella?"}]
    while True:
        reply = await client.chat(messages=messages, tools=[WEATHER])
        messages.append(reply.message)
        if not reply.tool_calls:
            return reply.text
        for call in reply.tool_calls:
            asked = msgspec.json.decode(call.function.arguments, type=Forecast)
            result = await weather(asked.city, asked.days)
            messages.append({"role": "tool", "content": result, "tool_call_id": call.id})


WEATHER = as_tool(weather).definition


def test_a_run_costs_at_most_12_percent_more_than_the_loop_written_by_hand(benchmarks):
    """It is 3 % in instructions; on a machine that others use, up to 10 % in processor time."""
    _, origin = benchmarks

    async def measure():
        async with AsyncClient("token", base_url=f"{origin}/tool/40/v1") as client:

            async def ours():
                for _ in range(200):
                    assert len((await client.run("Umbrella?", tools=[weather])).turns) == 2

            async def by_hand():
                for _ in range(200):
                    assert await run_by_hand(client)

            return await ratio(ours, by_hand, 1.05)

    assert asyncio.run(measure()) <= 1.12


IMPORTS = """
import time
began = time.process_time()
import msgspec, asyncio
between = time.process_time()
import acechat
print((time.process_time() - began) / (between - began))
"""


def test_the_import_costs_at_most_1_6_times_that_of_msgspec_and_asyncio():
    env = {name: told for name, told in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

    def measure():
        done = subprocess.run(
            [sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True, env=env
        )
        return float(done.stdout)

    measure()  # writes the bytecode

    assert statistics.median(measure() for _ in range(9)) <= 1.6
