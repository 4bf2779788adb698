"""Smaller forms of the bars in benchmarks/bulk.py: memory, cost, a rate limit in real time."""

from __future__ import annotations

import asyncio
import time

from acechat import AsyncClient
from benchmarks.bulk import counts, run_batch, serving, write_prompts

ROWS = 400


def test_memory_does_not_grow_with_the_number_of_rows(tmp_path):
    figures = []
    with serving(latency=0.001) as port:
        for rows in (300, 6000):
            folder = tmp_path / str(rows)
            folder.mkdir()
            write_prompts(folder / "in.jsonl", rows)
            figures.append(run_batch(port, str(folder)))
    small, large = figures

    assert (small["done"], large["done"]) == (300, 6000)
    assert large["megabytes"] < 150
    assert large["megabytes"] - small["megabytes"] < 15


def test_a_row_costs_little_more_than_a_call(tmp_path):
    """CPU time: the waits for the server do not count, nor does the load of the machine."""

    async def measure(port, folder):
        write_prompts(folder / "in.jsonl", ROWS)
        async with AsyncClient("t", base_url=f"http://127.0.0.1:{port}/v1", proxy="") as client:
            prompts = iter([f"Hello {n}" for n in range(ROWS)])

            async def work():
                for prompt in prompts:
                    await client.chat(prompt)

            await asyncio.gather(*[work() for _ in range(32)])  # connects
            prompts = iter([f"Hello {n}" for n in range(ROWS)])
            began = time.process_time()
            await asyncio.gather(*[work() for _ in range(32)])
            calls = time.process_time() - began
            began = time.process_time()
            batch = client.batch(folder / "in.jsonl", output=folder / "out", concurrency=32)
            assert (await batch.collect()).done == ROWS
            return (time.process_time() - began) / calls

    ratios = []
    with serving(latency=0.005) as port:
        for attempt in range(5):
            folder = tmp_path / str(attempt)
            folder.mkdir()
            ratios.append(asyncio.run(measure(port, folder)))

    assert min(ratios) < 1.8


def test_a_rate_limit_in_real_time(tmp_path):
    write_prompts(tmp_path / "in.jsonl", 500)
    with serving(limit=50, code="429") as port:
        figures = run_batch(port, str(tmp_path))
        seconds = asyncio.run(counts(port))

    assert figures["done"] == 500
    later = [numbers for second, numbers in seconds.items() if 4 <= second < max(seconds)]
    accepted, refused = (sum(each) for each in zip(*later, strict=True))
    assert accepted / len(later) >= 35
    assert refused <= 0.2 * accepted
