"""The fixture `nothing_is_left` finds each kind of leak: an inner pytest leaks on purpose."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

HERE = Path(__file__).parent

# They share one run, so they need one worker.

LEAKS = {
    "sockets": """
        def test_sockets():
            import socket
            kept.append(socket.create_connection(("127.0.0.1", PORT)))
        """,
    "sockets of a loop": """
        def test_sockets_of_a_loop():
            import asyncio
            kept.append(asyncio.new_event_loop())
        """,
    "tasks": """
        def test_tasks():
            import asyncio
            async def main():
                kept.append(asyncio.create_task(asyncio.sleep(60)))
                await asyncio.sleep(0)
            asyncio.run(main())
        """,
    "sessions": """
        def test_sessions():
            import aiohttp, asyncio
            async def main():
                kept.append(aiohttp.ClientSession())
            asyncio.run(main())
        """,
    "exceptions": """
        def test_exceptions():
            import asyncio
            async def fail():
                raise ValueError("nobody takes it")
            async def main():
                asyncio.create_task(fail())
                await asyncio.sleep(0.01)
            asyncio.run(main())
        """,
    "blocking calls": """
        def test_blocking_calls(monkeypatch):
            import asyncio, time
            from acechat._core import call as _call
            code = "def pause(): time.sleep(0.001)"
            namespace = {"time": time}
            exec(compile(code, _call.__file__, "exec"), namespace)
            async def main():
                try:
                    namespace["pause"]()
                except Exception:
                    pass  # somebody may swallow it
            asyncio.run(main())
        """,
    "blocking calls of a woken task": """
        def test_blocking_calls_of_a_woken_task():
            import asyncio, time
            from acechat._core import call as _call
            from acechat._http.waiter import Waiter
            code = "def pause(): time.sleep(0.001)"
            namespace = {"time": time}
            exec(compile(code, _call.__file__, "exec"), namespace)
            async def main():
                waiter = Waiter(asyncio.get_running_loop())
                async def waits():
                    await waiter
                    time.sleep(0.001)  # of the caller, although acechat is in the stack
                    try:
                        namespace["pause"]()
                    except Exception:
                        return "blocked"
                task = asyncio.create_task(waits())
                await asyncio.sleep(0)
                asyncio.get_running_loop().call_soon(waiter.wake)
                assert await task == "blocked"
            asyncio.run(main())
        """,
    "threads": """
        def test_threads():
            import threading, time
            threading.Thread(target=time.sleep, args=(1,), name="acechat").start()
        """,
}
IMPATIENT = "sys.modules['tests_leaks']._PATIENCE = 0.2\n"
"""Shorten the wait for resources that close late: these tests close nothing."""

SAYS = {
    "sockets": "sockets that are open: socket:[",
    "sockets of a loop": "sockets that are open: socket:[",
    "tasks": "tasks that were pending when their loop ended: <Task",
    "sessions": "sessions that were not closed: <aiohttp",
    "exceptions": "exceptions that were never retrieved: Task exception was never retrieved",
    "blocking calls": "calls that blocked the loop: time.sleep",
    "blocking calls of a woken task": "calls that blocked the loop: time.sleep",
    "threads": "threads that run: acechat",
}


@pytest.fixture(scope="module")
def inner(tmp_path_factory):
    """Run tests beside this project's conftest; return pytest's output."""

    def run(programs):
        folder = tmp_path_factory.mktemp("inner")
        for name in ("conftest.py", "leaks.py"):
            shutil.copy(HERE / name, folder)
        with socket.create_server(("127.0.0.1", 0)) as listening:
            head = f"import sys\n\nPORT = {listening.getsockname()[1]}\nkept = []\n"
            for name, code in programs.items():
                program = head + IMPATIENT + textwrap.dedent(code)
                (folder / f"test_{name.replace(' ', '_')}.py").write_text(program)
            # pytest would report some of the leaks itself, with other messages
            options = ["-p", "no:cacheprovider", "-p", "no:unraisableexception", "--tb=short"]
            return subprocess.run(
                [sys.executable, "-m", "pytest", "-q", "--rootdir", folder, *options, folder],
                cwd=folder,
                capture_output=True,
                text=True,
                check=False,
            )

    return run


@pytest.fixture(scope="module")
def reports(inner):
    """Let each kind leak in a test of one run; return the report of each kind."""
    done = inner(LEAKS)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"{len(LEAKS)} passed, {len(LEAKS)} errors" in done.stdout
    _, *parts = re.split(
        r"^_+ ERROR at teardown of test_(\w+) _+$", done.stdout, flags=re.MULTILINE
    )
    return dict(zip(parts[::2], parts[1::2], strict=True))


@pytest.mark.parametrize("kind", LEAKS)
def test_each_kind_of_leak_is_found(reports, kind):
    report = reports[kind.replace(" ", "_")]

    assert "LeakError: left behind" in report
    assert SAYS[kind] in report


def test_a_test_without_leaks_passes(inner):
    done = inner(
        {
            "client": """
                def test_a_client(acechat_service, acechat_blocking_client):
                    assert acechat_blocking_client.chat("Hello").text
                """,
            "allowed": textwrap.dedent(LEAKS["tasks"]).replace(
                "def test_tasks", 'import pytest\n\n@pytest.mark.leaves("tasks")\ndef test_it', 1
            ),
        }
    )

    assert "2 passed" in done.stdout
    assert done.returncode == 0
