"""Law 10: `import acechat` brings neither the network nor an extra."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"aiohttp", "anyio", "click", "rich", "yarl", "acechat.emulator", "acechat.cli", "pydantic"}


def modules_after(code):
    script = f"{code}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, check=True, text=True
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "code",
    [
        "import acechat",
        "from acechat import AsyncClient, Client",
        "from acechat import *",
        "import acechat.types, acechat.errors",
    ],
)
def test_importing_acechat_brings_neither_the_network_nor_an_extra(code):
    loaded = modules_after(code)

    assert "acechat" in loaded
    assert not loaded & HEAVY


def test_making_a_client_brings_the_network_before_the_first_call():
    loaded = modules_after("from acechat import AsyncClient\nAsyncClient('t-1')")

    assert "aiohttp" in loaded


def test_this_test_sees_what_is_loaded():
    assert modules_after("import aiohttp, anyio") >= {"aiohttp", "anyio"}
