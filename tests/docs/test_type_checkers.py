"""The README passes mypy and pyright, and both show types that a newcomer can read."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text()
PYTHON = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)

CHECKERS = {
    "mypy": ["mypy", "--check-untyped-defs", "--no-error-summary", "--cache-dir"],
    "pyright": ["pyright", "--pythonpath", sys.executable],
}

REVEALED = """
from acechat import AsyncClient, Client

def blocking(client: Client) -> None:
    reveal_type(client.chat("Hello"))
    reveal_type(client.stream("Hello"))
    reveal_type(client.conversation().send("Hello"))

async def asynchronous(client: AsyncClient) -> None:
    reveal_type(await client.chat("Hello"))
    reveal_type(client.stream("Hello"))
    reveal_type(await client.conversation().send("Hello"))
"""

MODELS = """
from acechat import AsyncClient, Client

Client(model="claude-opus-5", fallback_models=["claude-sonnet-5", "claude-next"])
AsyncClient(model="claude-next").conversation(model="claude-opus-5")
Client().chat("Hello", model="claude-next")
"""


@pytest.fixture(params=CHECKERS)
def check(request, tmp_path):
    """Return the result of a type checker for some code."""
    if find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed")

    def run(*codes):
        paths = [tmp_path / f"code_{number}.py" for number in range(len(codes))]
        for path, code in zip(paths, codes, strict=True):
            path.write_text(code)
        options = CHECKERS[request.param]
        if request.param == "mypy":
            options = [*options, str(tmp_path / "cache")]
        return subprocess.run(
            [sys.executable, "-m", *options, *map(str, paths)],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip

    return run


@pytest.mark.timeout(180)
def test_each_example_of_the_readme_passes(check):
    done = check(*[code for code in PYTHON if "def test_" not in code])

    assert done.returncode == 0, done.stdout


@pytest.mark.timeout(180)
def test_a_completion_without_an_output_type_shows_no_object(check):
    done = check(REVEALED)

    assert done.stdout.count("ChatCompletion") == 4
    assert done.stdout.count("ChatStream") == 2
    assert "object" not in done.stdout


@pytest.mark.timeout(180)
def test_a_model_is_a_known_one_or_any_str(check):
    assert check(MODELS).returncode == 0
