"""The code and the commands of the documentation run.

A block that begins with its imports is a script, and runs as one; the blocks without imports that
follow continue it. Cells of notebooks, which may use ``await``, have the class "notebook".
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from acechat import Client

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted((ROOT / "docs").rglob("*.md"))


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def scripts(page):
    """Return the scripts of *page*: each begins at a block with imports."""
    found = []
    for code in blocks(page, "python"):
        if "def test_" in code:
            continue
        if re.match(r"(from|import) ", code):
            found.append(code)
        else:
            assert found, f"the first code of {page.name} imports nothing"
            found[-1] += "\n" + code
    return found


NOTEBOOK = r"{code-block} python\n:class: notebook\n"
SCRIPTS = [
    pytest.param(code, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, code in enumerate(scripts(page), 1)
]
NOTEBOOKS = [page for page in PAGES if blocks(page, NOTEBOOK)]
FRAGMENTS = [block for page in PAGES for block in blocks(page, "py")]
TESTS = [code for page in PAGES for code in blocks(page, "python") if "def test_" in code]
COMMANDS = [
    line.partition("  #")[0].strip()
    for page in PAGES
    for block in blocks(page, "sh")
    for line in block.splitlines()
]
NOT_RUN = {
    "python3 -m venv": "tests/docs/test_readme.py installs from scratch",
    "python -m pip install": "as above",
    ".venv/bin/python -m pip install": "as above",
    "nox": "runs this",
    "python -m benchmarks": "takes a quarter of an hour; tests/benchmarks runs a part",
    "python examples/web/server.py": "serves until Ctrl-C; tests/web asks it",
    "pytest --acechat-record": "asks the real service",
    "acechat completion fish | source": "wants fish; tests/cli/test_doctor.py has the script",
    'acechat chat "Umbrella in Paris?" --tool': "asks on a terminal; tests/cli/test_tools.py does",
    'acechat chat "How large is this folder?" --functions': "as above",
    'acechat chat "What is new?" --mcp': "as above; wants a server",
    "curl -s https://example.com": "asks a web site; tests/cli/test_power.py has -a -",
}
"""What a command begins with, and why it does not run here."""

BEFORE = {
    "acechat chat -t": "acechat chat -s 'Translate into $language' --save-template translate",
    "git diff": "git init --quiet; acechat chat 'Review this: $input' --save-template review; "
    "git() { cat report.txt; }",
    "acechat history": 'acechat chat "A hotel in Paris"',
    "acechat chat --continue c1": 'acechat chat "A hotel in Paris"',
}
"""What a command begins with, and the commands of its page before it that it needs."""

RUN = """
import ast, asyncio, inspect, sys

async def run(blocks):
    names = {"__name__": "__main__"}
    for number, block in enumerate(blocks, 1):
        code = compile(block, f"block {number}", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        done = eval(code, names)
        if inspect.iscoroutine(done):
            await done

asyncio.run(run(sys.stdin.read().split("\\0")))
"""

SURROUNDINGS = """
from contextlib import aclosing

from aiohttp import web
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from acechat import AsyncClient

class Question(BaseModel):
    prompt: str

app, client = FastAPI(), AsyncClient()
token = "token"
web.run_app = lambda app, **options: None
"""
"""What is around the fragments of the examples that a page shows."""


def run(code, *, stdin=""):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_there_is_documentation_with_code():
    assert len(SCRIPTS) > 40
    assert len(FRAGMENTS) >= 2
    assert len(TESTS) >= 2
    assert len(NOTEBOOKS) == 1


@pytest.mark.parametrize("code", SCRIPTS)
def test_a_script_runs(code, environment, skip_without_imports):
    skip_without_imports(code)
    run(code)


@pytest.mark.parametrize("page", NOTEBOOKS, ids=lambda page: page.stem)
def test_the_cells_of_a_notebook_run(page, environment):
    run(RUN, stdin="\0".join(blocks(page, NOTEBOOK)))


@pytest.mark.parametrize("code", FRAGMENTS)
def test_a_fragment_fits_into_its_surroundings(code, environment, skip_without_imports):
    skip_without_imports(code)
    run(SURROUNDINGS + code)


@pytest.mark.parametrize("code", TESTS)
def test_a_test_passes(code, environment, tmp_path):
    if "mark.asyncio" in code:
        pytest.importorskip("pytest_asyncio", reason="pytest-asyncio is not installed")
    (tmp_path / "test_it.py").write_text(code)
    (tmp_path / "cassettes").mkdir()
    with Client() as client:
        client.chat("Hello")
        client.save_cassette(tmp_path / "cassettes" / "hello.acecast")

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", tmp_path],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert f"{code.count('def test_')} passed" in done.stdout, done.stdout


def reason(command):
    return next((why for begin, why in NOT_RUN.items() if command.startswith(begin)), None)


def test_what_does_not_run_is_still_there():
    unused = [begin for begin in NOT_RUN if not any(each.startswith(begin) for each in COMMANDS)]

    assert unused == []


@pytest.mark.skipif(os.name == "nt", reason="the commands are those of a POSIX shell")
@pytest.mark.parametrize("command", sorted({each for each in COMMANDS if not reason(each)}))
def test_a_command_works(command, environment, tmp_path, monkeypatch):
    if "jq" in command and not shutil.which("jq"):
        pytest.skip("jq is not installed")
    shutil.copy(ROOT / "examples" / "dot.png", tmp_path / "cat.jpg")
    (tmp_path / "report.txt").write_text("All is well.")
    (tmp_path / "invoice.txt").write_text("3 pens, 6 EUR")
    (tmp_path / "invoice.schema.json").write_text('{"type": "object", "properties": {}}')
    for name in ("main.py", "tests/test_main.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("print()")
    monkeypatch.setenv("ACECHAT_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("ACECHAT_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)

    needed = [each for begin, each in BEFORE.items() if command.startswith(begin)]
    script = "\n".join([*needed, command.replace(".venv/bin/", "")])

    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", script],
        cwd=tmp_path,
        input="a-token\n" if "set token" in command else "",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_picture_that_the_build_makes_is_told_in_words_too(page):
    made = re.findall(r"_write\(\"(\w+)\"", (ROOT / "docs" / "screenshots.py").read_text())

    for words, name in re.findall(r"!\[([^]]*)\]\([./]*_static/(\w+)\.svg\)", page.read_text()):
        assert name in made
        assert len(words.split()) >= 8
