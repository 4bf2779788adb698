"""What acechat may cost, as ratios to what was measured beside it in the same run.

The bars are generous: they catch a regression, they do not describe the speed.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import statistics
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import pytest

from acechat import AsyncClient

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


IMPORTS = """
import time
began = time.process_time()
import msgspec, asyncio
between = time.process_time()
import acechat
print((time.process_time() - began) / (between - began))
"""


def test_the_import_costs_at_most_1_6_times_that_of_msgspec_and_asyncio():
    def measure():
        done = subprocess.run(
            [sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True
        )
        return float(done.stdout)

    measure()  # writes the bytecode

    assert statistics.median(measure() for _ in range(9)) <= 1.6
