"""Time from the start of a command line to its first request."""

from __future__ import annotations

from benchmarks.driver import Benchmark, Case

_CODE = """
import json, sys
from benchmarks.command_lines import seconds_to_first_request
print(json.dumps({"first_ms": seconds_to_first_request([sys.executable, "-m", NAME]) * 1e3}))
"""
_PROGRAMS = {"acechat, command line": "acechat", "llm, command line": "llm"}

BENCHMARK = Benchmark(
    "command",
    "Time to the first request of a command line",
    [
        Case(
            name="first",
            title="from the start of the process to the first byte of the request",
            path="",
            work="",
            code={name: _CODE.replace("NAME", repr(each)) for name, each in _PROGRAMS.items()},
            subjects=[*_PROGRAMS],
            shown={"first_ms": "ms"},
            ours="acechat, command line",
            rounds=5,
        ),
    ],
)

if __name__ == "__main__":
    from benchmarks.__main__ import main

    main(["command"])
