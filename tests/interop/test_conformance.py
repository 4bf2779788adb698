"""The conformance kit drives a real peer: openai's client, from the package index."""

from __future__ import annotations

import pytest

from benchmarks.conformance.faults import FAULTS
from benchmarks.conformance.peers import install
from benchmarks.conformance.run import run

VERDICTS = {"ok", "typed", "foreign", "SILENT", "LOST", "hang"}


@pytest.fixture(scope="module")
def openai():
    peers, missing = install(["openai"])
    if missing:
        pytest.skip(missing["openai"])
    return peers


def test_a_peer_goes_through_the_matrix(openai):
    names = {"complete", "plain-complete", "plain-401", "cut-clean", "cut-reset", "stall"}
    faults = [fault for fault in FAULTS if fault.name in names]

    (column,) = run(openai, faults, timeout=1.0)

    assert (column.broken, column.name) == ("", "openai")
    assert column.version
    assert {cell.verdict for cell in column.cells.values()} <= VERDICTS
    # True of every version; the reaction to a truncated stream may change.
    expected = {"complete": "ok", "plain-complete": "ok", "plain-401": "typed"}
    assert {name: column.cells[name].verdict for name in expected} == expected
