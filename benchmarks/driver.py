"""Measures all subjects in turn, round by round, and keeps the medians."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any, Self
from urllib.request import urlopen

from benchmarks.conformance import environments
from benchmarks.subjects import SUBJECTS, Subject

ROOT = Path(__file__).parent.parent

Costs = dict[str, Any]

_CLOSE = {"work": "close", "root": ""}


@dataclass(frozen=True, kw_only=True)
class Case:
    """One table, or one row of a table about growth."""

    name: str
    title: str
    path: str  # the response of the server: SHAPE/COUNT
    work: str  # the task of the worker
    options: dict[str, int] = field(default_factory=dict)
    subjects: list[str]
    rounds: int = 5
    shown: dict[str, str] = field(default_factory=lambda: {"cpu": "µs of CPU", "wall": "µs"})
    floor: str = "floor"
    ours: str = "acechat"
    ideal: float = 0  # seconds of a round without any overhead
    one_round: tuple[str, ...] = ()  # subjects that are slow here; one round must suffice
    warm: bool = True  # False: each round starts without connections, after a shorter warm-up
    fresh: bool = False  # each round in a new process
    code: dict[str, str] = field(
        default_factory=dict
    )  # code for a bare Python, instead of a worker
    group: str = ""  # the table to which this row belongs
    at: str = ""  # the label of the row


@dataclass(frozen=True)
class Benchmark:
    """The cases of one file."""

    name: str
    title: str
    cases: list[Case]


class Worker:
    """The process of one subject."""

    def __init__(self, subject: Subject, python: Path) -> None:
        self._process = Popen(
            [str(python), "-m", "benchmarks.worker", subject.name],
            stdin=PIPE,
            stdout=PIPE,
            stderr=None if os.environ.get("BENCHMARKS_VERBOSE") else subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
            env=clean_environment(),
        )
        self._read()  # "ready"

    def run(self, task: dict[str, Any]) -> Costs:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # the process died, which `_read` reports
            self._process.stdin.write(json.dumps(task) + "\n")
            self._process.stdin.flush()
        costs: Costs = self._read()
        return costs

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        return json.loads(line) if line else {"failed": "the process died"}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


def clean_environment() -> dict[str, str]:
    """Return environment variables without proxies and without settings of Python.

    Bytecode is written: installed packages have it, so this checkout must have it, too.
    """
    kept = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    for name in ("PYTHONDEVMODE", "PYTHONASYNCIODEBUG", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE"):
        kept.pop(name, None)
    # litellm would fetch the prices of models from the network.
    return kept | {"PYTHONPATH": str(ROOT), "LITELLM_LOCAL_MODEL_COST_MAP": "True"}


class Environments:
    """The environments of the subjects, created on demand.

    Args:
        here: Use the running Python for all subjects, in tests.
    """

    def __init__(self, *, here: bool = False) -> None:
        self._here = here
        self.missing: dict[str, str] = {}
        self.versions: dict[str, str] = {}

    def find(self, names: Iterable[str]) -> dict[str, Path]:
        """Return the Python of each subject that can be installed."""
        found: dict[str, Path] = {}
        for name in names:
            subject = SUBJECTS[name]
            if self._here:
                found[name] = Path(sys.executable)
                continue
            try:
                found[name] = environments.make(subject.environment, subject.requirements)
            except RuntimeError as error:
                self.missing[name] = str(error)
                continue
            if subject.package and subject.package not in self.versions:
                self.versions[subject.package] = _version(found[name], subject.package)
        return found


def _version(python: Path, package: str) -> str:
    code = f"from importlib.metadata import version; print(version({package!r}))"
    return subprocess.check_output([str(python), "-c", code], text=True).strip()


@contextmanager
def _workers(pythons: dict[str, Path]) -> Iterator[dict[str, Worker]]:
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(Worker(SUBJECTS[name], python))
            for name, python in pythons.items()
        }


class Run:
    """One run of the benchmark.

    Args:
        origin: The origin of the server.
        pythons: The environments of the subjects.
        quick: Make at most 3 rounds.
        scale: The divisor of counts and rounds, in tests.
    """

    def __init__(
        self, origin: str, pythons: Environments, *, quick: bool = False, scale: int = 1
    ) -> None:
        self._origin = origin
        self._pythons = pythons
        self._quick = quick
        self._scale = scale

    def measure(self, benchmark: Benchmark, only: Iterable[str] | None = None) -> dict[str, Any]:
        """Return the results of *benchmark*, as JSON values."""
        names = {name for case in benchmark.cases for name in case.subjects}
        pythons = self._pythons.find(
            name for name in SUBJECTS if name in names and (only is None or name in only)
        )
        cases: dict[str, Any] = {}
        lasting = {
            name: python
            for name, python in pythons.items()
            if any(name in case.subjects and not case.fresh for case in benchmark.cases)
            and not benchmark.cases[0].code
        }
        with _workers(lasting) as workers:
            for case in benchmark.cases:
                case_pythons = {name: pythons[name] for name in case.subjects if name in pythons}
                cases[case.name] = self._compare(case, case_pythons, workers)
                print(".", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        return {"title": benchmark.title, "cases": cases}

    def _compare(
        self, case: Case, pythons: dict[str, Path], workers: dict[str, Worker]
    ) -> dict[str, Any]:
        rounds = 1 if self._scale > 1 else min(case.rounds, 3) if self._quick else case.rounds
        measured: dict[str, list[Costs]] = {name: [] for name in pythons}
        for number in range(rounds):
            for name, python in pythons.items():
                subject = SUBJECTS[name]
                rare = subject.slow or name in case.one_round
                if (number and rare) or any("failed" in costs for costs in measured[name]):
                    continue
                if case.code:
                    if not number:
                        _run_code(python, case.code[name])  # writes the bytecode
                    measured[name].append(_run_code(python, case.code[name]))
                    continue
                task = self._task(case, subject, self._scale)
                if case.fresh:
                    with Worker(subject, python) as worker:
                        measured[name].append(self._run_task(worker, task, case))
                    continue
                if not number and self._scale == 1:  # one-time costs are not counted
                    brief = rare or not case.warm
                    workers[name].run(self._task(case, subject, 100) if brief else task)
                if not case.warm:
                    workers[name].run(_CLOSE)
                measured[name].append(self._run_task(workers[name], task, case))
        for name in pythons.keys() & workers.keys():
            workers[name].run(_CLOSE)
        self._check(case, measured)
        return {
            "title": case.title,
            "group": case.group,
            "at": case.at,
            "shown": case.shown,
            "floor": case.floor,
            "ours": case.ours,
            "rows": {name: _summary(costs) for name, costs in measured.items()},
        }

    def _task(self, case: Case, subject: Subject, scale: int) -> dict[str, Any]:
        options = dict(case.options)
        shape, _, count = case.path.partition("/")
        if scale > 1:
            count = str(max(int(count) // scale, 2))
            for name in options.keys() & {"at_once", "total"}:
                options[name] = min(options[name], 4)
        if case.work == "held":  # in other cases, streams without a connection wait for one
            options["at_once"] = min(options["at_once"], subject.most)
        if case.work == "streams":
            options["chunks"] = int(count)
        return {"work": case.work, "root": f"{self._origin}/{shape}/{count}", **options}

    def _run_task(self, worker: Worker, task: dict[str, Any], case: Case) -> Costs:
        before = self._server_cpu()
        costs = worker.run(task)
        if "seconds" in costs:
            costs["server"] = (self._server_cpu() - before) / costs["seconds"]
            if case.ideal and self._scale == 1:
                costs["times_ideal"] = costs["seconds"] / case.ideal
        return costs

    def _server_cpu(self) -> float:
        with urlopen(f"{self._origin}/cpu") as response:
            return float(response.read())

    @staticmethod
    def _check(case: Case, measured: dict[str, list[Costs]]) -> None:
        """Check that all subjects read the same, except those that do not decode."""
        read = {
            name: tuple(costs["checked"])
            for name, rounds in measured.items()
            for costs in rounds
            if costs.get("checked", [0, 0]) != [0, 0]
        }
        if len({*read.values()}) > 1:
            raise AssertionError(f"{case.name}: the subjects disagree: {read}")


def _run_code(python: Path, code: str) -> Costs:
    done = subprocess.run(
        [str(python), "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=clean_environment(),
        check=False,
    )
    if done.returncode:
        return {"failed": done.stderr.strip().rpartition("\n")[2][:200]}
    costs: Costs = json.loads(done.stdout)
    return costs


def _summary(rounds: list[Costs]) -> dict[str, Any]:
    if failed := [costs["failed"] for costs in rounds if "failed" in costs]:
        return {"failed": failed[0]}
    measures = [name for name in rounds[0] if name != "checked"]
    medians = {name: statistics.median(costs[name] for costs in rounds) for name in measures}
    least = min(costs["cpu"] for costs in rounds) if "cpu" in measures else 0
    rounded = {name: float(f"{value:.4g}") for name, value in medians.items()}
    return rounded | {"least": float(f"{least:.4g}"), "rounds": len(rounds)}
