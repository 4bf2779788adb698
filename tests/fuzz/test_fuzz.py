"""Fuzz for a few seconds and rerun all earlier findings; `nox -s fuzz` runs a million inputs."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CORPUS = sorted((HERE.parent / "data" / "corpus").glob("*.json"))


@pytest.fixture
def fuzz(monkeypatch):
    monkeypatch.syspath_prepend(HERE)
    import campaign
    import targets

    return campaign, targets


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_earlier_findings_stay_fixed(fuzz, path):
    _, targets = fuzz

    targets.check(targets.Case.from_json(path.read_text(encoding="utf-8")))


def test_nothing_is_found_in_a_few_seconds(fuzz):
    campaign, targets = fuzz

    report = campaign.run(20261122, seconds=3)

    assert set(report.per_target) == set(targets.TARGETS)
    assert not report.findings, str(report)


def test_a_large_input_costs_little_more_than_others(fuzz):
    import cost

    costs = cost.measure(random.Random(20261129), 40, 200_000)

    assert costs.inputs == 40
    assert not costs.slow, str(costs)


def test_an_input_of_high_cost_is_found(fuzz, monkeypatch):
    import cost

    def slow(case):
        until = time.process_time() + (0.2 if len(case.cuts) == 1 else 0)
        while time.process_time() < until:
            pass

    monkeypatch.setitem(cost._WORK, "stream", slow)

    found = cost.measure(random.Random(1), 40, 10_000).slow

    assert {(case.target, len(case.cuts)) for _, case in found} == {("stream", 1)}


def test_the_same_seed_makes_the_same_inputs(fuzz, monkeypatch):
    campaign, targets = fuzz
    tried = []
    monkeypatch.setattr(targets, "check", tried.append)

    campaign.run(1, 50)
    campaign.run(1, 50)

    assert tried[:50] == tried[50:]


def test_a_defect_is_found(fuzz, monkeypatch):
    campaign, targets = fuzz

    def fails(case):
        if b"\r" in case.data:
            raise KeyError("a carriage return")

    monkeypatch.setattr(targets, "check", fails)

    report = campaign.run(1, 300)

    assert {finding.error for finding in report.findings.values()} == {
        "KeyError: 'a carriage return'"
    }
    assert report.inputs == 300


def test_a_case_survives_its_json(fuzz):
    _, targets = fuzz
    case = targets.Case("sse", b"data: \xff\n", [3], {"a": "\xff"}, 200)

    assert targets.Case.from_json(case.to_json()) == case
    assert case.reads == [b"dat", b"a: \xff\n"]
