"""Run many fuzz inputs from one seed and report the findings."""

from __future__ import annotations

import random
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from itertools import count, islice

import targets


@dataclass
class Finding:
    """One kind of failure, with the shortest input seen that causes it."""

    error: str
    where: str
    case: targets.Case
    times: int = 1


@dataclass
class Report:
    seed: int
    inputs: int = 0
    size: int = 0
    seconds: float = 0.0
    per_target: Counter = field(default_factory=Counter)
    findings: dict[tuple, Finding] = field(default_factory=dict)

    def add(self, case, error):
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{frame.filename.rpartition('/')[2]}:{frame.lineno} ({frame.name})"
        message = str(error).partition(":")[0] if isinstance(error, AssertionError) else ""
        known = self.findings.setdefault(
            (case.target, type(error), where, message),
            Finding(f"{type(error).__name__}: {error}", where, case, 0),
        )
        known.times += 1
        if len(case.data) < len(known.case.data):
            known.case, known.error = case, f"{type(error).__name__}: {error}"

    def __str__(self):
        counts = ", ".join(f"{name} {times}" for name, times in sorted(self.per_target.items()))
        lines = [
            (
                f"{self.inputs} inputs ({counts}), {self.size / 1e6:.1f} MB, seed {self.seed}, "
                f"{self.seconds:.1f} s of CPU: {len(self.findings)} findings"
            )
        ]
        for one in self.findings.values():
            lines += [f"  {one.case.target}, {one.times}×: {one.error[:600]} at {one.where}"]
            lines += [f"    {one.case.data[:300]!r} split at {one.case.cuts} {one.case.headers}"]
        return "\n".join(lines)


def run(seed, inputs=None, seconds=None):
    """Run *inputs* inputs, or for *seconds* of CPU; a seed determines the inputs."""
    report, dice = Report(seed), random.Random(seed)
    began = time.process_time()
    for number in islice(count(), inputs):
        if seconds is not None and not number % 100 and time.process_time() - began > seconds:
            break
        case = targets.make(dice)
        report.inputs += 1
        report.size += len(case.data)
        report.per_target[case.target] += 1
        try:
            targets.check(case)
        except Exception as error:  # noqa: BLE001 - any exception is a finding
            report.add(case, error)
    report.seconds = time.process_time() - began
    return report
