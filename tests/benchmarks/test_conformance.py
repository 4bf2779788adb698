"""The conformance kit: every cell of acechat, and clients with known defects."""

from __future__ import annotations

import json
import sys
import textwrap

import pytest

from acechat import __version__
from benchmarks.conformance import environments
from benchmarks.conformance.__main__ import main
from benchmarks.conformance.faults import FAULTS
from benchmarks.conformance.judge import Cell
from benchmarks.conformance.report import Report
from benchmarks.conformance.run import OURS, Column, Peer, run

BY_NAME = {fault.name: fault for fault in FAULTS}


def expected(fault):
    if fault.expected is None:
        return {"typed"}
    return {"ok", "typed"} if fault.error_allowed else {"ok"}


def test_every_async_and_sync_cell_of_acechat_is_acceptable():
    columns = run([Peer.of(name) for name in OURS], timeout=0.6)

    assert [column.name for column in columns] == list(OURS)
    for column in columns:
        assert (column.broken, column.version) == ("", __version__)
        assert column.cells.keys() == BY_NAME.keys()
        bad = [
            (column.name, cell)
            for cell in column.cells.values()
            if cell.verdict not in expected(BY_NAME[cell.fault]) or not cell.acceptable
        ]
        assert not bad


BAD = {
    "returns truncated text": "return {0: 'Grüß Gott,'}",
    "sleeps": "time.sleep(60)",
    "raises a foreign error": "{}['choices']",
    "raises its own error": "raise Own('no')",
    "returns another text": "return {0: 'Guten Tag'}",
    "is right": "return {0: 'Grüß Gott, 世界 \U0001f30d'}",
    "dies": "os._exit(3)",
    "hangs once": "os.path.exists(sys.argv[1]) or (open(sys.argv[1], 'w'), time.sleep(60)); "
    "return {0: 'Grüß Gott, 世界 \U0001f30d'}",
    "prints": "print('Give me feedback!'); return {0: 'Grüß Gott, 世界 \U0001f30d'}",
    "is right the second time": "calls.append(1); return {len(calls): ''}",
}


@pytest.fixture
def bad(tmp_path):
    """Return a function that makes a client with the given behaviour."""

    def make(how):
        program = tmp_path / "driver.py"
        program.write_text(
            textwrap.dedent(
                f"""
                import os, sys, time
                from contextlib import contextmanager
                from benchmarks.conformance.driver import serve

                class Own(Exception):
                    pass

                calls = []

                def call():
                    {BAD[how]}

                @contextmanager
                def drive(case):
                    yield call

                serve(drive, frozenset({{"__main__"}}), "1.0")
                """
            ),
            encoding="utf-8",
        )
        return Peer(name=how, command=(sys.executable, str(program)), warm_up=0)

    return make


@pytest.mark.parametrize(
    ("how", "fault", "verdict", "wasted"),
    [
        ("returns truncated text", "cut-clean", "SILENT", False),
        ("returns truncated text", "complete", "LOST", False),
        ("returns another text", "plain-complete", "LOST", False),
        ("is right", "complete", "ok", False),
        ("is right", "plain-html", "SILENT", False),
        ("prints", "complete", "ok", False),
        ("raises a foreign error", "null-choices", "foreign", True),
        ("raises a foreign error", "plain-html", "foreign", False),
        ("raises its own error", "cut-clean", "typed", False),
        ("raises its own error", "odd-created", "typed", True),
        ("raises its own error", "json-200", "typed", False),
        ("sleeps", "heartbeats", "hang", False),
        ("sleeps", "complete", "hang", False),
        ("dies", "complete", "foreign", True),
    ],
)
def test_the_verdict_on_each_outcome(bad, how, fault, verdict, wasted):
    (column,) = run([bad(how)], [BY_NAME[fault]], timeout=0.2)

    cell = column.cells[fault]
    assert (cell.verdict, cell.wasted) == (verdict, wasted)


def test_a_hanging_client_is_restarted(bad):
    faults = [BY_NAME["heartbeats"], BY_NAME["stall"]]

    (column,) = run([bad("sleeps")], faults, timeout=0.1)

    assert {cell.verdict for cell in column.cells.values()} == {"hang"}
    assert all(1.3 <= cell.seconds < 6 for cell in column.cells.values())


@pytest.mark.parametrize(("name", "verdict"), [("acechat", "hang"), ("openai", "ok")])
def test_only_peers_get_a_second_try(bad, tmp_path, name, verdict):
    peer = bad("hangs once")
    peer = Peer(name=name, command=(*peer.command, str(tmp_path / "hung")), warm_up=0)

    (column,) = run([peer], [BY_NAME["complete"]], timeout=0.2)

    assert column.cells["complete"].verdict == verdict


def test_a_fault_may_take_two_calls_of_one_client(bad):
    (column,) = run([bad("is right the second time")], [BY_NAME["unasked"]], timeout=0.2)

    assert column.cells["unasked"].detail == "{2: ''}"


def test_a_client_that_cannot_start_is_reported_with_the_reason():
    peer = Peer(name="x", command=(sys.executable, "-c", "raise SystemExit('no such peer')"))

    (column,) = run([peer], [BY_NAME["complete"]], timeout=0.2)

    assert column.cells == {}
    assert "no such peer" in column.broken


def test_anthropics_format_lacks_some_faults(bad):
    peer = bad("is right")
    peer = Peer(name=peer.name, command=peer.command, messages=True, warm_up=0)

    (column,) = run([peer], [BY_NAME["complete"], BY_NAME["null-choices"]], timeout=0.2)

    assert list(column.cells) == ["complete"]


# ---- the report


def report(**verdicts):
    cells = {
        name: Cell(fault=name, verdict=verdict, detail="d", wasted=wasted, seconds=0.1)
        for name, (verdict, wasted) in verdicts.items()
    }
    return Report(
        made="2026-11-22",
        timeout=2.0,
        faults=tuple(fault for fault in FAULTS if fault.name in verdicts),
        columns=(
            Column(name="acechat", version="1", cells=cells),
            Column(name="openai", version="2", cells={}),
            Column(name="litellm", version="", cells={}, broken="it did not start"),
        ),
        missing={"groq": "no index"},
    )


@pytest.mark.parametrize("verdict", ["SILENT", "LOST", "hang", "foreign"])
def test_acechat_fails_with_any_bad_cell(verdict):
    assert not report(complete=(verdict, False)).passed


def test_acechat_fails_with_a_discarded_response():
    assert report(complete=("typed", False)).passed
    assert not report(complete=("typed", True)).passed


def test_cells_of_peers_do_not_fail_the_run():
    assert report(complete=("ok", False)).passed


def test_acechat_fails_when_it_could_not_be_run():
    broken = Column(name="acechat", version="", cells={}, broken="x")
    assert not Report(made="", timeout=1, faults=(), columns=(broken,), missing={}).passed


def test_the_page_has_the_date_the_versions_and_the_reasons():
    page = report(complete=("ok", False), stall=("hang", False)).to_markdown()

    assert "Made on 2026-11-22" in page
    assert "acechat 1, openai 2" in page
    assert "| the stream stops | **hang** | - |" in page
    assert "* groq is missing: no index" in page
    assert "* `LOST`: the service sent a complete response" in page
    assert "* litellm is missing: it did not start" in page


def test_the_text_names_the_bad_cells_of_acechat():
    text = report(complete=("LOST", False)).to_text()

    assert "acechat, complete: LOST d" in text
    assert "litellm: it did not start" in text
    assert "groq: no index" in text


def test_the_command_writes_its_results(tmp_path, capsys):
    page, facts = tmp_path / "c.md", tmp_path / "c.json"

    code = main(
        ["--fault", "complete", "--timeout", "2", "--json", str(facts), "--markdown", str(page)]
    )

    assert code == 0
    assert "complete  ok" in capsys.readouterr().out
    assert "| no fault | ok | ok |" in page.read_text(encoding="utf-8")
    results = json.loads(facts.read_bytes())
    assert [client["name"] for client in results["clients"]] == list(OURS)
    assert results["clients"][0]["cells"][0]["verdict"] == "ok"


@pytest.mark.parametrize("how", ["returns truncated text", "sleeps", "raises its own error"])
def test_the_command_fails_when_acechat_has_a_bad_cell(bad, how, monkeypatch, capsys):
    client = bad(how)
    ours = Peer(name="acechat", command=client.command, warm_up=0)
    monkeypatch.setattr(Peer, "of", lambda _: ours)

    code = main(["--fault", "complete", "--timeout", "0.2"])

    assert code == 1
    assert "acechat, complete: " in capsys.readouterr().out


def test_an_unknown_peer_is_wrong_usage(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--peer", "unknown"])

    assert caught.value.code == 2
    assert "openai" in capsys.readouterr().err


def test_a_peer_that_cannot_be_installed_is_reported_with_the_reason(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(environments, "FOLDER", tmp_path)

    assert main(["--peer", "groq==0.0.0.dev0", "--fault", "complete"]) == 0

    assert "groq: cannot create an environment for groq" in capsys.readouterr().out


def test_the_documented_table_has_every_row(root):
    page = (root / "docs" / "conformance.md").read_text(encoding="utf-8")

    rows = [line for line in page.splitlines() if line.startswith("| ")]
    titles = [row.split(" | ")[0].removeprefix("| ") for row in rows[1:]]
    wanted = [fault.title if fault.stream else f"plain call: {fault.title}" for fault in FAULTS]
    assert titles == wanted, "run python -m benchmarks.conformance --markdown docs/conformance.md"
