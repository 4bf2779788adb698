"""The version, the changelog and the documentation agree; the table of renames is true."""

from __future__ import annotations

import datetime as dt
import inspect
import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec

import pytest

import acechat
from acechat import emulator

HEADING = re.compile(r"^## (\S+)(?: — (\d{4}-\d\d-\d\d)| \(.*\))?$", re.MULTILINE)


@pytest.fixture
def changelog(root):
    return (root / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.fixture
def latest(changelog):
    """The section of the newest release."""
    name, _, body = HEADING.split(changelog)[1:4]
    return HEADING.split(changelog)[6] if name == "Unreleased" else body


def test_the_newest_release_has_the_version_and_a_date(changelog):
    newest, date = next(each for each in HEADING.findall(changelog) if each[0] != "Unreleased")

    assert newest == acechat.__version__
    assert dt.date.fromisoformat(date)


def test_the_metadata_and_the_documentation_take_the_version_from_one_file(root):
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))

    assert "version" in project["project"]["dynamic"]
    assert project["tool"]["hatch"]["version"]["path"] == "acechat/_version.py"
    assert "release = version = acechat.__version__" in (root / "docs/conf.py").read_text("utf-8")


def test_the_command_line_prints_the_version():
    command = [sys.executable, "-m", "acechat", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)

    assert acechat.__version__ in done.stdout


def test_the_check_of_a_tag_accepts_the_version(root):
    for tag, accepted in ((f"v{acechat.__version__}", True), ("v9.9.9", False)):
        command = [sys.executable, "tests/release/check.py", "tag", tag]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        assert (done.returncode == 0) is accepted, done.stderr


def test_the_newest_section_begins_with_the_renames_and_repeats_nothing(latest):
    headings = re.findall(r"^### (.*)$", latest, re.MULTILINE)
    entries = re.findall(r"^- (.*(?:\n  .*)*)", latest, re.MULTILINE)

    assert headings[0] == "Renamed"
    assert headings == list(dict.fromkeys(headings))
    assert entries == list(dict.fromkeys(entries))


def parameters(function):
    return inspect.signature(function).parameters


CLIENT = parameters(acechat.Client)
RENAMED = {
    "`transport=": "streaming" in CLIENT and "transport" not in CLIENT,
    "`Output(kind": {"type", "strategy", "retries"} <= {*parameters(acechat.Output)},
    "`client.save_last(": hasattr(acechat.Client, "save_cassette"),
    "`record_bytes=": "max_record_bytes" in CLIENT and "record_bytes" not in CLIENT,
    "`stream.at_end(": hasattr(acechat.ChatStream, "add_done_callback"),
    "`Relay`": {"SSERelay", "AsyncSSERelay"} <= {*acechat.__all__},
    "`Spent`": "TotalUsage" in acechat.__all__,
    "`prepared.count_tokens()`": not hasattr(acechat.PreparedRequest, "count_tokens"),
    "`Attempt.failure ==": True,  # tests/behaviour/test_timeouts.py
    "`TransportError.ending ==": True,  # tests/behaviour/test_framing.py
    "`pieces`": True,  # tests/record
    "`acechat.testing.": find_spec("acechat.testing") is None and callable(emulator.Service),
    "`create_app(stage)`": "state" in parameters(emulator.create_app),
    "`ServiceState.note`": hasattr(emulator.ServiceState, "add_request"),
    "`python -m acechat.conformance`": find_spec("acechat.conformance") is None,
    "`_repr_markdown_`": hasattr(acechat.ChatCompletion, "_repr_html_"),
}
"""The beginning of each row of the table, and whether its new name exists."""


def test_the_table_of_renames_is_complete_and_true(latest):
    rows = re.findall(r"^\| (`.*?) \| `", latest, re.MULTILINE)
    found = {begin: [row for row in rows if row.startswith(begin)] for begin in RENAMED}

    assert [begin for begin, exists in RENAMED.items() if not exists] == []
    assert {begin for begin, matching in found.items() if len(matching) != 1} == set()
    assert len(rows) == len(RENAMED)


@pytest.mark.parametrize(
    "name",
    ["Relay", "AsyncRelay", "Spent"],
)
def test_old_names_are_gone(name):
    assert not hasattr(acechat, name)
