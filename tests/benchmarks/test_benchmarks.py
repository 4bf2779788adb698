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
    "acechat, watched",
    "acechat, output_type",
    "acechat, run",
    "acechat, two calls",
    "acechat, command line",
]
BENCHMARKS = {
    "chunk": ["events", "blocks", "splits", "writes"],
    "call": ["sequential", "at_once", "long", "image"],
    "live": ["live", "core"],
    "first": ["first"],
    "blocking": ["backlog", "live", "calls"],
    "open_streams": ["held"],
    "imports": ["import", "first"],
    "growth": [
        "length-1000000",
        "size-50",
        "split-1",
        "streams-5000",
        "tools-1000",
        "messages-10000",
        "request-31744",
        "bytes-64",
        "huge-1",
    ],
    "image": ["image"],
    "features": ["watched", "typed", "run"],
    "rows": ["rows"],
    "command": ["first"],
}


@pytest.fixture(scope="module")
def benchmarks():
    sys.path.insert(0, str(ROOT))
    try:
        from benchmarks import __main__, bars, chart, driver, growth_chart, report, server, subjects
    finally:
        sys.path.remove(str(ROOT))
    return SimpleNamespace(
        main=__main__,
        bars=bars,
        chart=chart,
        driver=driver,
        growth_chart=growth_chart,
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
def test_each_benchmark_is_measured(benchmarks, run, name, monkeypatch):
    monkeypatch.setenv("ACECHAT_BULK_PROMPTS", "500")  # of which a tenth is sent
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
        for part in ("gains", "core", "conditions", "bars", "losses", "tables")
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
    assert benchmarks.report.GROWTH.read_text() == benchmarks.growth_chart.draw_growth(measured)


def test_the_gains_have_the_losses_too(benchmarks):
    measured = results(
        events={"acechat": 2.0, "openai": 90.0, "aiohttp + msgspec": 5.0},
        writes={"acechat": 50.0, "openai": 190.0, "aiohttp + msgspec": 40.0},
    )

    gains = benchmarks.report.gains(measured).splitlines()

    assert gains[2].split("|")[2:-1] == [
        "       2 ",
        "     90 ",
        "  45 ",
        "                 5 ",
        " 2.5 ",
    ]
    assert gains[3].split("|")[-2].strip() == "0.8"


def test_one_core_is_a_second_of_cpu(benchmarks):
    measured = results()
    case = {"rows": {"acechat": {"cpu": 20.0}}}
    measured["benchmarks"]["live"] = {"title": "", "cases": {"core": case}}

    assert "| acechat           |                  1,000 |" in benchmarks.report.core(measured)
    assert benchmarks.report.core(results()) == "Not measured."


def test_a_growth_of_three_sizes_is_drawn_and_a_shorter_one_is_not(benchmarks):
    def case(group, at, cpu):
        rows = {"acechat": {"cpu": cpu}, "openai": {"failed": "no memory"}}
        return {"group": group, "at": at, "shown": {"cpu": "µs"}, "rows": rows}

    measured = results()
    cases = [case("chunks", at, cpu) for at, cpu in (("1", 2.0), ("1,000", 2.0), ("10", 4.0))]
    cases += [case("few", at, 1.0) for at in ("1", "2")]
    measured["benchmarks"]["growth"] = {"title": "", "cases": dict(enumerate(cases))}

    chart = benchmarks.growth_chart.draw_growth(measured)

    assert chart.count('class="title"') == 1
    assert ">chunks<" in chart
    assert '<path class="ours" d="M44 156.0L284 156.0L124 34.0"/>' in chart
    assert "openai" not in chart
