"""A short soak test; the figures of ``nox -s soak`` are in docs/reliability.md."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

CALLS = 2000

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")


@pytest.mark.parametrize("client", ["async", "blocking"])
def test_2000_calls_with_faults_have_the_expected_results_and_leak_nothing(root, client):
    # A short run is mostly warm-up: 1.1 still finds 3 KiB that are lost per call.
    command = [sys.executable, root / "tests" / "soak.py", "--client", client]
    done = subprocess.run(
        [*command, "--calls", str(CALLS), "--growth", "1.1"],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )

    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    measurements = json.loads(done.stdout)
    assert (measurements["calls"], measurements["with a fault"], measurements["wrong"]) == (
        CALLS,
        CALLS // 10,
        [],
    )


def test_a_wrong_result_is_detected(root, monkeypatch):
    monkeypatch.syspath_prepend(root / "tests")
    import soak

    assert soak.is_right(1, stream=True, outcome="".join(soak.words_of(1)))
    assert not soak.is_right(1, stream=True, outcome="".join(soak.words_of(2)))
    assert not soak.is_right(1, stream=False, outcome=ValueError("x"))
    for number in range(0, 70, 10):
        if soak.fault_of(number) not in {"busy", "reset"}:
            assert not soak.is_right(number, stream=False, outcome="".join(soak.words_of(number)))
