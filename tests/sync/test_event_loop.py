"""The event loop of the blocking client: uvloop's if that is installed."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys

import pytest

from acechat import Client, ConnectError
from acechat._sync.event_loop import loop_factory

FORK = """
import os, sys
from acechat import Client, ConnectError

client = Client("token", base_url="http://localhost:9", retries=1)

def ask():
    try:
        client.chat("Hello")
    except ConnectError:
        return "no connection"

assert ask() == "no connection"  # the host was looked up
child = os.fork()
if not child:
    if len(sys.argv) > 1:
        assert ask() == "no connection"
    sys.exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
"""


def test_without_uvloop_asyncios_loop_is_used(monkeypatch):
    monkeypatch.setitem(sys.modules, "uvloop", None)

    assert loop_factory() is None


@pytest.mark.parametrize("version", ["0.22.1", "0.9", "?"])
def test_with_an_old_uvloop_asyncios_loop_is_used(monkeypatch, version):
    uvloop = pytest.importorskip("uvloop", reason="acechat[speed] is not installed")
    monkeypatch.setattr(uvloop, "__version__", version)

    assert loop_factory() is None


def test_with_uvloop_the_blocking_client_runs_on_it_and_resolves_hosts():
    uvloop = pytest.importorskip("uvloop", reason="acechat[speed] is not installed")

    with Client("token", base_url="http://localhost:9", retries=1) as client:
        with pytest.raises(ConnectError, match="localhost"):
            client.chat("Hello")
        assert isinstance(client._loop._running._loop, uvloop.Loop)


def test_lookups_equal_those_of_asyncio():
    pytest.importorskip("uvloop", reason="acechat[speed] is not installed")

    async def look_up():
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo("localhost", 80, type=1)
        return found, await loop.getnameinfo(("127.0.0.1", 80), socket.NI_NUMERICHOST)

    with asyncio.Runner(loop_factory=loop_factory()) as ours, asyncio.Runner() as theirs:
        assert ours.run(look_up()) == theirs.run(look_up())


@pytest.mark.timeout(30)
@pytest.mark.parametrize("asks", [[], ["ask"]], ids=["no call in the child", "call in the child"])
@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_forked_child_after_a_host_lookup_exits(asks):
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORK, *asks]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)

    assert (done.returncode, done.stderr) == (0, "")
