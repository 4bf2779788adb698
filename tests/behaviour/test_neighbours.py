"""Programs in which other packages have changed threads and event loops.

Each uses every kind of call of the blocking client within a time limit. `nox -s neighbours`
installs the packages; elsewhere the programs whose package is missing are skipped.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from importlib.util import find_spec

import pytest

from acechat.emulator import Service

NEEDED = frozenset(filter(None, os.environ.get("ACECHAT_NEIGHBOURS", "").split(",")))
WITHIN = 28.0
"""Seconds for a program; each call in it has 8."""

USE = """
import asyncio
import sys

from acechat import AsyncClient, Client

URL, TOKEN = sys.argv[1:]


def weather(city: str) -> str:
    "Forecast the weather."
    return f"rain in {city}"


async def forecast(city: str) -> str:
    "Forecast the weather."
    await asyncio.sleep(0)
    return f"rain in {city}"


def use(name="x"):
    client = Client(TOKEN, base_url=URL, timeout=8)
    assert name in client.chat(name).text
    assert name in "".join(map(str, client.stream(name)))
    with client.stream(name) as stream:
        next(stream)
    for tool in (weather, forecast):
        assert len(client.run(name, tools=[tool], tool_choice="required").turns) == 2
    client.close()
    print(name, end=" ", flush=True)


async def use_async():
    async with AsyncClient(TOKEN, base_url=URL, timeout=8) as client:
        assert "a" in (await client.chat("a")).text
        assert "a" in "".join([str(delta) async for delta in client.stream("a")])
        run = await client.run("a", tools=[weather, forecast], tool_choice="required")
        assert len(run.turns) == 2
    print("async", end=" ", flush=True)
"""

FROM_THREADS = """
import threading
threads = [threading.Thread(target=use, args=[f"t{number}"]) for number in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""

GEVENT = """
from gevent import monkey
monkey.patch_all()
{before}
USE
import gevent
{program}
"""
ONE_AFTER_ANOTHER = """
for number in range(3):
    gevent.spawn(use, f"g{number}").get()
"""
AT_THE_SAME_TIME = """
from acechat import ConfigurationError
with Client(TOKEN, base_url=URL, timeout=8) as one, Client(TOKEN, base_url=URL, timeout=8) as two:
    print(one.chat("a").text[11:12], end=" ")
    try:
        two.chat("b")
    except ConfigurationError as error:
        assert "share one Client" in str(error), error
    print(one.with_options(timeout=7).chat("c").text[11:12], end=" ")
use("d")
"""
ONE_CLIENT = """
def ask(name):
    assert name in client.chat(name).text
    assert name in "".join(map(str, client.stream(name)))
    assert len(client.run(name, tools=[weather, forecast], tool_choice="required").turns) == 2
    return name

with Client(TOKEN, base_url=URL, timeout=8) as client:
    jobs = [gevent.spawn(ask, f"g{number}") for number in range(5)]
    ticks = gevent.spawn(lambda: [gevent.sleep(0.001) for _ in range(3)])
    gevent.joinall([*jobs, ticks], raise_error=True)
print(*(job.value for job in jobs))
"""
ASYNCIO_ONLY = "import sys; sys.modules['uvloop'] = None"

TRACE = """
import sys, threading
def trace(frame, event, argument):
    return trace
threading.settrace(trace)
sys.settrace(trace)
USE
use()
"""

PROGRAMS = {
    "plain": ((), f"USE\nuse()\n{FROM_THREADS}", "t0 t1 t2 x"),
    "gevent, main greenlet": (("gevent",), GEVENT.format(before="", program="use()"), "x"),
    "gevent, one client after another": (
        ("gevent",),
        GEVENT.format(before="", program=ONE_AFTER_ANOTHER),
        "g0 g1 g2",
    ),
    "gevent, two clients": (
        ("gevent",),
        GEVENT.format(before="", program=AT_THE_SAME_TIME),
        "a c d",
    ),
    "gevent, one client": (
        ("gevent",),
        GEVENT.format(before="", program=ONE_CLIENT),
        "g0 g1 g2 g3 g4",
    ),
    "gevent, asyncio's loop": (
        ("gevent",),
        GEVENT.format(before=ASYNCIO_ONLY, program=ONE_CLIENT),
        "g0 g1 g2 g3 g4",
    ),
    "gevent, uvloop": (
        ("gevent", "uvloop"),
        GEVENT.format(before="import uvloop", program="use()"),
        "x",
    ),
    "nest_asyncio, no loop": (
        ("nest_asyncio",),
        f"import nest_asyncio; nest_asyncio.apply()\nUSE\nuse()\n{FROM_THREADS}",
        "t0 t1 t2 x",
    ),
    "nest_asyncio, in a loop": (
        ("nest_asyncio",),
        """
        import nest_asyncio
        nest_asyncio.apply()
        USE
        async def main():
            use()
            await use_async()
            asyncio.run(use_async())
        asyncio.run(main())
        """,
        "async async x",
    ),
    "trio, in its thread": (
        ("trio",),
        """
        import trio
        USE
        async def main():
            use()
        trio.run(main)
        """,
        "x",
    ),
    "trio, in worker threads": (
        ("trio",),
        """
        import trio
        USE
        async def main():
            async with trio.open_nursery() as nursery:
                for number in range(3):
                    nursery.start_soon(trio.to_thread.run_sync, use, f"t{number}")
        trio.run(main)
        """,
        "t0 t1 t2",
    ),
    "anyio on trio": (
        ("trio",),
        """
        import anyio
        USE
        async def main():
            await anyio.to_thread.run_sync(use)
        anyio.run(main, backend="trio")
        """,
        "x",
    ),
    "anyio on asyncio": (
        (),
        """
        import anyio
        USE
        async def main():
            use()
            await anyio.to_thread.run_sync(use, "y")
            await use_async()
        anyio.run(main)
        """,
        "async x y",
    ),
    "uvloop": (
        ("uvloop",),
        """
        import uvloop
        USE
        use()
        uvloop.run(use_async())
        """,
        "async x",
    ),
    "sniffio, openai, anthropic": (
        ("sniffio", "openai", "anthropic"),
        f"import anthropic, openai, sniffio\nUSE\nuse()\n{FROM_THREADS}",
        "t0 t1 t2 x",
    ),
    "litellm": (
        ("litellm",),
        """
        import os
        os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # or it asks the network for one
        import litellm
        USE
        use()
        asyncio.run(use_async())
        """,
        "async x",
    ),
    "trace functions": ((), TRACE, "x"),
    "trace functions of opcodes": (
        (),
        TRACE.replace("    return trace", "    frame.f_trace_opcodes = True\n    return trace"),
        "x",
    ),
    "profile functions": (
        (),
        TRACE.replace("settrace", "setprofile").replace("    return trace", "    pass"),
        "x",
    ),
    "asyncio's debug mode": (
        (),
        """
        import os
        os.environ["PYTHONASYNCIODEBUG"] = "1"
        USE
        use()
        asyncio.run(use_async(), debug=True)
        """,
        "async x",
    ),
}
"""The packages of a program, the program, and its output, sorted."""

NEEDS_312 = {
    "eager tasks, by policy": """
        USE
        class Policy(asyncio.DefaultEventLoopPolicy):
            def new_event_loop(self):
                loop = super().new_event_loop()
                loop.set_task_factory(asyncio.eager_task_factory)
                return loop
        asyncio.set_event_loop_policy(Policy())
        use()
        asyncio.run(use_async())
        """,
    "eager tasks, in the caller's loop": """
        USE
        async def main():
            asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
            use()
            await use_async()
            await asyncio.gather(use_async(), asyncio.create_task(use_async()))
        asyncio.run(main())
        """,
    "eager tasks, in every loop": """
        USE
        new = asyncio.base_events.BaseEventLoop.__init__
        def eager(loop, *arguments):
            new(loop, *arguments)
            loop.set_task_factory(asyncio.eager_task_factory)
        asyncio.base_events.BaseEventLoop.__init__ = eager
        sys.modules["uvloop"] = None
        use()
        asyncio.run(use_async())
        """,
}


def need(*packages):
    """Skip without *packages*, unless the session has installed them."""
    for package in packages:
        if find_spec(package) is None:
            assert package not in NEEDED, f"{package} is installed and cannot be imported"
            pytest.skip(f"{package} is not installed")


@pytest.fixture
def run(tmp_path):
    """Run a program beside a service; return its output, sorted."""

    def run(program, *, python=()):
        path = tmp_path / "program.py"
        path.write_text(textwrap.dedent(program).replace("USE\n", USE, 1))
        with Service() as service:
            done = subprocess.run(
                [sys.executable, *python, path, service.url, service.token],
                capture_output=True,
                text=True,
                check=False,
                timeout=WITHIN,
            )
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        assert "never retrieved" not in done.stderr
        return " ".join(sorted(done.stdout.split()))

    return run


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_with_other_libraries_exits(run, name):
    packages, program, output = PROGRAMS[name]
    need(*packages)

    assert run(program) == output


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
@pytest.mark.parametrize("name", NEEDS_312)
def test_a_program_with_eager_tasks_exits(run, name):
    words = run(NEEDS_312[name], python=["-W", "ignore::DeprecationWarning"])

    assert set(words.split()) == {"async", "x"}


UNDER_TRIO = {
    "chat": 'await client.chat("x")',
    "stream": 'await anext(client.stream("x"))',
    "async with stream": 'async with client.stream("x"): pass',
    "collect": 'await client.stream("x").collect()',
    "run": 'await client.run("x", tools=[weather])',
    "run_stream": 'await anext(client.run_stream("x", tools=[weather]))',
    "send": 'await client.conversation().send("x")',
    "models": "await client.models()",
    "count_tokens": 'await client.count_tokens("x")',
    "catalog": "await client.catalog()",
    "text": 'await anext(client.stream("x").text())',
    "sse": 'await anext(client.stream("x").sse())',
    "sse without comments": 'await anext(client.stream("x").sse(keep_alive=None))',
    "await sse": 'await client.stream("x").sse()',
    "output_type": 'await client.chat("x", output_type=list[int])',
    "mcp": 'await mcp.connect("python", "server.py").__aenter__()',
}


@pytest.mark.parametrize("name", UNDER_TRIO)
def test_an_async_client_under_trio_raises_one_clear_error(run, name):
    need("trio")
    words = run(
        f"""
        import trio
        USE
        from acechat import ConfigurationError, mcp
        async def main():
            client = AsyncClient(TOKEN, base_url=URL, timeout=8)
            try:
                {UNDER_TRIO[name]}
            except ConfigurationError as error:
                assert "asyncio" in str(error), error
                assert "trio.to_thread.run_sync" in str(error), error
                print("refused")
            await client.aclose()
        trio.run(main)
        """,
        python=["-W", "error"],
    )
    assert words == "refused"


def test_every_package_of_the_session_has_a_program():
    covered = {package for packages, _, _ in PROGRAMS.values() for package in packages}

    assert NEEDED - {"pytest-asyncio"} <= covered  # in test_testing.py


def test_every_package_of_the_session_can_be_imported():
    for package in NEEDED:
        assert find_spec(package.replace("-", "_")), package
