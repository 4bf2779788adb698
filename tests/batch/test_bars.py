"""Smaller forms of the bars in benchmarks/bulk.py: memory, cost, a rate limit in real time."""

from __future__ import annotations

import asyncio
import os
import sys
import time

import pytest

from acechat import AsyncClient, BatchProgress, BatchSummary
from acechat.batch.sources import FileSource
from acechat.cli.terminal.batch import Display
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


def instructions(work):
    """Return the number of bytecode instructions of *work*: no load of the machine changes it."""
    number = 0

    def local(_, event, __):
        nonlocal number
        number += event == "opcode"
        return local

    def enter(frame, _, __):
        frame.f_trace_opcodes = True
        return local

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        work()
    finally:
        sys.settrace(before)
    return number


class Running:
    """A run that ends 1,000 rows each time the display looks at it."""

    def __init__(self):
        self.summary, self.looks = BatchSummary(), 0

    @property
    def progress(self):
        self.looks += 1
        self.summary.done += 1000
        return BatchProgress(summary=self.summary, running=64, waiting=3, concurrency=64, rate=50.0)


@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
def test_progress_costs_at_most_three_per_cent(monkeypatch):
    """A draw has 6,000 instructions and comes twice a second, whatever the number of rows.

    With 30,000, it would take 3 % of a processor that executes only 2 million a second.
    """
    import pty

    import rich.console
    import rich.live  # noqa: F401 - not in the loop: imports read files

    ours, its = pty.openpty()
    terminal = os.fdopen(its, "w")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", terminal)
    run = Running()

    async def main():
        began = time.monotonic()
        async with Display(run, "-", "auto") as display:
            await asyncio.sleep(1.7)
            looks, seconds = run.looks, time.monotonic() - began
            display._show()
            return looks, seconds, instructions(display._show)

    looks, seconds, cost = asyncio.run(main())
    shown = os.read(ours, 65536)
    terminal.close()
    os.close(ours)

    assert b"1,000 done" in shown
    assert 1 <= looks <= seconds / 0.5
    assert cost <= 30_000


@pytest.mark.parametrize("name", ["in.jsonl", "in.txt", "in.csv", "in.parquet"])
def test_counting_the_rows_for_the_progress_costs_little(tmp_path, name):
    """A row of a run takes thousands of instructions."""
    path, rows = tmp_path / name, 2000
    if name == "in.parquet":
        pyarrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        parquet.write_table(pyarrow.table({"text": ["a, b"] * rows}), path)
    else:
        path.write_text("text\n" * (name == "in.csv") + '"a, b"\n\n' * rows)
    counted = []
    source = FileSource(path)
    cost = instructions(lambda: counted.append(source.count()))

    assert counted == [rows] == [sum(1 for _ in source.read())]
    assert cost <= 30 * rows
