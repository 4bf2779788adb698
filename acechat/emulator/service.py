"""The service, run in its own thread."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypedDict, Unpack

from aiohttp import web

from acechat._credentials import hide_arguments
from acechat.emulator.app import OnResponse, create_app
from acechat.emulator.state import DEFAULT_TOKEN, ReceivedRequest, ServiceState
from acechat.emulator.steps import Step
from acechat.errors import ConfigurationError

if TYPE_CHECKING:  # cassettes are imported on demand
    from acechat.emulator.replay import Replay

__all__ = ["Service", "ServiceOptions", "serve"]

_GRACE = 0.05
"""Seconds that a stopping service waits for cancelled handlers."""

_MAX_LOOP_TURNS = 100
"""Loop iterations in which aborted connections disappear; two suffice in practice."""

_THREAD_TIMEOUT = 5.0
"""Seconds that a caller waits for the service's thread; more would be a bug."""


class ServiceOptions(TypedDict, total=False):
    """The keyword arguments of `Service`, documented there."""

    host: str
    port: int
    token: str
    max_request_bytes: int
    remember: int | None
    replay: str | os.PathLike[str] | None
    speed: float
    loop: bool
    any_model: bool
    delay: float
    report_cost: bool
    on_response: OnResponse | None
    record: str | os.PathLike[str] | None
    upstream: str | None
    hosts: Iterable[str]


class Service:
    """AceData's Claude chat service on localhost, for tests and demonstrations.

    >>> with Service() as service:
    ...     service.script(fail(429, retry_after=1), ok("Hello!"))
    ...     client = Client(base_url=service.url, api_token=service.token)

    All methods may be called from any thread except the service's own.

    Args:
        host: The address to listen on.
        port: The TCP port. 0: any free port, which is kept when the service is stopped and started
            again.
        token: The token that requests must carry.
        max_request_bytes: The largest accepted request body, in bytes.
        remember: The number of `requests` that are kept, the newest. None: all.
        replay: The cassette to replay. Each recorded request gets its recorded response, with its
            pauses and faults. It must carry a token: *token*, if that is given, otherwise any. Any
            other request gets status 400, whose message names the first difference. None: no
            replay.
        speed: The speed of the replay, greater than 0. 2.0 takes half of the recorded time;
            infinity removes all pauses.
        loop: Whether the replay starts again when all of its responses were used.
        any_model: Whether other model names than `MODELS` are accepted; False refuses them as the
            service does.
        delay: Seconds before each response to a chat request, 0 or more.
        report_cost: Whether completions have a cost, by the prices of the catalogue.
        on_response: Called in the service's thread after each response with the request, the
            status (0 if none was sent) and the seconds that it took. None: no call.
        record: The cassette to which the exchanges with *upstream* are appended; requires
            *upstream*. None: nothing is recorded.
        upstream: The origin of a real service, to which requests are forwarded with their token.
            None: the emulator responds.
        hosts: Names that requests may have in their ``Host`` header besides *host*, ``localhost``
            and addresses; others get status 421, because a web page could have sent them. ``"*"``
            accepts all. Default none.

    Raises:
        ConfigurationError: The cassette cannot be replayed, *speed* is out of range, or the
            options contradict each other.
        OSError: The cassette cannot be read.
    """

    @hide_arguments
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
        loop: bool = False,
        any_model: bool = True,
        delay: float = 0.0,
        report_cost: bool = True,
        on_response: OnResponse | None = None,
        record: str | os.PathLike[str] | None = None,
        upstream: str | None = None,
        hosts: Iterable[str] = (),
    ) -> None:
        if (record is None) != (upstream is None) or (record is not None and replay is not None):
            raise ConfigurationError(
                "record= and upstream= must be given together, and without replay="
            )
        if not 0 <= delay < math.inf:
            raise ConfigurationError(f"delay must be 0 or more seconds, not {delay!r}")
        self._replay = None if replay is None else _replay_of(replay, speed, loop=loop)
        self._on_response = on_response
        self._record = record
        self._upstream = upstream
        self._host = host
        self._port = port
        self._hosts = (host, hosts) if isinstance(hosts, str) else (host, *hosts)
        self._state = ServiceState(
            token,
            max_request_bytes=max_request_bytes,
            remember=remember,
            any_model=any_model,
            delay=delay,
            report_cost=report_cost,
        )
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """The origin: ``http://127.0.0.1:PORT``.

        Raises:
            RuntimeError: *port* is 0 and the service was never started.
        """
        if not self._port:
            raise RuntimeError(
                "the service has no port yet: call start(), or use it in a with block"
            )
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    @property
    def token(self) -> str:
        """The token that requests must carry."""
        return self._state.token

    @property
    def requests(self) -> list[ReceivedRequest]:
        """The requests received so far, oldest first."""
        return self._state.requests

    @property
    def connections(self) -> int:
        """The number of open client connections."""
        server = self._runner and self._runner.server
        return len(server.connections) if server else 0

    def script(self, *steps: Step) -> None:
        """Respond to the next chat requests with *steps*, one each; after them, with the echo.

        A rejected request (wrong token, invalid JSON) uses no step.
        """
        self._state.script(*steps)

    @property
    def unused(self) -> int:
        """The number of scripted steps that no request has used yet."""
        return self._state.unused

    def reset(self) -> None:
        """Clear the requests and the script, and start a replay from the beginning.

        Connections stay open, and responses in progress continue.
        """
        self._state.reset()
        if self._replay is not None:
            self._replay.rewind()

    def disconnect(self) -> None:
        """Abort all connections, idle ones included, with the responses in progress on them."""
        if self._loop and self._thread:
            asyncio.run_coroutine_threadsafe(self._break_all(), self._loop).result(_THREAD_TIMEOUT)

    def start(self) -> Self:
        """Start to listen; return when clients can connect. No effect if already started.

        Raises:
            OSError: The port is in use.
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
        """Abort all connections and stop, within a second. No effect if not running."""
        thread, self._thread = self._thread, None
        if thread and self._loop and self._stopping:
            with contextlib.suppress(RuntimeError):  # another thread has stopped it in the meantime
                self._loop.call_soon_threadsafe(self._stopping.set)
            thread.join(_THREAD_TIMEOUT)

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
            from acechat.emulator.recording_proxy import create_recording_proxy

            return create_recording_proxy(self._state, self._upstream, self._record, self._hosts)
        return create_app(self._state, self._replay, self._on_response, self._hosts)

    async def _break_all(self) -> None:
        server = self._runner and self._runner.server
        for _ in range(_MAX_LOOP_TURNS):
            if not server or not server.connections:
                break
            for connection in server.connections:
                if connection.transport:
                    connection.transport.abort()
            await asyncio.sleep(0)


def _replay_of(path: str | os.PathLike[str], speed: float, *, loop: bool) -> Replay:
    from acechat._record.cassette import Cassette
    from acechat.emulator.replay import Replay

    return Replay(Cassette.load(path), speed, loop=loop)


def serve(
    on_listening: Callable[[str], object] | None = None,
    steps: Sequence[Step] = (),
    **options: Unpack[ServiceOptions],
) -> int:
    """Run a service until Ctrl-C, and return the number of *steps* that were not used.

    *remember* defaults to 0 here.

    Args:
        on_listening: Called with the URL when clients can connect. None: no call.
        steps: The script of the service, as of `Service.script`.
        options: The arguments of `Service`.

    Raises:
        ConfigurationError: As for `Service`.
        OSError: The port is in use, or the cassette cannot be read.
    """
    options.setdefault("remember", 0)
    with Service(**options) as service, contextlib.suppress(KeyboardInterrupt):
        service.script(*steps)
        if on_listening:
            on_listening(service.url)
        while True:
            time.sleep(3600)  # not Event.wait: Ctrl-C does not end that on Windows
    return service.unused
