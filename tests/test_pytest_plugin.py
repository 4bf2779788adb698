"""The pytest plugin, as used by other projects."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from importlib.metadata import entry_points

import pytest

from acechat.emulator import Service

pytest_plugins = ["pytester"]

CONFTEST = "pytest_plugins = ['acechat._pytest_plugin']"

SUITE = """
from urllib.request import urlopen

urls = []

def test_the_service_listens(acechat_service):
    urls.append(acechat_service.url)
    assert urlopen(acechat_service.url + "/health").status == 200

def test_each_test_has_its_own_service(acechat_service):
    assert acechat_service.requests == []
    assert acechat_service.url.startswith("http://127.0.0.1:")
"""


def offer_fixtures(pytester):
    """Load the plugin if acechat is not installed, so that it has no entry point."""
    if not entry_points(group="pytest11", name="acechat"):
        pytester.makeconftest(CONFTEST)


def test_a_service_runs_as_long_as_its_block():
    with Service(token="t-1", remember=2) as service:
        assert service.token == "t-1"
        with urllib.request.urlopen(f"{service.url}/health") as response:
            assert response.status == 200
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"{service.url}/health")


def test_other_projects_get_a_service_per_test(pytester):
    offer_fixtures(pytester)
    pytester.makepyfile(SUITE)
    pytester.runpytest_subprocess("-q").assert_outcomes(passed=2)


def test_pytest_loads_the_plugin_without_the_emulator():
    code = (
        "import sys, pytest, acechat._pytest_plugin; "
        "print(sorted({'aiohttp', 'acechat.emulator', 'anyio'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        check=True,
        text=True,
    )
    assert done.stdout == "[]\n"


CLIENTS = """
import asyncio

from acechat.emulator import fail, ok


def test_the_async_client_calls_the_service(acechat_client, acechat_service):
    acechat_service.script(ok("Hello!"))

    async def call():
        async with acechat_client as client:
            return await client.chat("Hello")

    assert asyncio.run(call()).text == "Hello!"


def test_the_sync_client_calls_the_service(acechat_blocking_client, acechat_service):
    acechat_service.script(fail(503, retry_after=0.01), ok("Hello!"))
    assert acechat_blocking_client.chat("Hello").text == "Hello!"
    assert len(acechat_service.requests) == 2
"""


def test_other_projects_get_clients_of_the_service(pytester):
    offer_fixtures(pytester)
    pytester.makepyfile(CLIENTS)
    pytester.runpytest_subprocess("-q").assert_outcomes(passed=2)
