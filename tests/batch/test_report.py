"""The report of a run: figures over time in bounded memory, and a page that is safe to open."""

from __future__ import annotations

import asyncio
import json
import random
import re
import subprocess
import sys
import time
from html.parser import HTMLParser
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from urllib.parse import quote

import pytest

from acechat import ConfigurationError
from acechat.batch.report.events import DOWN, FAILURES, STARTED, UP
from acechat.batch.report.files import write_report
from acechat.batch.report.page import Report, render
from acechat.batch.report.plots import Series, clock, duration, number, plot
from acechat.batch.report.quantiles import bucket, bucket_end, quantiles
from acechat.batch.report.timeline import LongRow, Timeline
from acechat.batch.results import BatchSummary
from acechat.batch.status import read_status
from acechat.batch.storage.files import BatchFiles
from acechat.types import TotalUsage

T = 1_764_428_000.0
COMMAND = [sys.executable, "-m", "acechat", "batch"]
HOSTILE = [
    "<script>document.title = 'hacked'</script>",
    '"><img src=http://127.0.0.1:9/x onerror="document.title=\'hacked\'">',
    "</td></table><style>*{display:none}</style>",
    "<svg onload=\"document.title='hacked'\">",
    "</style></title><base href='http://127.0.0.1:9/'>",
    "&lt;b&gt; ' \" `${x}` {{y}}",
    "a\u202eb\u0000c\x1b[31md\u200be",
    "x" * 100_000,
]


def row(number, seconds=0.5, error="", name=None):
    return LongRow(seconds, number, f"id-{number}" if name is None else name, error)


# Figures over time


def test_quantiles_are_exact_to_two_per_cent():
    random.seed(17)
    values = sorted(max(0.001, random.lognormvariate(-1, 1.5)) for _ in range(20_000))
    counts = {}
    for value in values:
        counts[bucket(value)] = counts.get(bucket(value), 0) + 1

    for share in (0.01, 0.5, 0.9, 0.99, 1.0):
        exact = values[max(0, round(share * len(values)) - 1)]
        assert quantiles(counts, (share,))[0] == pytest.approx(exact, rel=0.021)
    assert quantiles({}, (0.5,)) != quantiles({}, (0.5,))  # nan
    assert bucket(0.0) == bucket(0.001)
    assert all(bucket_end(bucket(value)) >= value * 0.999 for value in values)


def test_figures_take_bounded_memory_and_none_is_lost():
    random.seed(3)
    timeline, longest, busy = Timeline(), [], 0.0
    for n in range(30_000):
        started, seconds = T + n * 3.7, random.lognormvariate(1, 1)
        timeline.row(row(n, seconds, "x" if n % 10 == 0 else ""), started, tokens=2, cost=0.5)
        longest.append(seconds)
        busy += seconds
        if n % 7 == 0:
            timeline.event(FAILURES["limit"], started)
            timeline.event(FAILURES["service"], started)
    slots = timeline.slots()

    assert len(slots) <= 240
    assert len(slots) >= 100  # fine enough for a plot
    assert max(len(slot.latencies) for slot in slots) < 400
    assert sum(slot.done for slot in slots) == 27_000
    assert sum(slot.failed for slot in slots) == 3_000
    assert sum(slot.tokens for slot in slots) == 60_000
    assert sum(slot.cost for slot in slots) == 15_000
    assert sum(slot.busy for slot in slots) == pytest.approx(busy, rel=1e-6)
    assert sum(sum(slot.latencies.values()) for slot in slots) == 27_000
    assert sum(slot.refused for slot in slots) == sum(slot.broken for slot in slots) == 4286
    assert (
        sorted((each.seconds for each in timeline.longest), reverse=True)
        == (sorted(longest, reverse=True)[:10])
    )


def test_the_order_of_rows_does_not_matter():
    random.seed(5)
    rows = [(row(n, random.random() * 9), T + n / 3) for n in range(2000)]
    found = []
    for _ in range(2):
        timeline = Timeline()
        for each, started in rows:
            timeline.row(each, started)
        found.append([(slot.done, round(slot.busy, 3)) for slot in timeline.slots()])
        random.shuffle(rows)

    assert found[0] == found[1]


def test_time_between_two_starts_is_left_out_and_idle_time_is_not():
    timeline = Timeline()
    for began in (T, T + 86_400):
        timeline.event(STARTED, began)
        for n in range(20):
            timeline.row(row(n, 1.0), began + n)
        timeline.row(row(99, 1.0), began + 30)  # nothing runs for ten seconds
    slots = timeline.slots()

    assert sum(slot.seconds for slot in slots) == pytest.approx(62)
    assert [slot.cut for slot in slots].count(True) == 1
    assert sum(slot.starts for slot in slots) == 2
    assert sum(not slot.busy for slot in slots) * timeline.width == pytest.approx(20, abs=1)
    assert timeline.width == 0.5


def test_outages_end_with_the_service_or_with_the_start():
    timeline = Timeline()
    timeline.event(STARTED, T)
    timeline.event(DOWN, T + 10)
    timeline.event(UP, T + 20)
    timeline.event(DOWN, T + 30)
    timeline.event(FAILURES["service"], T + 35)  # a probe, the last record of a killed process
    timeline.event(STARTED, T + 1000)
    timeline.event(DOWN, T + 1001)
    timeline.event(FAILURES["service"], T + 1003)
    timeline.end()

    assert timeline.outages == 3
    assert sum(slot.down for slot in timeline.slots()) == pytest.approx(17)


@pytest.mark.parametrize(
    ("started", "seconds"),
    [(0, 1), (-5, 1), (T, -1), (1e300, 1), (T, 1e300), (T, float("nan")), (float("inf"), 1)],
)
def test_impossible_times_are_left_out(started, seconds):
    timeline = Timeline()
    timeline.row(row(1), T)
    timeline.row(row(2, seconds), started)
    timeline.event(DOWN, started if started != T else -1)
    timeline.end()

    assert sum(slot.done for slot in timeline.slots()) == 1


def test_years_between_two_rows_take_no_time():
    timeline = Timeline()
    timeline.row(row(1), T)
    timeline.row(row(2), T + 3e9)

    assert len(timeline.slots()) <= 240


# Plots and page


def test_a_plot_is_drawn_to_scale():
    nan = float("nan")
    drawn = plot("Rows", [Series("done", [0, 5, nan, 10], "a")], ["0 s", "4 s"], unit="rows")

    assert 'd="M0 100H1V50H2M3 0H4"' in drawn
    assert "<span>10</span><span>5</span><span>0</span>" in drawn
    assert 'viewBox="0 0 4 100"' in drawn
    assert 'aria-label="Rows, at most 10 rows"' in drawn


def test_numbers_and_durations_are_short():
    assert [number(each) for each in (0, 2.5, 0.123456, 1234567.8, 12)] == [
        "0", "2.5", "0.123", "1,234,568", "12"
    ]  # fmt: skip
    assert [duration(each) for each in (0, 0.0123, 1.5, 125, 11400)] == [
        "0 s", "12.3 ms", "1.5 s", "2 min 5 s", "3 h 10 min"
    ]  # fmt: skip
    assert [clock(each) for each in (0, 1.5, 125, 11400)] == ["0 s", "1.5 s", "2:05", "3:10:00"]


class Checker(HTMLParser):
    """Collects the tags, and whether each is closed."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "path"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def hostile_report():
    timeline, summary = Timeline(), BatchSummary(done=1, usage=TotalUsage(currency=HOSTILE[0]))
    for n, text in enumerate(HOSTILE):
        timeline.row(row(n, 1.0 + n, error=text, name=text), T)
        summary.add_error(text, text, text, text)
    return Report(name=HOSTILE[1], summary=summary, timeline=timeline, now=T)


def test_the_page_has_only_its_own_tags_and_loads_nothing():
    page = render(hostile_report())
    checked = Checker(page)
    names = {tag for tag, _ in checked.tags}

    assert not checked.open
    assert not names & {"script", "img", "base", "link", "iframe", "object", "a", "form"}
    assert [tag for tag, _ in checked.tags].count("style") == 1
    for _, attributes in checked.tags:
        assert not {name for name in attributes if name.startswith("on")}
        assert not attributes.keys() & {"style", "src", "href"}
    assert "default-src 'none'; style-src 'sha256-" in page
    assert len(page) < 100_000
    assert not re.search("[\x00-\x09\x0b-\x1f\u202e\u200b]", page)


def test_a_report_without_any_request():
    page = render(Report(name="x", summary=BatchSummary(), timeline=Timeline(), now=1e300))

    assert "No request has been recorded" in page
    assert "<svg" not in page
    assert not Checker(page).open


# From the files of a run


@pytest.fixture
def home(tmp_path, monkeypatch, service):
    monkeypatch.setenv("ACECHAT_CONFIG", str(tmp_path / "home" / "config.toml"))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    monkeypatch.setenv("ACEDATACLOUD_API_TOKEN", "t-1")
    monkeypatch.setenv("ACEDATACLOUD_API_BASE_URL", service.url)


def command(*arguments):
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60
    )


def test_every_result_has_its_time(service, connect, files, run):
    files.prompts(5)
    files.input.write_text(files.input.read_text() + "{\n")  # never sent
    service.latency = 0.2
    began = time.time()

    async def main():
        async with connect() as client, client.batch(files.input, output=files.output) as batch:
            return [result async for result in batch]

    results = run(main)
    ended = time.time()

    for result in results:
        line = files.by_id[result.custom_id]
        if result.completion is None:
            assert (result.started, result.seconds) == (0, 0)
            assert (line["started"], line["seconds"]) == (None, None)
        else:
            assert began - 0.01 <= result.started <= ended
            assert 0.2 <= result.seconds <= ended - began + 0.01
            assert line["started"] == pytest.approx(result.started, abs=0.001)
            assert line["seconds"] == pytest.approx(result.seconds, abs=0.001)


def test_refusals_failures_and_outages_are_on_the_time_line(service, connect, files, run, wire):
    files.prompts(40)
    broken = []

    def handler(prompt, count):
        if service.received.total() >= 20 and (not broken or time.monotonic() < broken[0] + 2):
            broken.append(time.monotonic())
            return wire.refusal("502 Bad", "bad_gateway")
        if prompt == "p3" and count <= 2:
            return wire.refusal("429 No", "too_many_requests")
        return wire.refusal("400 No", "bad_request") if prompt == "p4" else None

    service.handler = handler

    async def main():
        async with connect() as client:
            batch = client.batch(files.input, output=files.output, concurrency=8)
            return await batch.collect()

    summary = run(main)
    timeline = Timeline()
    found = read_status(files.output, timeline)
    slots = timeline.slots()

    assert (summary.done, summary.failed) == (found.done, found.failed) == (39, 1)
    assert sum(slot.done for slot in slots) == 39
    assert sum(slot.failed for slot in slots) == 1
    assert sum(slot.refused for slot in slots) == summary.refused >= 1
    assert sum(slot.broken for slot in slots) == len(broken) >= 5
    assert timeline.outages == 1
    assert sum(slot.down for slot in slots) >= 0.9  # the first probe follows after a second
    assert sum(slot.starts for slot in slots) == 1
    assert sum(slot.tokens for slot in slots) == summary.usage.total_tokens
    assert found.errors["bad_request"].custom_ids == ["id-4"]
    assert summary.errors["bad_request"].custom_ids == ["id-4"]


def test_events_stay_when_failed_rows_are_removed(tmp_path):
    files = BatchFiles(tmp_path / "out", {})
    files.event(STARTED, 0, 1000)
    files.sent(0, 1)
    files.event(FAILURES["limit"], 7, 2000)
    line = b'{"id":"row-0","started":1.0,"seconds":0.5,"error":{"code":"x","message":"m"}}\n'
    files.finished(0, 1, line, failed=True)
    files.flush()
    files.drop_failed()
    files.close()
    timeline = Timeline()

    assert read_status(tmp_path / "out", timeline).failed == 0
    (slot, *_, last) = timeline.slots()
    assert (slot.starts, last.refused) == (1, 1)


@pytest.mark.usefixtures("home")
def test_a_report_of_a_run_and_of_its_journal(files, service, wire, tmp_path):
    files.prompts(20)
    service.latency = 0.05
    service.handler = lambda prompt, _: (
        wire.refusal("400 No", "bad_request", "no <b>") if prompt == "p3" else None
    )
    report = tmp_path / "report.html"
    done = command(files.input, "-o", files.output, "--report", report)

    assert done.returncode == 1, done.stderr
    assert "report.html" in done.stderr
    assert report.stat().st_mode & 0o777 == 0o600
    text = report.read_text()
    assert "<dt>rows done</dt><dd>19</dd>" in text
    assert "<dt>rows failed</dt><dd>1</dd>" in text
    assert "<dt>rows not sent</dt><dd>0</dd>" in text
    assert "<dt>tokens</dt><dd>95</dd>" in text
    assert "id-3" in text
    assert "no &lt;b&gt;" in text
    assert text.count("<svg") == 6

    later = tmp_path / "later.html"
    done = command("status", files.output, "--report", later)
    assert done.returncode == 0, done.stderr
    ours, its = (each.read_text().split("<main>")[1].split("</p>")[1] for each in (report, later))
    assert its == ours.replace("<div><dt>rows not sent</dt><dd>0</dd></div>", "")


@pytest.mark.usefixtures("home")
def test_a_run_that_is_stopped_has_a_report_too(files, service, wire, tmp_path):
    files.prompts(50)
    service.handler = lambda prompt, _: (
        wire.refusal("403 No", "used_up", "no credit") if service.received.total() > 20 else None
    )
    report = tmp_path / "report.html"
    done = command(files.input, "-o", files.output, "--report", report)

    assert done.returncode == 75
    assert f"<dd>{len(files.lines)}</dd>" in report.read_text()


def test_a_report_while_the_run_goes_on(service, connect, files, run, tmp_path):
    files.prompts(200)
    service.latency = 0.02

    async def main():
        async with connect() as client, client.batch(files.input, output=files.output) as batch:
            async for _ in batch:
                if batch.summary.done >= 20:
                    await asyncio.to_thread(write_report, files.output, tmp_path / "r.html")
                    break

    run(main)
    found = int(re.search("rows done</dt><dd>([0-9]+)<", (tmp_path / "r.html").read_text())[1])
    assert 20 <= found < 200


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    "name",
    ["in.jsonl", "out.jsonl", "out.jsonl.journal", "out.csv", "linked", "missing/r.html", "folder"],
)
def test_a_report_replaces_no_other_file(files, service, tmp_path, name):
    files.prompts(1)
    (tmp_path / "linked").hardlink_to(files.input)
    (tmp_path / "folder").mkdir()
    before = files.input.read_bytes()
    given = ["--format", "csv", "--report", tmp_path / name]
    done = command(files.input, "-o", files.output, *given)

    assert done.returncode == 2
    assert "report" in done.stderr
    assert files.input.read_bytes() == before
    assert not service.received  # refused before anything is paid


def test_a_report_that_cannot_be_written(files, tmp_path):
    BatchFiles(files.output, {}).close()

    with pytest.raises(ConfigurationError, match="cannot write the report"):
        write_report(files.output, tmp_path / "missing" / "r.html")


# In a browser

_spec = spec_from_file_location("browser", Path(__file__).parents[1] / "web" / "browser.py")
browsers = module_from_spec(_spec)
_spec.loader.exec_module(browsers)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    found = browsers.find()
    if found is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    browser = browsers.Browser(found, tmp_path_factory.mktemp("browser"))
    yield browser
    browser.close()


@pytest.fixture
def hostile_page(tmp_path):
    """The report of a journal, written by the command's function, with two starts and an outage."""
    output = tmp_path / "<img src=x onerror=document.title='hacked'>.jsonl"
    files = BatchFiles(output, {})
    texts = [*HOSTILE, *[f"id-{n}" for n in range(200)]]
    for n, text in enumerate(texts):
        at = T + n / 10 + (90_000 if n > 100 else 0)
        if n in (0, 101):
            files.event(STARTED, 0, int(at * 1000))
        if n in (30, 60):
            files.event(DOWN if n == 30 else UP, n, int(at * 1000))
        files.sent(n, 1)
        bad = n < 2 * len(HOSTILE)
        error = {"code": text, "message": text, "trace_id": text} if bad else None
        line = {"id": f"row-{n}", "custom_id": text, "started": at, "seconds": 0.5 + n / 100}
        files.finished(n, 1, json.dumps(line | {"error": error}).encode() + b"\n", failed=bad)
    files.flush()
    files.close()
    write_report(output, tmp_path / "report.html", total=1000)
    return f"file://{quote(str(tmp_path / 'report.html'))}"


@pytest.mark.timeout(120)
def test_the_page_in_a_browser(browser, hostile_page):
    page = browser.open(hostile_page)
    try:
        text = page.evaluate("document.body.innerText")
        assert page.evaluate("document.title") != "hacked"
        assert page.evaluate("document.querySelectorAll('script, img, base').length") == 0
        assert HOSTILE[0] in text  # as text
        assert "rows done\n192" in text
        assert "rows not sent\n792" in text
        assert "outages\n1, 3 s" in text

        assert page.evaluate("document.querySelectorAll('figure svg').length") == 6
        boxes = page.evaluate(
            "[...document.querySelectorAll('figure svg .line')].map(line => {"
            " const box = line.getBBox(), view = line.ownerSVGElement.viewBox.baseVal;"
            " return [box.x >= 0, box.y >= -0.01, box.x + box.width <= view.width + 0.01,"
            "  box.y + box.height <= 100.01, box.width > 0] })"
        )
        assert len(boxes) == 10
        assert all(all(box) for box in boxes)
        for scheme, colour in (("light", "rgb(255, 255, 255)"), ("dark", "rgb(13, 17, 23)")):
            page.colours(scheme)
            assert page.evaluate("getComputedStyle(document.body).backgroundColor") == colour
            stroke = "getComputedStyle(document.querySelector('.line.a')).stroke"
            assert page.evaluate(stroke).startswith("rgb(")
        assert page.evaluate("document.querySelectorAll('path.down').length") >= 6
        assert page.evaluate("document.querySelectorAll('path.cut').length") == 5

        assert not page.events("Log.entryAdded", "Runtime.exceptionThrown")
        assert not page.events("Runtime.consoleAPICalled")
        (request,) = page.events("Network.requestWillBeSent")
        assert request["request"]["url"] == hostile_page
    finally:
        page.close()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("width", [320, 360, 768])
def test_a_phone_needs_no_horizontal_scroll(browser, hostile_page, width):
    page = browser.open(hostile_page)
    try:
        page.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=700, deviceScaleFactor=2, mobile=True,
        )  # fmt: skip
        assert page.evaluate("innerWidth") == width
        assert page.evaluate("document.documentElement.scrollWidth") == width
    finally:
        page.close()
