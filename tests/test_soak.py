"""A short soak; ``nox -s soak`` runs the long one, whose figures stand in docs/reliability.md."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

CALLS = 2000

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")


@pytest.mark.parametrize("colour", ["async", "blocking"])
def test_2000_calls_with_faults_come_to_what_they_must_and_leave_nothing(root, colour):
    # A short run is mostly warm-up: 1.1 still finds 3 KiB that are lost per call.
    command = [sys.executable, root / "tests" / "soak.py", "--colour", colour]
    done = subprocess.run(
        [*command, "--calls", str(CALLS), "--growth", "1.1"],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )

    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    told = json.loads(done.stdout)
    assert (told["calls"], told["with a fault"], told["wrong"]) == (CALLS, CALLS // 10, [])


def test_a_wrong_answer_is_noticed(root, monkeypatch):
    monkeypatch.syspath_prepend(root / "tests")
    import soak

    assert soak.is_right(1, stream=True, outcome="".join(soak.words_of(1)))
    assert not soak.is_right(1, stream=True, outcome="".join(soak.words_of(2)))
    assert not soak.is_right(1, stream=False, outcome=ValueError("x"))
    for number in range(0, 70, 10):
        if soak.fault_of(number) not in {"busy", "reset"}:
            assert not soak.is_right(number, stream=False, outcome="".join(soak.words_of(number)))
