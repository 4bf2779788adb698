"""Ask all questions and print one table: CPU time of the client, medians, ratios in one run.

Peers and more questions are to come; these are the costs that the tests hold (tests/test_costs.py).
"""

from __future__ import annotations

import asyncio
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable

import aiohttp
import msgspec

from acechat import AsyncClient, Client, __version__
from benchmarks import floors, server

ROUNDS = 9
COUNT = 10_000
CALLS = 300


async def _cost(work: Callable[[], Awaitable[int]]) -> float:
    """Return microseconds of CPU per thing that *work* did."""
    began = time.process_time()
    done = await work()
    return (time.process_time() - began) / done * 1e6


async def _compare(
    question: str, ours: Callable[[], Awaitable[int]], floor: Callable[[], Awaitable[int]]
) -> None:
    measured = [(await _cost(ours), await _cost(floor)) for _ in range(ROUNDS)]
    mine, other = (statistics.median(column) for column in zip(*measured[1:], strict=True))
    print(f"{question:<50}{mine:>10.2f}{other:>10.2f}{mine / other:>8.2f}")


async def _streams(origin: str, shape: str, question: str) -> None:
    url = f"{origin}/{shape}/{COUNT}"
    async with AsyncClient("token", base_url=f"{url}/v1") as client:

        async def ours() -> int:
            return len([delta.content async for delta in client.stream("Hello")])

        async def floor() -> int:
            return len([delta.content async for delta in floors.stream(url)])

        await _compare(question, ours, floor)


async def _calls(origin: str, at_once: int, question: str) -> None:
    url = f"{origin}/whole/40"
    async with (
        AsyncClient("token", base_url=f"{url}/v1") as client,
        aiohttp.ClientSession() as session,
    ):

        async def ours() -> int:
            for _ in range(CALLS // at_once):
                await asyncio.gather(*[client.chat("Hello") for _ in range(at_once)])
            return CALLS // at_once * at_once

        async def bare() -> int:
            for _ in range(CALLS // at_once):
                await asyncio.gather(*[floors.chat(session, url) for _ in range(at_once)])
            return CALLS // at_once * at_once

        await _compare(question, ours, bare)


async def _blocking(origin: str) -> None:
    url = f"{origin}/events/{COUNT}"
    with Client("token", base_url=f"{url}/v1") as client:

        async def ours() -> int:
            return len([delta.content for delta in client.stream("Hello")])

        async def floor() -> int:
            return len([delta.content async for delta in floors.stream(url)])

        await _compare("a streamed chunk, blocking", ours, floor)


def _import() -> None:
    code = (
        "import time; a = time.process_time(); import msgspec, asyncio; b = time.process_time();"
        "import acechat; c = time.process_time(); print(c - a, b - a)"
    )
    runs = [
        [float(word) for word in subprocess.check_output([sys.executable, "-c", code]).split()]
        for _ in range(ROUNDS)
    ]
    mine, other = (statistics.median(column) * 1e6 for column in zip(*runs, strict=True))
    print(
        f"{'import, beside msgspec and asyncio':<50}{mine:>10.0f}{other:>10.0f}{mine / other:>8.2f}"
    )


async def main() -> None:
    print(
        f"acechat {__version__}, aiohttp {aiohttp.__version__}, msgspec {msgspec.__version__}, "
        f"Python {platform.python_version()}, {platform.machine()}"
    )
    print(f"{'µs of CPU, medians':<50}{'acechat':>10}{'floor':>10}{'times':>8}")
    with server.running() as origin:
        await _streams(origin, "events", "a streamed chunk, one HTTP chunk per event")
        await _streams(origin, "blocks", "a streamed chunk, HTTP chunks of 64 KB")
        await _blocking(origin)
        await _calls(origin, 1, "a call (floor: bare aiohttp + msgspec)")
        await _calls(origin, 64, "a call, 64 at once (floor: the same)")
    _import()


if __name__ == "__main__":
    asyncio.run(main())
