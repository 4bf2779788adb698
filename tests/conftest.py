"""Fixtures of all tests: a clean environment, leak checks and programs that listen on a port."""

from __future__ import annotations

import ast
import gc
import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import msgspec
import pytest
from hypothesis import Phase, settings

ROOT = Path(__file__).parent.parent
_KEPT = ("ACECHAT_INTEROP_MLX", "ACECHAT_SERVERS")


GROUPS = {
    "cli/test_cli_costs.py": "costs",
    "test_costs.py": "costs",
    "benchmarks/test_benchmarks.py": "costs",
    "web/": "browser",
    "docs/test_migration.py": "other clients",  # one environment, into which they are installed
    "behaviour/test_case_table.py": "case table",
    "test_leaks.py": "leaks",
    # Servers that take seconds to start:
    "interop/test_ai_mock.py": "ai-mock",
    "interop/test_conformance.py": "openai",
    "interop/test_openai_client.py": "openai",
    "interop/test_mlx.py": "mlx",
    "interop/": "aimock",
}
"""Start of a path -> the group of its tests, which run in one worker; the first match counts."""

QUICK = tuple(
    f"tests/{folder}/"
    for folder in ("hints", "policy", "record", "redaction", "tools", "types", "wire")
)
"""Folders of tests without processes and servers: they run last, when workers become idle."""

settings.register_profile("acechat", deadline=None)  # the machine may have other load
settings.load_profile("acechat")
settings.register_profile(  # of `nox -s mutation`, which needs no minimal failing example
    "mutation",
    parent=settings.get_profile("acechat"),
    max_examples=40,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    """Remove tokens, proxies and NO_COLOR of the developer from the environment."""
    for name in os.environ:
        upper = name.upper()
        personal = upper.startswith(("ACE", "SSL_CERT")) or upper.endswith("_PROXY")
        if (personal or upper == "NO_COLOR") and name not in _KEPT:
            monkeypatch.delenv(name)


@pytest.fixture
def too_deep():
    """A list nested deeper than the limit of C code: until Python 3.11 the recursion limit, then a
    separate number, and from 3.14 on the size of the stack."""
    deep, levels = [], 1_000
    while True:
        for _ in range(levels):
            deep = [deep]
        try:
            msgspec.json.encode(deep)
        except RecursionError:
            return deep
        levels *= 2


def _load(name):
    """Import the file *name* of this folder: under importlib mode, tests are not a package."""
    spec = spec_from_file_location(f"tests_{name}", Path(__file__).with_name(f"{name}.py"))
    module = sys.modules[spec.name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


leaks = _load("leaks")


def pytest_collection_modifyitems(config, items):
    """Run quick tests last, but first in mutation testing, where the first failure is enough."""
    if config.getoption("--hypothesis-profile") == "mutation":
        items.sort(
            key=lambda item: (
                item.get_closest_marker("hypothesis") is not None,
                "laws" in item.path.parts,
            )
        )
    else:
        items.sort(key=lambda item: item.nodeid.startswith(QUICK))


def pytest_collection_finish():
    """Exempt 14,000 collected tests from garbage collections, which took 0.2 s each for them."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Run the tests of a group, and all parameters of a test function, in one worker.

    Each test alone would make the scheduler slow: for each that ends it counts all that remain.
    The marker of pytest-xdist (3.8) has no effect in pytest 9.2: the id that it changes is not
    the one that pytest reports.
    """
    from xdist.scheduler.loadscope import LoadScopeScheduling

    class Scheduler(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            groups = (group for path, group in GROUPS.items() if nodeid.startswith(f"tests/{path}"))
            return next(groups, nodeid.partition("[")[0])

    config.option.loadscopereorder = False  # it would run long tests without parameters last
    return Scheduler(config, log) if config.getoption("dist") == "loadgroup" else None


def pytest_configure(config):
    config.addinivalue_line("markers", "leaves(*kinds): the leaks.KINDS that a test may leak")


@pytest.fixture(autouse=True, scope="session")
def nothing_blocks_a_loop():
    """Make blocking calls of acechat in a running loop raise; `nothing_is_left` reports them."""
    with leaks.blocking_forbidden():
        yield


@pytest.fixture(autouse=True)
def nothing_is_left(request, nothing_blocks_a_loop):
    """Fail a test that leaks a socket, task, session, thread or exception, or blocks a loop."""
    allowed = {kind for mark in request.node.iter_markers("leaves") for kind in mark.args}
    with leaks.watch(frozenset(allowed)):
        yield
    if request.node.get_closest_marker("filterwarnings"):
        gc.collect()  # the warnings of objects that the test dropped belong to it


@pytest.fixture
def environment(acechat_service, monkeypatch):
    """Set the environment variables of acechat to the emulator."""
    monkeypatch.setenv("ACEDATACLOUD_API_BASE_URL", acechat_service.url)
    monkeypatch.setenv("ACEDATACLOUD_API_TOKEN", acechat_service.token)
    return acechat_service


@pytest.fixture
def skip_without_imports():
    """Skip a test of code that imports a library of an integration that is not installed."""

    def check(code):
        trees = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Import)]
        names = [alias.name for node in trees for alias in node.names]
        names += [
            node.module for node in ast.walk(ast.parse(code)) if isinstance(node, ast.ImportFrom)
        ]
        for name in names:
            if name.startswith("acechat.integrations.") or name.partition(".")[0] != "acechat":
                session = "ray" if name in {"daft", "ray"} else "integrations"
                pytest.importorskip(
                    name, reason=f"{name} is not installed; `nox -s {session}` runs this"
                )

    return check


@pytest.fixture
def root():
    """The folder of the checkout."""
    return ROOT


@pytest.fixture
def serving():
    """Run a program that listens on the port in PORT, during a ``with`` block."""
    return _serving


@contextmanager
def _serving(*command):
    """Yield the port and the process; retry if another program takes the port first."""
    for tries_left in (2, 1, 0):
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            port = sock.getsockname()[1]
        process = subprocess.Popen(
            [sys.executable, *command],
            env=os.environ | {"PORT": str(port)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            if _listens(process, port):
                yield port, process
                return
            assert tries_left, process.stderr.read()
        finally:
            process.kill()
            process.communicate()


def _listens(process, port):
    """Wait until *process* listens; return False if it ended instead."""
    until = time.monotonic() + 40
    while process.poll() is None:
        assert time.monotonic() < until, "the program does not listen"
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.05)
        else:
            return True
    return False
