"""The service, running in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypedDict, Unpack

from aiohttp import web

from acechat.emulator.app import create_app
from acechat.emulator.state import DEFAULT_TOKEN, ReceivedRequest, ServiceState
from acechat.emulator.steps import Step
from acechat.errors import ConfigurationError

if TYPE_CHECKING:  # cassettes are imported when there is one
    from acechat.emulator.replay import Replay

__all__ = ["Service", "ServiceOptions", "serve"]

_GRACE = 0.05
"""Seconds that a stopping service gives to handlers that were already cancelled."""

_TURNS = 100
"""Turns of the loop in which broken connections are gone; two are enough in practice."""

_PATIENCE = 5.0
"""Seconds that a caller waits for the service's thread before it calls that a bug."""


class ServiceOptions(TypedDict, total=False):
    """What a `Service` can be told; it documents them."""

    host: str
    port: int
    token: str
    max_request_bytes: int
    remember: int | None
    replay: str | os.PathLike[str] | None
    speed: float
    record: str | os.PathLike[str] | None
    upstream: str | None


class Service:
    """AceData's Claude chat service on localhost, for tests and demonstrations.

    >>> with Service() as service:
    ...     service.script(fail(429, retry_after=1), ok("Hello!"))
    ...     client = Client(base_url=service.url, api_token=service.token)

    All methods may be called from any thread but the service's own.

    Args:
        host: What to listen on. Whoever can reach it can use it.
        port: 0: any free one. It stays the same when the service is stopped and started again.
        token: What a client must send.
        max_request_bytes: The largest body that is taken.
        remember: How many `requests` are kept, the newest. None: all.
        replay: A cassette that answers: each recorded request gets what it got then, cuts and
            pauses included, whatever its token; any other gets 400, which says why.
        speed: Of the replay. 2.0 takes half of the time; infinity waits for nothing.
        record: A cassette to which the answers of *upstream* are added.
        upstream: The origin of a real service. Requests are handed on to it, with their token.

    Raises:
        ConfigurationError: The cassette cannot be played, or the options contradict each other.
        OSError: The cassette cannot be read.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        token: str = DEFAULT_TOKEN,
        max_request_bytes: int = 32 * 2**20,
        remember: int | None = None,
        replay: str | os.PathLike[str] | None = None,
        speed: float = 1.0,
        record: str | os.PathLike[str] | None = None,
        upstream: str | None = None,
    ) -> None:
        if (record is None) != (upstream is None) or (record is not None and replay is not None):
            raise ConfigurationError("a recording takes record= and upstream=, and no replay=")
        self._replay = None if replay is None else _replay_of(replay, speed)
        self._record = record
        self._upstream = upstream
        self._host = host
        self._port = port
        self._stage = ServiceState(token, max_request_bytes=max_request_bytes, remember=remember)
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """The origin: ``http://127.0.0.1:PORT``.

        Raises:
            RuntimeError: The service was never started, and *port* was 0.
        """
        if not self._port:
            raise RuntimeError("the service has no port before it is started")
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    @property
    def token(self) -> str:
        """What a client must send."""
        return self._stage.token

    @property
    def requests(self) -> list[ReceivedRequest]:
        """What has arrived until now, the oldest first."""
        return self._stage.requests

    @property
    def connections(self) -> int:
        """How many sockets of clients are open now."""
        server = self._runner and self._runner.server
        return len(server.connections) if server else 0

    def script(self, *steps: Step) -> None:
        """Answer the next chat requests with *steps*, one each; after them, the echo answers.

        A request that is refused (a wrong token, no JSON) takes no step.
        """
        self._stage.script(*steps)

    def reset(self) -> None:
        """Forget the requests and the script. Connections stay, and so do answers under way.

        A cassette begins anew.
        """
        self._stage.reset()
        if self._replay is not None:
            self._replay.rewind()

    def disconnect(self) -> None:
        """Break all connections, idle ones included, and the answers under way on them."""
        if self._loop and self._thread:
            asyncio.run_coroutine_threadsafe(self._break_all(), self._loop).result(_PATIENCE)

    def start(self) -> Self:
        """Listen; return when clients can connect. It does nothing where that is so already.

        Raises:
            OSError: The port is taken.
        """
        if self._thread is None:
            started: Future[None] = Future()
            thread = threading.Thread(
                target=self._run, args=(started,), name="acechat-emulator", daemon=True
            )
            thread.start()
            started.result()
            self._thread = thread
        return self

    def stop(self) -> None:
        """Break all connections and end, within a second. It does nothing where that is so."""
        thread, self._thread = self._thread, None
        if thread and self._loop and self._stopping:
            with contextlib.suppress(RuntimeError):  # another thread has stopped it meanwhile
                self._loop.call_soon_threadsafe(self._stopping.set)
            thread.join(_PATIENCE)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _run(self, started: Future[None]) -> None:
        try:
            asyncio.run(self._serve(started))
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)  # `start` raises it in the caller's thread

    async def _serve(self, started: Future[None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        self._runner = web.AppRunner(self._create_app(), shutdown_timeout=_GRACE)
        await self._runner.setup()
        try:
            site = web.TCPSite(self._runner, self._host, self._port)
            await site.start()
            self._port = self._runner.addresses[0][1]
            started.set_result(None)
            await self._stopping.wait()
            await site.stop()
            await self._break_all()
        finally:
            await self._runner.cleanup()

    def _create_app(self) -> web.Application:
        if self._record is not None and self._upstream is not None:
            from acechat.emulator.recording_proxy import create_relay

            return create_relay(self._stage, self._upstream, self._record)
        return create_app(self._stage, self._replay)

    async def _break_all(self) -> None:
        server = self._runner and self._runner.server
        for _ in range(_TURNS):
            if not server or not server.connections:
                break
            for connection in server.connections:
                if connection.transport:
                    connection.transport.abort()
            await asyncio.sleep(0)


def _replay_of(path: str | os.PathLike[str], speed: float) -> Replay:
    from acechat._record.cassette import Cassette
    from acechat.emulator.replay import Replay

    return Replay(Cassette.load(path), speed)


def serve(
    on_listening: Callable[[str], object] | None = None, **options: Unpack[ServiceOptions]
) -> None:
    """Run a service until Ctrl-C; it remembers no requests unless told to.

    Args:
        on_listening: Called with the URL when clients can connect.
        options: Those of `Service`.

    Raises:
        OSError: The port is taken.
    """
    options.setdefault("remember", 0)
    with contextlib.suppress(KeyboardInterrupt), Service(**options) as service:
        if on_listening:
            on_listening(service.url)
        while True:
            time.sleep(3600)  # not Event.wait: Ctrl-C does not end that on Windows
