"""The fixture `nothing_is_left` finds each kind of leak: an inner pytest leaks on purpose."""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap

import pytest

LEAKS = {
    "sockets": """
        def test_it():
            import socket
            kept.append(socket.create_connection(("127.0.0.1", PORT)))
        """,
    "sockets of a loop": """
        def test_it():
            import asyncio
            kept.append(asyncio.new_event_loop())
        """,
    "tasks": """
        def test_it():
            import asyncio
            async def main():
                kept.append(asyncio.create_task(asyncio.sleep(60)))
                await asyncio.sleep(0)
            asyncio.run(main())
        """,
    "sessions": """
        def test_it():
            import aiohttp, asyncio
            async def main():
                kept.append(aiohttp.ClientSession())
            asyncio.run(main())
        """,
    "exceptions": """
        def test_it():
            import asyncio
            async def fail():
                raise ValueError("nobody takes it")
            async def main():
                asyncio.create_task(fail())
                await asyncio.sleep(0.01)
            asyncio.run(main())
        """,
    "blocking calls": """
        def test_it(monkeypatch):
            import asyncio, time
            from acechat import _call
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
    "threads": """
        def test_it():
            import threading, time
            threading.Thread(target=time.sleep, args=(4,), name="acechat").start()
        """,
}
SAYS = {
    "sockets": "sockets that are open: socket:[",
    "sockets of a loop": "sockets that are open: socket:[",
    "tasks": "tasks that were pending when their loop ended: <Task",
    "sessions": "sessions that were not closed: <aiohttp",
    "exceptions": "exceptions that nobody took: Task exception was never retrieved",
    "blocking calls": "calls that blocked the loop: time.sleep",
    "threads": "threads that run: acechat",
}


@pytest.fixture
def inner(root, tmp_path, unused_tcp_port):
    """Run a test beside this project's conftest; return what pytest said."""

    def run(code):
        for name in ("conftest.py", "leaks.py"):
            shutil.copy(root / "tests" / name, tmp_path)
        program = f"PORT = {unused_tcp_port}\nkept = []\n" + textwrap.dedent(code)
        (tmp_path / "test_inner.py").write_text(program)
        # pytest would tell some of it by itself, in its own words
        options = ["-p", "no:cacheprovider", "-p", "no:unraisableexception", "--tb=short"]
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "--rootdir", tmp_path, *options, tmp_path],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture
def unused_tcp_port():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@pytest.mark.parametrize("kind", LEAKS)
def test_each_kind_of_leak_is_found(inner, kind):
    done = inner(LEAKS[kind])

    assert done.returncode == 1, done.stdout + done.stderr
    assert "LeakError: left behind" in done.stdout
    assert SAYS[kind] in done.stdout
    assert "1 passed, 1 error" in done.stdout


def test_what_leaves_nothing_passes(inner):
    done = inner(
        """
        import pytest

        def test_a_client(acechat_service, acechat_blocking_client):
            assert acechat_blocking_client.chat("Hello").text
        """
    )

    assert "1 passed" in done.stdout
    assert done.returncode == 0


def test_what_a_test_says_that_it_leaves_is_allowed(inner):
    leak = textwrap.dedent(LEAKS["tasks"]).replace(
        "def test_it", 'import pytest\n\n@pytest.mark.leaves("tasks")\ndef test_it', 1
    )

    assert inner(leak).returncode == 0
