"""``python -m benchmarks.conformance``: the fault matrix, for acechat and the given peers."""

from __future__ import annotations

import argparse
import datetime as dt
import sys
from pathlib import Path

from benchmarks.conformance.faults import FAULTS
from benchmarks.conformance.peers import PEERS, install
from benchmarks.conformance.report import Report
from benchmarks.conformance.run import OURS, Peer, run

__all__ = ["main"]


def main(arguments: list[str]) -> int:
    """Run the matrix; return 0 if every cell of acechat is acceptable, otherwise 1."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.conformance",
        description="Send every fault to acechat and peers.",
    )
    parser.add_argument(
        "--peer",
        action="append",
        default=[],
        metavar="NAME[==VERSION]",
        help=f"one of {', '.join(PEERS)}; may be repeated",
    )
    parser.add_argument(
        "--fault", action="append", default=[], choices=[fault.name for fault in FAULTS],
        metavar="NAME", help="only this fault; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--timeout", type=float, default=2.0, metavar="SECONDS", help="time-out of all clients [2]"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all results")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table")
    options = parser.parse_args(arguments)
    try:
        peers, missing = install(options.peer)
    except ValueError as error:
        parser.error(str(error))
    faults = tuple(fault for fault in FAULTS if fault.name in (options.fault or [fault.name]))
    columns = run([*map(Peer.of, OURS), *peers], faults, timeout=options.timeout)
    report = Report(
        made=dt.datetime.now(dt.UTC).date().isoformat(),
        timeout=options.timeout,
        faults=faults,
        columns=tuple(columns),
        missing=missing,
    )
    sys.stdout.write(report.to_text() + "\n")
    if options.json:
        options.json.write_bytes(report.to_json())
    if options.markdown:
        options.markdown.write_text(report.to_markdown(), encoding="utf-8")
    return 0 if report.passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
