"""``python tests/fuzz --inputs 1000000 --seed 1``: exits with 1 after findings."""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

import campaign
import cost


def main():
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=None, help="default: a new one")
    parser.add_argument("--save", type=Path, help="the folder for findings, as cases of the corpus")
    parser.add_argument("--costs", type=int, default=300, help="inputs of 1 MB to measure")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(2**32) if options.seed is None else options.seed
    report = campaign.run(seed, options.inputs)
    print(report)  # noqa: T201 - it is a program
    costs = cost.measure(random.Random(seed), options.costs) if options.costs else None
    print(costs or "no costs measured")  # noqa: T201
    if options.save:
        for number, finding in enumerate(report.findings.values()):
            path = options.save / f"{finding.case.target}-{seed}-{number}.json"
            path.write_text(finding.case.to_json() + "\n", encoding="utf-8")
    return 1 if report.findings or (costs and costs.slow) else 0


if __name__ == "__main__":
    sys.exit(main())
