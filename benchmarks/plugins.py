"""Measure the cost of plugins in another project: `python -m benchmarks.plugins`.

Runs of all variants alternate, so that other load of the machine falls on all of them.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROUNDS = 15
OPTIONS = {
    "neither plugin": ["-p", "no:acechat", "-p", "no:anyio"],
    "acechat": ["-p", "no:anyio"],
    "anyio": ["-p", "no:acechat"],
    "both": [],
}


COUNT = """\
import sys


def pytest_unconfigure():
    with open("modules.txt", "w") as file:
        print(*sys.modules, sep="\\n", file=file)
"""


def collect(folder: Path, options: list[str]) -> float:
    """Run pytest in *folder*; return the processor time in seconds."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", *options]
    before = _children()
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return _children() - before


def _children() -> float:
    times = os.times()
    return float(times.children_user + times.children_system)


def modules(folder: Path, options: list[str]) -> set[str]:
    """Return the modules that pytest has imported with *options*."""
    collect(folder, options)
    return set((folder / "modules.txt").read_text(encoding="utf-8").split())


def project(folder: Path) -> None:
    """Write a project that uses no plugin."""
    (folder / "test_it.py").write_text("def test_it():\n    pass\n", encoding="utf-8")
    (folder / "conftest.py").write_text(COUNT, encoding="utf-8")


def main() -> None:
    """Print a table of the modules and the processor time of each variant."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        project(folder)
        counts = {label: len(modules(folder, options)) for label, options in OPTIONS.items()}
        seconds: dict[str, list[float]] = {label: [] for label in OPTIONS}
        for _ in range(ROUNDS):
            for label, options in OPTIONS.items():
                seconds[label].append(collect(folder, options))
    least = counts["neither plugin"]
    base = statistics.median(seconds["neither plugin"])
    print("| plugins | modules | processor time, median |")
    print("|---|---|---|")
    for label in OPTIONS:
        median = statistics.median(seconds[label])
        time = f"{1000 * median:.0f} ms (+{1000 * (median - base):.0f})"
        print(f"| {label} | +{counts[label] - least} | {time} |")


if __name__ == "__main__":
    main()
