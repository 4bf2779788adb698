"""The plan of docs/bulk-at-scale.md is that of its script."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.at_scale import Plan, plan_table, simulate

ROOT = Path(__file__).parent.parent.parent


def test_the_page_has_the_figures_of_the_script():
    command = [sys.executable, "-m", "benchmarks.at_scale"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True)

    page = (ROOT / "docs" / "bulk-at-scale.md").read_text(encoding="utf-8")
    tables = done.stdout.strip().split("\n\n")
    assert len(tables) == 2
    for table in tables:
        assert table in page


def test_a_shared_limit_keeps_to_that_of_the_service_with_any_number_of_workers():
    plan = Plan(requests_per_second=50, latency=1.0)
    for workers in (2, 32):
        rate, refused = simulate(plan, workers, shared=True)
        assert rate >= 0.9 * 50
        assert refused <= 0.05


def test_the_assumptions_are_options():
    price = next(line for line in plan_table(Plan(rows=1000)).splitlines() if "price" in line)

    assert "| 4 |" in price  # 1,000 rows of 400 × 3 and 200 × 15 per million
