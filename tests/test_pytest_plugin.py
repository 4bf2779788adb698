"""The pytest plugin, as used by other projects."""

from __future__ import annotations

import urllib.request
from importlib.metadata import entry_points

import pytest

from acechat.emulator import Service
from benchmarks import plugins

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


def test_other_projects_import_two_modules_more_with_the_plugin(tmp_path):
    plugins.project(tmp_path)
    loaded = {name: plugins.modules(tmp_path, options) for name, options in plugins.OPTIONS.items()}

    neither = loaded["neither plugin"]
    if entry_points(group="pytest11", name="acechat"):
        assert loaded["acechat"] - neither == {"acechat", "acechat._pytest_plugin"}
    # 64 modules, fewer where another plugin imports asyncio: docs/howto/testing.md.
    assert {"anyio", "anyio.pytest_plugin"} <= loaded["anyio"] - neither
    assert loaded["both"] <= loaded["acechat"] | loaded["anyio"]


ENVIRONMENT = """
import asyncio
import os
import subprocess
import sys

import pytest

from acechat import AsyncClient, Client
from acechat.emulator import ok


def test_clients_of_the_code_under_test_call_the_service(acechat_environment):
    acechat_environment.script(ok("sync"), ok("async"))
    with Client() as client:
        assert client.chat("Hello").text == "sync"

    async def call():
        async with AsyncClient() as client:
            return await client.chat("Hello")

    assert asyncio.run(call()).text == "async"
    assert len(acechat_environment.requests) == 2


def test_so_do_those_of_its_processes(acechat_environment, acechat_service):
    assert acechat_environment is acechat_service
    acechat_service.script(ok("command"), ok("script"))
    for code in (["-m", "acechat", "chat", "--no-log", "Hi"],
                 ["-c", "from acechat import Client; print(Client().chat('Hi').text)"]):
        done = subprocess.run([sys.executable, *code], capture_output=True, text=True)
        assert done.stdout in ("command\\n", "script\\n"), done.stderr


def test_the_environment_is_restored():
    assert os.environ["ACEDATACLOUD_API_TOKEN"] == "own"
    assert os.environ["NO_PROXY"] == "internal.example"
    assert "ACEDATACLOUD_API_BASE_URL" not in os.environ
"""


def test_the_environment_points_at_the_service(pytester, monkeypatch):
    monkeypatch.setenv("ACEDATACLOUD_API_TOKEN", "own")
    monkeypatch.setenv("NO_PROXY", "internal.example")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("ACEDATACLOUD_API_BASE_URL", raising=False)
    offer_fixtures(pytester)
    pytester.makepyfile(ENVIRONMENT)
    pytester.runpytest_subprocess("-q").assert_outcomes(passed=3)


def chapter(root, heading):
    """Return the Python code under *heading* of the page on testing."""
    page = (root / "docs/howto/testing.md").read_text(encoding="utf-8")
    text = page.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return text.split("```python\n", 1)[1].split("```", 1)[0]


@pytest.mark.parametrize(
    ("heading", "plugin", "options"),
    [
        ("Fixtures of pytest", None, []),
        ("Code that makes its own client", None, []),
        ("Async tests with pytest-asyncio", "pytest_asyncio", ["-p", "no:anyio"]),
        ("Async tests with anyio", "anyio", ["-p", "no:asyncio"]),
    ],
)
def test_the_tests_of_the_documentation_pass(pytester, root, heading, plugin, options):
    if plugin:
        pytest.importorskip(plugin, reason=f"{plugin} is not installed")
    offer_fixtures(pytester)
    code = chapter(root, heading)
    pytester.makepyfile(code)
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    done = pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider", *options)
    done.assert_outcomes(passed=code.count("def test_"))


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
