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
from acechat.types import ChatCompletion, Delta, Model, RunResult

_T = TypeVar("_T")


def _load(name: str, folder: Path = Path(__file__).parent) -> Any:
    """Import the file *name* beside this one: tests are no package under importlib mode."""
    spec = spec_from_file_location(f"interop_{name}", folder / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


servers = _load("servers")
relays = _load("relays", Path(__file__).parent.parent / "behaviour")


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
def journal(aimock) -> Callable[[Any], list[dict[str, Any]]]:
    """Return what aimock wrote down about the requests of a caller."""

    def entries(caller: Any) -> list[dict[str, Any]]:
        found = aimock.request(f"/__aimock/journal?testId={caller.name}")
        return servers.json.loads(found.body)

    return entries


@pytest.fixture
def heard(journal) -> Callable[[Any], list[dict[str, Any]]]:
    """Return the bodies of the requests of a caller that reached aimock."""
    return lambda caller: [entry["body"] for entry in journal(caller)]


@pytest.fixture(scope="module")
def openai() -> Path:
    """The Python that has OpenAI's client."""
    try:
        return servers.install_openai()
    except servers.UnavailableError as error:
        pytest.skip(f"no openai here: {error}")


@pytest.fixture(scope="module")
def openai_node() -> Path:
    """The folder of a Node project that has OpenAI's client."""
    try:
        return servers.install_openai_node()
    except servers.UnavailableError as error:
        pytest.skip(f"no openai for Node here: {error}")


@pytest.fixture
def relay_of() -> Any:
    """A service that relays streams; it takes the settings of its client."""
    return relays.SERVICES["starlette"]


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

    def run(
        self, *content: Any, stream: bool, into: list[Any] | None = None, **options: Any
    ) -> RunResult:
        """Let tools be called; what a stream tells goes *into* a list as it comes."""
        if not stream:
            return self.client.run(*content, **options)
        events = [] if into is None else into
        with self.client.run_stream(*content, **options) as run:
            for event in run:
                events.append(event)
        return run.result

    def collect_all(self, texts: list[str]) -> list[str]:
        """Stream the answers to all *texts* at the same time; return theirs."""
        with ThreadPoolExecutor(len(texts)) as pool:
            return [completion.text for completion in pool.map(self.collect, texts)]

    def models(self) -> list[Model]:
        return self.client.models()

    def count_tokens(self, *content: Any) -> int:
        return self.client.count_tokens(*content)

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

    def run(
        self, *content: Any, stream: bool, into: list[Any] | None = None, **options: Any
    ) -> RunResult:
        if not stream:
            return self._run(lambda: self.client.run(*content, **options))
        return self._run(
            lambda: self._run_stream([] if into is None else into, *content, **options)
        )

    async def _run_stream(self, events: list[Any], *content: Any, **options: Any) -> RunResult:
        async with self.client.run_stream(*content, **options) as run:
            async for event in run:
                events.append(event)  # noqa: PERF401 - what came before a failure counts, too
        return run.result

    def collect_all(self, texts: list[str]) -> list[str]:
        streams = [self._collect(text) for text in texts]
        return [completion.text for completion in self._run(lambda: asyncio.gather(*streams))]

    def models(self) -> list[Model]:
        return self._run(self.client.models)

    def count_tokens(self, *content: Any) -> int:
        return self._run(lambda: self.client.count_tokens(*content))

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
