"""The pytest plugin, as other projects use it."""

from __future__ import annotations

import subprocess
import sys
import urllib.request

import pytest

from acechat.testing import emulated

pytest_plugins = ["pytester"]

CONFTEST = "from acechat.testing import acechat_service"

SUITE = """
from urllib.request import urlopen

urls = []

def test_the_service_listens(acechat_service):
    urls.append(acechat_service.url)
    assert urlopen(acechat_service.url + "/health").status == 200

def test_each_test_has_its_own(acechat_service):
    assert acechat_service.requests == []
    assert acechat_service.url.startswith("http://127.0.0.1:")
"""


def test_emulated_runs_a_service_for_a_while():
    with emulated(token="t-1", remember=2) as service:
        assert service.token == "t-1"
        with urllib.request.urlopen(f"{service.url}/health") as answer:
            assert answer.status == 200
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"{service.url}/health")


def test_other_projects_get_a_service_per_test(pytester):
    installed = pytester.runpytest_subprocess("--fixtures", "-q")
    if "acechat_service" not in installed.stdout.str():  # run from a checkout, without entry points
        pytester.makeconftest(CONFTEST)
    pytester.makepyfile(SUITE)
    pytester.runpytest_subprocess("-q").assert_outcomes(passed=2)


def test_pytest_loads_the_plugin_without_the_emulator():
    code = (
        "import sys, pytest, acechat.testing; "
        "print(sorted({'aiohttp', 'acechat.emulator', 'anyio'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        check=True,
        text=True,
    )
    assert done.stdout == "[]\n"
