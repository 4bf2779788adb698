"""``ACECHAT_LOG=debug`` logs to stderr, without the token and without content."""

from __future__ import annotations

import logging
import os
import subprocess
import sys

import pytest

from acechat import AsyncClient, Client, ConfigurationError
from acechat.emulator import Service

TOKEN = "tok-secret-0123456789abcdef"
SYNC = """
from acechat import Client
with Client() as client:
    client.chat("a private prompt")
    print(client.stream("a private prompt").collect().text)
"""
ASYNC = """
import asyncio
from acechat import AsyncClient
async def main():
    async with AsyncClient() as client:
        await client.chat("a private prompt")
        print((await client.stream("a private prompt").collect()).text)
asyncio.run(main())
"""
OWN = "import logging, sys; logging.basicConfig(stream=sys.stdout, format='own %(message)s')\n"


@pytest.fixture(scope="module")
def service():
    with Service(token=TOKEN) as service:
        yield service


def run(service, code, **env):
    env = os.environ | {
        "ACEDATACLOUD_API_TOKEN": TOKEN,
        "ACEDATACLOUD_API_BASE_URL": service.url,
        **env,
    }
    return subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )


@pytest.mark.parametrize("code", [SYNC, ASYNC], ids=["sync", "async"])
@pytest.mark.parametrize("level", ["debug", " DEBUG "])
def test_debug_logs_each_call(service, code, level):
    done = run(service, code, ACECHAT_LOG=level)

    lines = done.stderr.splitlines()
    assert sum("RequestSent" in line for line in lines) == 2
    assert sum("CallFinished" in line for line in lines) == 2
    assert all(" DEBUG acechat: call " in line for line in lines)


def test_it_shows_neither_the_token_nor_content(service):
    done = run(service, SYNC, ACECHAT_LOG="debug")

    assert done.stderr
    assert "tok-" not in done.stderr
    assert "private" not in done.stderr


@pytest.mark.parametrize("level", ["info", "warning", "error", ""])
def test_other_levels_do_not_log_calls_that_succeed(service, level):
    assert run(service, SYNC, ACECHAT_LOG=level).stderr == ""


def test_info_logs_failures(service):
    code = "from acechat import Client\nClient(retries=1).chat('x', temperature=9)"
    code = f"try:\n    exec({code!r})\nexcept Exception: pass"

    assert " INFO acechat: call 1: AttemptFailed" in run(service, code, ACECHAT_LOG="info").stderr


def test_a_program_with_its_own_logging_keeps_it(service):
    done = run(service, OWN + SYNC, ACECHAT_LOG="debug")

    assert done.stderr == ""
    assert done.stdout.count("own call ") >= 4


@pytest.mark.parametrize("cls", [Client, AsyncClient])
def test_a_value_that_is_no_level_is_refused(cls, monkeypatch):
    monkeypatch.setenv("ACECHAT_LOG", "everything")

    with pytest.raises(ConfigurationError, match="ACECHAT_LOG must be one of debug, info"):
        cls("token")


def test_without_the_variable_nothing_is_set_up(service):
    before = list(logging.getLogger("acechat").handlers)

    AsyncClient("token")

    assert logging.getLogger("acechat").handlers == before
