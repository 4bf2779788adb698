"""The search of the built documentation finds the pages for the words that people try."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
WANTED = {
    "timeout": "howto/timeouts-and-retries",
    "proxy": "howto/networks",
    "retry": "howto/timeouts-and-retries",
    "cost": "howto/cost",
    "image": "howto/images",
    "FastAPI": "howto/web-page",
    "count tokens": "howto/counting-tokens",
    "tools": "howto/tools",
    "MCP": "howto/mcp",
    "structured output": "howto/structured-output",
    "mock": "howto/testing",
    "pytest": "howto/testing",
    "batch": "howto/batch",
    "10,000 prompts": "howto/batch",
    "logging": "howto/observers",
    "base URL": "howto/networks",
    "LangChain": "howto/langchain",
    "OpenTelemetry": "howto/opentelemetry",
    "Jupyter": "howto/jupyter",
    "threads": "howto/threads",
    "cancel": "howto/cancelling",
    "resume": "howto/batch",
    "Ray": "howto/ray",
    "cluster": "howto/ray",
    "Spark": "howto/ray",
    "migrate": "howto/migrate-openai",
    "openai": "howto/migrate-openai",
    "install": "install",
}
"""The right page, by the words of the search."""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """The pages that are found, best first, by the words of the search."""
    node = shutil.which("node")
    if not node:
        pytest.skip("node is not installed")
    if not importlib.util.find_spec("furo"):
        pytest.skip("the packages that build the documentation are not installed")
    built = tmp_path_factory.mktemp("docs")
    command = [sys.executable, "-m", "sphinx", "-q", "-b", "html", str(ROOT / "docs"), str(built)]
    subprocess.run(command, check=True, capture_output=True, timeout=200)
    search = [node, str(ROOT / "tests" / "search.js"), str(built), json.dumps(list(WANTED))]
    done = subprocess.run(search, check=True, capture_output=True, text=True, timeout=60)
    return dict(zip(WANTED, json.loads(done.stdout), strict=True))


@pytest.mark.timeout(300, func_only=False)  # the first one builds the documentation
@pytest.mark.parametrize("words", WANTED)
def test_the_right_page_is_among_the_first_three_results(words, found):
    first_three = found[words][:3]

    assert WANTED[words] in first_three
