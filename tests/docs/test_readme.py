"""Every command and every example of the README runs, and its order is that of a visitor."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text()
SHELL = re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
PYTHON = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
INSTALL, TEST = SHELL[0].strip(), SHELL[-1].strip()
COMMANDS = [line for block in SHELL[1:-1] for line in block.strip().splitlines()]
SCRIPTS = [code for code in PYTHON if "def test_" not in code]
TESTS = [code for code in PYTHON if "def test_" in code]


def test_it_has_at_most_200_lines():
    assert len(README.splitlines()) <= 200


def test_its_sections_have_the_order_of_a_visitor():
    assert re.findall(r"^## (.*)$", README, re.MULTILINE) == [
        "Install",
        "Quickstart",
        "Errors",
        "Features",
        "Development",
    ]
    begin = README.partition("## Install")[0]
    assert "docs/index.md" in begin
    assert "CHANGELOG.md" in begin
    assert "issues" in begin
    assert len(re.findall(r"^\* ", begin, re.MULTILINE)) == 5
    assert len(re.findall(r"^!\[", begin, re.MULTILINE)) == 2


def test_the_figures_are_those_of_the_benchmarks():
    tables = (ROOT / "docs" / "benchmarks.md").read_text()
    bars = {
        "chunk, one HTTP chunk for each event: openai / acechat": "46 × less",
        "200 live streams: openai / acechat": "6 × less",
    }

    for bar, claim in bars.items():
        row = next(line for line in tables.splitlines() if line.startswith(f"| {bar} "))
        assert round(float(row.split("|")[3])) == int(claim.split()[0])
        assert claim in README


def test_all_seven_other_clients_return_a_truncated_stream_as_success():
    matrix = (ROOT / "docs" / "conformance.md").read_text()
    title = "| stream truncated cleanly:"
    row = next(line for line in matrix.splitlines() if line.startswith(title))

    ours, others = row.split("|")[2:4], row.split("|")[4:-1]
    assert [cell.strip() for cell in ours] == ["typed", "typed"]
    assert [cell.strip() for cell in others] == ["**SILENT**"] * 7
    assert "the seven other clients" in README


def test_the_install_and_test_commands_have_one_line_each():
    assert "\n" not in INSTALL
    assert "acechat chat" in INSTALL
    assert "\n" not in TEST
    assert "nox" in TEST


def test_ci_runs_the_second_command_as_it_stands():
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    (reads,) = [line for line in lines if line.startswith("tests=")]

    done = subprocess.run(
        ["bash", "-c", f'{reads}; printf %s "$tests"'],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == TEST
    assert any(line.startswith('bash -euo pipefail -c "$tests"') for line in lines)


def test_the_first_command_installs_and_answers(tmp_path):
    if not _pip_reaches_its_index(tmp_path):
        pytest.skip("pip cannot reach a package index, so nothing can be installed from scratch")
    checkout = tmp_path / "checkout"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(checkout)], check=True)
    for changed in ("acechat", "pyproject.toml", "README.md", "LICENSE"):
        subprocess.run(["cp", "-r", str(ROOT / changed), str(checkout)], check=True)
    home = tmp_path / "home"
    home.mkdir()

    done = subprocess.run(
        ["bash", "-c", INSTALL.replace("python3 ", f"{sys.executable} ", 1)],
        cwd=checkout,
        env=os.environ | {"HOME": str(home), "PIP_NO_CACHE_DIR": "1"},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=100,
    )

    assert done.stdout == 'You said: "Hello" (1 message)\n', done.stderr
    assert done.returncode == 0


def _pip_reaches_its_index(folder: Path) -> bool:
    probe = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), "idna"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_answers(command, tmp_path):
    bin_folder = Path(sys.executable).parent

    done = subprocess.run(
        ["bash", "-c", command],
        cwd=ROOT,
        env=os.environ | {"PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("You said: ")


@pytest.mark.parametrize("code", SCRIPTS)
def test_a_script_runs_alone(code, environment):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


@pytest.mark.parametrize("code", TESTS)
def test_a_test_passes(code, tmp_path):
    (tmp_path / "test_it.py").write_text(code)

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", tmp_path],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert "1 passed" in done.stdout
