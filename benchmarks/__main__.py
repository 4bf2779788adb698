"""Run the given benchmarks, or all; print their tables and the verdict on each bar."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from acechat import __version__
from benchmarks import report, server
from benchmarks.driver import Benchmark, Environments, Run
from benchmarks.subjects import SUBJECTS

BENCHMARKS = [
    "chunk",
    "call",
    "live",
    "first",
    "blocking",
    "open_streams",
    "imports",
    "growth",
    "image",
    "features",
    "rows",
    "command",
]
RESULTS = Path(__file__).parent / "results.json"


def benchmark(name: str) -> Benchmark:
    """Return the benchmark of the module *name*."""
    found: Benchmark = import_module(f"benchmarks.{name}").BENCHMARK
    return found


def machine() -> dict[str, Any]:
    """Return facts about this machine."""
    name = platform.processor() or platform.machine()
    cpus = Path("/proc/cpuinfo")
    if cpus.exists():
        models = [line for line in cpus.read_text().splitlines() if line.startswith("model name")]
        name = models[0].partition(": ")[2] if models else name
    return {
        "cpu": name,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "realtime": hasattr(os, "sched_getscheduler") and os.sched_getscheduler(0) == os.SCHED_FIFO,
        "pinned": hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1,
    }


def versions() -> dict[str, str]:
    """Return the versions of acechat and its dependencies."""
    found = {"acechat": __version__}
    for package in ("aiohttp", "msgspec", "anyio"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "?"
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("benchmarks", nargs="*", metavar="BENCHMARK", help=", ".join(BENCHMARKS))
    parser.add_argument("--quick", action="store_true", help="at most 3 rounds per case")
    parser.add_argument("--only", nargs="+", metavar="SUBJECT", choices=SUBJECTS)
    parser.add_argument("--save", action="store_true", help="keep the results of a partial run")
    options = parser.parse_args([*(arguments or ()), *sys.argv[1:]])
    names = options.benchmarks or BENCHMARKS
    if unknown := {*names} - {*BENCHMARKS}:
        parser.error(f"unknown benchmark: {', '.join(unknown)}")

    pythons = Environments()
    began = time.monotonic()
    results: dict[str, Any] = {"machine": machine(), "benchmarks": {}}
    with server.running() as origin:
        run = Run(origin, pythons, quick=options.quick)
        for name in names:
            results["benchmarks"][name] = run.measure(benchmark(name), options.only)
            print(report.tables({"benchmarks": {name: results["benchmarks"][name]}}))
    results["versions"] = versions() | pythons.versions
    results["missing"] = pythons.missing
    if hasattr(os, "getloadavg"):
        results["machine"]["load"] = round(os.getloadavg()[2], 1)
    results["minutes"] = round((time.monotonic() - began) / 60, 1)
    print(report.verdicts(results))
    print(report.conditions(results))
    if options.save or (names == BENCHMARKS and not options.only and not options.quick):
        RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
        report.write(results)


if __name__ == "__main__":
    main()
