"""The servers of `servers.py`, and a client of either colour that is used in one way.

A test says ``caller = connect(aimock, model=...)`` and then ``caller.ask(...)`` or
``caller.collect(...)``; it runs twice, with `AsyncClient` and with `Client`.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import pytest

from acechat import AsyncClient, Client, Timeout
from acechat.types import ChatCompletion, Delta, Model

_T = TypeVar("_T")


def _load(name: str) -> Any:
    """Import the file *name* beside this one: tests are no package under importlib mode."""
    spec = spec_from_file_location(f"interop_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


servers = _load("servers")


# --- the servers: each is started when the first test of a worker asks for it


@pytest.fixture(scope="session")
def _start(tmp_path_factory) -> Iterator[Callable[..., Any]]:
    with ExitStack() as stack:

        def start(server: Callable[..., AbstractContextManager[Any]], *more: Any) -> Any:
            run = tmp_path_factory.mktemp(server.__name__)
            try:
                return stack.enter_context(server(run, *more))
            except servers.UnavailableError as error:
                pytest.skip(f"no {server.__name__} here: {error}")

        yield start


@pytest.fixture(scope="session")
def aimock(_start) -> Any:
    return _start(servers.aimock)


@pytest.fixture(scope="session")
def ai_mock(_start) -> Any:
    return _start(servers.ai_mock)


@pytest.fixture(scope="session")
def nginx(_start, aimock) -> Any:
    return _start(servers.nginx, aimock)


@pytest.fixture(scope="session")
def mlx(_start) -> Any:
    return _start(servers.mlx)


@pytest.fixture
def heard(aimock) -> Callable[[Any], list[dict[str, Any]]]:
    """Return the bodies of the requests of a caller that reached aimock."""

    def bodies(caller: Any) -> list[dict[str, Any]]:
        found = aimock.request(f"/__aimock/journal?testId={caller.name}")
        return [entry["body"] for entry in servers.json.loads(found.body)]

    return bodies


# --- the callers


class BlockingCaller:
    """`Client`."""

    def __init__(self, name: str, settings: dict[str, Any]) -> None:
        self.name = name
        """What aimock knows this caller by."""
        self.client = Client(**settings)

    def ask(self, *content: Any, **options: Any) -> ChatCompletion:
        return self.client.chat(*content, **options)

    def collect(
        self, *content: Any, into: list[Delta] | None = None, **options: Any
    ) -> ChatCompletion:
        """Read a stream to its end; its deltas go *into* a list as they come."""
        deltas = [] if into is None else into
        with self.client.stream(*content, **options) as stream:
            for delta in stream:
                deltas.append(delta)
        return stream.completion

    def collect_all(self, texts: list[str]) -> list[str]:
        """Stream the answers to all *texts* at the same time; return theirs."""
        with ThreadPoolExecutor(len(texts)) as pool:
            return [completion.text for completion in pool.map(self.collect, texts)]

    def models(self) -> list[Model]:
        return self.client.models()

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)

    def close(self) -> None:
        self.client.close()


class AsyncCaller:
    """`AsyncClient`, on an event loop that runs while something is asked or waited for."""

    def __init__(self, name: str, settings: dict[str, Any]) -> None:
        self.name = name
        self.client = AsyncClient(**settings)
        self._runner = asyncio.Runner()

    def ask(self, *content: Any, **options: Any) -> ChatCompletion:
        return self._run(lambda: self.client.chat(*content, **options))

    def collect(
        self, *content: Any, into: list[Delta] | None = None, **options: Any
    ) -> ChatCompletion:
        return self._run(lambda: self._collect(*content, into=into, **options))

    async def _collect(
        self, *content: Any, into: list[Delta] | None = None, **options: Any
    ) -> ChatCompletion:
        deltas = [] if into is None else into
        async with self.client.stream(*content, **options) as stream:
            async for delta in stream:
                deltas.append(delta)
        return stream.completion

    def collect_all(self, texts: list[str]) -> list[str]:
        streams = [self._collect(text) for text in texts]
        return [completion.text for completion in self._run(lambda: asyncio.gather(*streams))]

    def models(self) -> list[Model]:
        return self._run(self.client.models)

    def wait(self, seconds: float) -> None:
        self._run(lambda: asyncio.sleep(seconds))

    def close(self) -> None:
        async def close() -> set[asyncio.Task[Any]]:
            await self.client.__aexit__(None, None, None)
            return asyncio.all_tasks() - {asyncio.current_task()}

        with self._runner:
            assert self._run(close) == set(), "the client left tasks behind"

    def _run(self, make: Callable[[], Awaitable[_T]]) -> _T:
        async def run() -> _T:
            return await make()

        return self._runner.run(run())


@pytest.fixture(params=[AsyncCaller, BlockingCaller], ids=["async", "blocking"])
def connect(request, monkeypatch) -> Iterator[Callable[..., Any]]:
    """Return what makes callers: ``connect(server, path, **settings of the client)``.

    One attempt and 20 s are the default, so that nothing hides behind a retry.
    """
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ExitStack() as stack:

        def connect(server: Any, path: str = "/v1", **settings: Any) -> Any:
            name = uuid4().hex
            told = {"X-Test-Id": name, **settings.pop("headers", {})}
            defaults = {"api_token": servers.TOKEN, "retries": 1, "timeout": Timeout(total=20)}
            caller = request.param(
                name, {**defaults, **settings, "base_url": server.url + path, "headers": told}
            )
            stack.callback(caller.close)
            return caller

        yield connect
    gc.collect()  # what was left open complains here, not in another test


@pytest.fixture(params=["ask", "collect"])
def either(request) -> str:
    """Name the way to get an answer, whole or as a stream, where both must behave alike."""
    return request.param
