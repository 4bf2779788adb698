"""The code of the documentation runs; `nox -s docs` builds it with warnings as errors."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
PAGES = sorted(page for page in (ROOT / "docs").rglob("*.md") if BLOCK.search(page.read_text()))

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


def test_there_is_documentation_with_code():
    assert len(PAGES) > 8


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_code_of_a_page_runs_from_top_to_end(page, environment):
    blocks = [block for block in BLOCK.findall(page.read_text()) if "def test_" not in block]

    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", RUN],
        cwd=ROOT,
        input="\0".join(blocks),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
