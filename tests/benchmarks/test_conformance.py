"""The conformance kit: acechat in every cell, and clients that fail on purpose."""

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
    if fault.answer is None:
        return {"typed"}
    return {"ok", "typed"} if fault.refusable else {"ok"}


def test_acechat_does_well_in_every_cell_and_in_both_colours():
    columns = run([Peer.of(name) for name in OURS], timeout=0.6)

    assert [column.name for column in columns] == list(OURS)
    for column in columns:
        assert (column.broken, column.version) == ("", __version__)
        assert column.cells.keys() == BY_NAME.keys()
        bad = [
            (column.name, cell)
            for cell in column.cells.values()
            if cell.verdict not in expected(BY_NAME[cell.fault]) or not cell.good
        ]
        assert not bad


BAD = {
    "swallows what was cut": "return {0: 'Grüß Gott,'}",
    "sleeps": "time.sleep(60)",
    "lets others' errors out": "{}['choices']",
    "raises its own error": "raise Own('no')",
    "says it in German": "return {0: 'Guten Tag'}",
    "is right": "return {0: 'Grüß Gott, 世界 \U0001f30d'}",
    "dies": "os._exit(3)",
    "hangs once": "os.path.exists(sys.argv[1]) or (open(sys.argv[1], 'w'), time.sleep(60)); "
    "return {0: 'Grüß Gott, 世界 \U0001f30d'}",
    "prints": "print('Give me feedback!'); return {0: 'Grüß Gott, 世界 \U0001f30d'}",
    "is right the second time": "calls.append(1); return {len(calls): ''}",
}


@pytest.fixture
def bad(tmp_path):
    """Make a client that ends every call in one way."""

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

                def ask():
                    {BAD[how]}

                @contextmanager
                def drive(case):
                    yield ask

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
        ("swallows what was cut", "cut-clean", "SILENT", False),
        ("swallows what was cut", "whole", "LOST", False),
        ("says it in German", "plain-whole", "LOST", False),
        ("is right", "whole", "ok", False),
        ("is right", "plain-html", "SILENT", False),
        ("prints", "whole", "ok", False),
        ("lets others' errors out", "null-choices", "foreign", True),
        ("lets others' errors out", "plain-html", "foreign", False),
        ("raises its own error", "cut-clean", "typed", False),
        ("raises its own error", "odd-created", "typed", True),
        ("raises its own error", "json-200", "typed", False),
        ("sleeps", "heartbeats", "hang", False),
        ("sleeps", "whole", "hang", False),
        ("dies", "whole", "foreign", True),
    ],
)
def test_what_a_client_does_is_called_by_its_name(bad, how, fault, verdict, wasted):
    (column,) = run([bad(how)], [BY_NAME[fault]], timeout=0.2)

    cell = column.cells[fault]
    assert (cell.verdict, cell.wasted) == (verdict, wasted)


def test_a_client_that_hung_is_started_again(bad):
    faults = [BY_NAME["heartbeats"], BY_NAME["stall"]]

    (column,) = run([bad("sleeps")], faults, timeout=0.1)

    assert {cell.verdict for cell in column.cells.values()} == {"hang"}
    assert all(1.3 <= cell.seconds < 6 for cell in column.cells.values())


@pytest.mark.parametrize(("name", "verdict"), [("acechat", "hang"), ("openai", "ok")])
def test_only_peers_are_asked_again(bad, tmp_path, name, verdict):
    peer = bad("hangs once")
    peer = Peer(name=name, command=(*peer.command, str(tmp_path / "hung")), warm_up=0)

    (column,) = run([peer], [BY_NAME["whole"]], timeout=0.2)

    assert column.cells["whole"].verdict == verdict


def test_a_fault_may_take_two_calls_of_one_client(bad):
    (column,) = run([bad("is right the second time")], [BY_NAME["unasked"]], timeout=0.2)

    assert column.cells["unasked"].detail == "{2: ''}"


def test_a_client_that_cannot_be_driven_is_told_with_the_reason():
    peer = Peer(name="x", command=(sys.executable, "-c", "raise SystemExit('no such peer')"))

    (column,) = run([peer], [BY_NAME["whole"]], timeout=0.2)

    assert column.cells == {}
    assert "no such peer" in column.broken


def test_anthropics_format_lacks_some_faults(bad):
    peer = bad("is right")
    peer = Peer(name=peer.name, command=peer.command, messages=True, warm_up=0)

    (column,) = run([peer], [BY_NAME["whole"], BY_NAME["null-choices"]], timeout=0.2)

    assert list(column.cells) == ["whole"]


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
    assert not report(whole=(verdict, False)).passed


def test_acechat_fails_with_an_answer_that_is_thrown_away():
    assert report(whole=("typed", False)).passed
    assert not report(whole=("typed", True)).passed


def test_what_peers_do_does_not_count():
    assert report(whole=("ok", False)).passed


def test_acechat_fails_when_it_could_not_be_driven():
    broken = Column(name="acechat", version="", cells={}, broken="x")
    assert not Report(made="", timeout=1, faults=(), columns=(broken,), missing={}).passed


def test_the_page_has_the_date_the_versions_and_the_reasons():
    page = report(whole=("ok", False), stall=("hang", False)).to_markdown()

    assert "Made on 2026-11-22" in page
    assert "acechat 1, openai 2" in page
    assert "| the stream stops | **hang** | - |" in page
    assert "* groq is missing: no index" in page
    assert "* `LOST`: the service sent a whole answer" in page
    assert "* litellm is missing: it did not start" in page


def test_the_text_tells_what_is_wrong_with_acechat():
    text = report(whole=("LOST", False)).to_text()

    assert "acechat, whole: LOST d" in text
    assert "litellm: it did not start" in text
    assert "groq: no index" in text


def test_the_command_writes_what_it_found(tmp_path, capsys):
    page, facts = tmp_path / "c.md", tmp_path / "c.json"

    code = main(
        ["--fault", "whole", "--timeout", "2", "--json", str(facts), "--markdown", str(page)]
    )

    assert code == 0
    assert "whole  ok" in capsys.readouterr().out
    assert "| nothing is wrong | ok | ok |" in page.read_text(encoding="utf-8")
    told = json.loads(facts.read_bytes())
    assert [client["name"] for client in told["clients"]] == list(OURS)
    assert told["clients"][0]["cells"][0]["verdict"] == "ok"


@pytest.mark.parametrize("how", ["swallows what was cut", "sleeps", "raises its own error"])
def test_the_command_fails_when_acechat_has_a_bad_cell(bad, how, monkeypatch, capsys):
    made = bad(how)
    ours = Peer(name="acechat", command=made.command, warm_up=0)
    monkeypatch.setattr(Peer, "of", lambda _: ours)

    code = main(["--fault", "whole", "--timeout", "0.2"])

    assert code == 1
    assert "acechat, whole: " in capsys.readouterr().out


def test_an_unknown_peer_is_wrong_usage(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--peer", "nobody"])

    assert caught.value.code == 2
    assert "openai" in capsys.readouterr().err


def test_a_peer_that_cannot_be_installed_is_told_with_the_reason(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(environments, "FOLDER", tmp_path)

    assert main(["--peer", "groq==0.0.0.dev0", "--fault", "whole"]) == 0

    assert "groq: no environment for groq" in capsys.readouterr().out


def test_the_documented_table_has_every_row(root):
    page = (root / "docs" / "conformance.md").read_text(encoding="utf-8")

    missing = [fault.title for fault in FAULTS if f"{fault.title} |" not in page]
    assert not missing, "run python -m benchmarks.conformance --markdown docs/conformance.md"
