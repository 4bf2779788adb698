"""The benchmarks at a small scale: measuring, comparing, verdicts and reports."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parent.parent.parent

NEEDS_NO_INSTALLATION = [
    "floor: recv",
    "floor",
    "acechat",
    "aiohttp + json",
    "floor, blocking",
    "acechat, blocking",
]
BENCHMARKS = {
    "chunk": ["events", "blocks", "splits", "writes"],
    "call": ["sequential", "at_once", "long", "image"],
    "live": ["live"],
    "first": ["first"],
    "blocking": ["backlog", "live", "calls"],
    "open_streams": ["held"],
    "imports": ["import", "first"],
    "growth": ["length-1000000", "size-50", "split-1", "streams-2000", "bytes-64", "huge-1"],
    "image": ["image"],
}


@pytest.fixture(scope="module")
def benchmarks():
    sys.path.insert(0, str(ROOT))
    try:
        from benchmarks import __main__, bars, chart, driver, report, server, subjects
    finally:
        sys.path.remove(str(ROOT))
    return SimpleNamespace(
        main=__main__,
        bars=bars,
        chart=chart,
        driver=driver,
        report=report,
        server=server,
        subjects=subjects,
    )


@pytest.fixture(scope="module")
def run(benchmarks):
    with benchmarks.server.running() as origin:
        yield benchmarks.driver.Run(origin, benchmarks.driver.Environments(here=True), scale=500)


def results(**cases):
    """Return results in which only *cases* of the benchmark ``chunk`` were measured."""
    measured = {
        name: {
            "title": name,
            "group": "",
            "at": "",
            "shown": {"cpu": "µs of CPU"},
            "floor": "floor",
            "ours": "acechat",
            "rows": {subject: {"cpu": cpu} for subject, cpu in rows.items()},
        }
        for name, rows in cases.items()
    }
    machine = {"cpu": "abacus", "cores": 2, "system": "x", "python": "3", "pinned": True}
    return {
        "machine": machine,
        "versions": {"acechat": "1"},
        "missing": {"openai": "no network"},
        "minutes": 1,
        "benchmarks": {"chunk": {"title": "Cost of a chunk", "cases": measured}},
    }


@pytest.mark.parametrize("name", BENCHMARKS)
def test_each_benchmark_is_measured(benchmarks, run, name):
    subjects = ["acechat", "acechat, blocking"] if name == "growth" else NEEDS_NO_INSTALLATION

    result = run.measure(benchmarks.main.benchmark(name), subjects)

    for case in BENCHMARKS[name]:
        case_results = result["cases"][case]
        row = case_results["rows"][case_results["ours"]]
        assert all(
            row[measure] >= 0 for measure in case_results["shown"] if measure != "times_ideal"
        )
        assert not any("failed" in row for row in case_results["rows"].values())
    assert "acechat" in benchmarks.report.tables({"benchmarks": {name: result}})


def test_no_benchmark_is_left_out(benchmarks):
    assert [*BENCHMARKS] == benchmarks.main.BENCHMARKS


def test_every_subject_is_a_file_and_has_an_environment(benchmarks):
    for subject in benchmarks.subjects.SUBJECTS.values():
        source = ROOT / "benchmarks" / "subjects" / f"{subject.module}.py"
        assert f"class {subject.class_name}" in source.read_text()
        assert subject.requirements


def test_clients_that_read_different_streams_fail_the_run(benchmarks):
    case = benchmarks.main.benchmark("chunk").cases[0]

    with pytest.raises(AssertionError, match="disagree"):
        benchmarks.driver.Run._check(
            case, {"acechat": [{"checked": [10, 50]}], "openai": [{"checked": [9, 45]}]}
        )


def test_a_failing_subject_is_reported_and_the_others_are_measured(benchmarks, run):
    benchmark = benchmarks.main.benchmark("growth")
    largest = [case for case in benchmark.cases if case.name == "size-1048576"]
    case_results = benchmarks.driver.Benchmark("growth", "", largest)

    rows = run.measure(case_results, ["acechat", "aiohttp + json"])["cases"]["size-1048576"]["rows"]

    assert "LineTooLong" in rows["aiohttp + json"]["failed"]
    assert rows["acechat"]["cpu"] > 0


@pytest.mark.parametrize(
    ("ours", "verdict"), [(2.9, True), (3.0, True), (3.1, False), (None, None)]
)
def test_the_verdict_on_a_bar(benchmarks, ours, verdict):
    rows = {"floor": 2.0} | ({} if ours is None else {"acechat": ours})
    bar = next(bar for bar in benchmarks.bars.BARS if bar.top.case == "events")
    assert bar.most == 1.5

    assert bar.met(results(events=rows)) is verdict


def test_the_ratio_of_a_peer_to_acechat(benchmarks):
    measured = results(events={"floor": 2.0, "acechat": 3.0, "openai": 90.0})

    bar = next(bar for bar in benchmarks.bars.BARS if "openai" in bar.title)

    assert bar.figure(measured) == 30
    assert bar.met(measured) is False


def test_the_figure_of_aiohttp_and_msgspec_for_a_bar(benchmarks):
    measured = results(events={"floor": 2.0, "acechat": 3.0, "aiohttp + msgspec": 5.0})
    bars = [bar for bar in benchmarks.bars.BARS if bar.top.case == "events"]

    assert [bar.by_hand(measured) for bar in bars] == [2.5, None, None]


def test_every_bar_is_about_a_measured_subject(benchmarks):
    for bar in benchmarks.bars.BARS:
        for cell in filter(None, [bar.top, bar.bottom]):
            cases = {case.name: case for case in benchmarks.main.benchmark(cell.benchmark).cases}
            assert cell.subject in cases[cell.case].subjects


def test_the_report_shows_the_results(benchmarks):
    page = "".join(
        f"<!-- {part} -->stale<!-- end of {part} -->\n"
        for part in ("conditions", "bars", "losses", "tables")
    )
    measured = results(events={"floor": 2.0, "acechat": 3.57, "aiohttp + json": 3.11})

    written = benchmarks.report.written(page, measured)

    assert "stale" not in written
    assert "| **acechat**    |      3.57 |    1.78 |         1 |" in written
    assert "acechat 3.57, aiohttp + json 3.11" in written  # a loss is shown
    assert "**missed**" in written
    assert "openai is missing: no network" in written
    assert benchmarks.report.written(written, measured) == written


def test_the_page_and_the_chart_show_the_last_run(benchmarks):
    measured = json.loads(benchmarks.main.RESULTS.read_text())
    page = benchmarks.report.PAGE.read_text()

    assert benchmarks.report.written(page, measured) == page
    assert benchmarks.report.CHART.read_text() == benchmarks.chart.draw(measured)
