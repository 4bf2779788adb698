"""Runs one subject in its own environment: reads one task per line as JSON, writes its costs.

It imports only the standard library and the subject. Time and CPU of a task are those of this
process during the task; between two tasks its event loop does not run.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable, Coroutine
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.server import allow_many_files, pin
from benchmarks.subjects import SUBJECTS, Read, sized_request

Costs = dict[str, Any]

_OPENING = 120.0
"""Seconds in which all streams must open."""


class Meter:
    """Measures from its creation to `read`."""

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self._cpu = time.process_time()

    def read(self, things: int) -> Costs:
        """Return µs of CPU and of time for each of *things*, and the total time in seconds."""
        cpu, wall = time.process_time() - self._cpu, time.perf_counter() - self.began
        return {
            "cpu": cpu / things * 1e6,
            "wall": wall / things * 1e6,
            "seconds": wall,
            "per_second": things / wall,
            "busy": cpu / wall,
        }


class FirstTexts:
    """The time to the first text of each stream."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    def watch(self, began: float | None = None) -> Callable[[], object]:
        """Return a callback for the first text of a stream. *began*: its start; None: now."""
        began = time.perf_counter() if began is None else began
        return lambda: self.waits.append(time.perf_counter() - began)

    def read(self) -> Costs:
        ranked = sorted(self.waits)
        p99 = ranked[min(len(ranked) * 99 // 100, len(ranked) - 1)]
        return {"first_p50": statistics.median(ranked) * 1e3, "first_p99": p99 * 1e3}


def _agreed(reads: list[Read]) -> Costs:
    assert len({*reads}) == 1, f"streams of one shape differ: { ({*reads}) }"
    return {"checked": reads[0]}


async def streams(
    subject: Any, *, chunks: int, at_once: int = 1, total: int = 1, apart: int = 0
) -> Costs:
    """Read *total* streams, *at_once* at a time; or start one every *apart* µs."""
    firsts, meter = FirstTexts(), Meter()
    reads: list[Read] = []
    if apart:
        reads += await asyncio.gather(
            *[
                _stream_at(subject, meter.began + number * apart / 1e6, firsts)
                for number in range(total)
            ]
        )
    for _ in range(0 if apart else total // at_once):
        watches = [firsts.watch() for _ in range(at_once)]
        reads += await asyncio.gather(*map(subject.stream, watches))
    return meter.read(chunks * total) | firsts.read() | _agreed(reads)


async def _stream_at(subject: Any, due: float, firsts: FirstTexts) -> Read:
    """Read a stream that starts at *due*, or as soon after it as the loop runs this task."""
    await asyncio.sleep(due - time.perf_counter())
    read: Read = await subject.stream(firsts.watch(due))
    return read


async def calls(subject: Any, *, total: int, at_once: int = 1, image_size: int = 0) -> Costs:
    """Make *total* calls, *at_once* at a time, with images of *image_size* bytes; 0: none."""
    sent = os.urandom(image_size) if image_size else None
    if sent:
        sent = b"\x89PNG\r\n\x1a\n" + sent[8:]
    meter = Meter()
    sizes: list[int] = []
    for _ in range(total // at_once):
        sizes += await asyncio.gather(*[subject.chat(sent) for _ in range(at_once)])
    return meter.read(total) | _agreed([(1, size) for size in sizes])


async def sized(subject: Any, *, total: int, **sizes: int) -> Costs:
    """Make *total* calls, one after the other, of a request with *sizes*."""
    messages, tools = sized_request(**sizes)
    await subject.send(messages, tools)
    meter = Meter()
    read = [await subject.send(messages, tools) for _ in range(total)]
    return meter.read(total) | _agreed([(1, size) for size in read])


async def image(subject: Any, *, size: int) -> Costs:
    """Send an image of *size* bytes: CPU, copies at the peak, longest block of the loop."""
    costs = await calls(subject, total=3, image_size=size)
    sent = b"\x89PNG\r\n\x1a\n" + os.urandom(size - 8)
    encoded = (size + 2) // 3 * 4

    beats: list[float] = []

    async def beat() -> None:
        while True:
            beats.append(time.perf_counter())
            await asyncio.sleep(0)

    beating = asyncio.create_task(beat())
    await asyncio.sleep(0)
    await subject.chat(sent)
    beating.cancel()
    beats.append(time.perf_counter())
    longest = max(after - before for before, after in pairwise(beats))

    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    await subject.chat(sent)
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    return costs | {"copies": peak / encoded, "blocked": longest * 1e3}


def _resident() -> int:
    """Return the resident memory of this process, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


async def held(subject: Any, *, at_once: int) -> Costs:
    """Hold *at_once* started streams open: the memory of each."""
    opened = 0
    all_opened = asyncio.Event()

    def first() -> None:
        nonlocal opened
        opened += 1
        if opened == wanted:
            all_opened.set()

    wanted = 3
    first_streams = [asyncio.create_task(subject.stream(first)) for _ in range(wanted)]
    await asyncio.wait_for(all_opened.wait(), _OPENING)
    opened, wanted = 0, at_once - wanted
    all_opened.clear()
    gc.collect()
    before, meter = _resident(), Meter()
    other_streams = [asyncio.create_task(subject.stream(first)) for _ in range(wanted)]
    try:
        await asyncio.wait_for(all_opened.wait(), _OPENING)
        costs = meter.read(wanted)
        gc.collect()
        return costs | {"kb": (_resident() - before) / wanted / 1024}
    finally:
        for task in [*first_streams, *other_streams]:
            task.cancel()
        await asyncio.gather(*first_streams, *other_streams, return_exceptions=True)


def blocking_streams(subject: Any, *, chunks: int, total: int = 1) -> Costs:
    firsts, meter = FirstTexts(), Meter()
    reads = [subject.stream(firsts.watch()) for _ in range(total)]
    return meter.read(chunks * total) | firsts.read() | _agreed(reads)


def blocking_calls(subject: Any, *, total: int) -> Costs:
    meter = Meter()
    sizes = [subject.chat() for _ in range(total)]
    return meter.read(total) | _agreed([(1, size) for size in sizes])


ASYNC: dict[str, Callable[..., Coroutine[Any, Any, Costs]]] = {
    "streams": streams,
    "calls": calls,
    "sized": sized,
    "image": image,
    "held": held,
}
BLOCKING: dict[str, Callable[..., Costs]] = {"streams": blocking_streams, "calls": blocking_calls}


class Bench:
    """One subject and its current client: one for each URL, one at a time."""

    def __init__(self, name: str, runner: asyncio.Runner) -> None:
        self._subject = SUBJECTS[name]
        module = import_module(f"benchmarks.subjects.{self._subject.module}")
        self._make = getattr(module, self._subject.class_name)
        self._runner = runner
        self._root = ""
        self._client: Any = None

    def work(self, *, work: str, root: str, **options: Any) -> Costs:
        if work == "close":
            self.close()
            return {}
        if self._subject.class_name == "Blocking":
            if root != self._root:
                self.close()
                self._client, self._root = self._make(root), root
            return BLOCKING[work](self._client, **options)
        return self._runner.run(self._work(work, root, options))

    async def _work(self, work: str, root: str, options: dict[str, Any]) -> Costs:
        if root != self._root:
            if self._client is not None:
                await self._client.close()
            self._client, self._root = self._make(root), root
        return await ASYNC[work](self._client, **options)

    def close(self) -> None:
        client, self._client, self._root = self._client, None, ""
        if client is not None and self._subject.class_name == "Blocking":
            client.close()
        elif client is not None:
            self._runner.run(client.close())


def _loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    return import_module(name).new_event_loop if name else None


def main(name: str) -> None:
    pin(0)
    allow_many_files()
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # output that a library prints must not reach the driver
    with asyncio.Runner(loop_factory=_loop_factory(SUBJECTS[name].loop)) as runner:
        bench = Bench(name, runner)
        print(json.dumps("ready"), file=out, flush=True)
        for line in sys.stdin:
            try:
                costs = bench.work(**json.loads(line))
            except Exception as error:  # noqa: BLE001 - a failure of the subject is its result
                costs = {"failed": f"{type(error).__name__}: {error}"[:200]}
            print(json.dumps(costs), file=out, flush=True)
        bench.close()


if __name__ == "__main__":
    main(sys.argv[1])
