"""Rows per second of a bulk run, beside a bare load generator; `benchmarks.bulk` has more bars."""

from __future__ import annotations

from benchmarks.driver import Benchmark, Case

_RAW = """
import asyncio, json
from benchmarks.bulk import PROMPTS, generate, serving
with serving() as port:
    print(json.dumps({"per_second": asyncio.run(generate(port, PROMPTS // 10))}))
"""
_OURS = """
import json, tempfile
from pathlib import Path
from benchmarks.bulk import CONNECTIONS, PROMPTS, run_batch, serving, write_prompts
with tempfile.TemporaryDirectory() as folder, serving() as port:
    write_prompts(Path(folder, "in.jsonl"), PROMPTS // 10)
    figures = run_batch(port, folder, concurrency=CONNECTIONS)
print(json.dumps({
    "per_second": PROMPTS // 10 / figures["seconds"], "mb": figures["megabytes"],
}))
"""

BENCHMARK = Benchmark(
    "rows",
    "Rows per second of a bulk run",
    [
        Case(
            name="rows",
            title="10,000 prompts, 64 connections, responses after 20 ms: at most 3,200 per second",
            path="",
            work="",
            code={"floor": _RAW, "acechat": _OURS},
            subjects=["floor", "acechat"],
            shown={"per_second": "rows per second", "mb": "MB at the peak"},
            rounds=3,
        ),
    ],
)

if __name__ == "__main__":
    from benchmarks.__main__ import main

    main(["rows"])
