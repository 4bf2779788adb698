"""Real servers that nobody here wrote: installed on demand, started on a free port, stopped.

`aimock`, `ai_mock`, `nginx` and `mlx` are context managers that give a running `Server`. What they
need is installed once into ``.acechat-servers`` in the checkout, or into the folder that the
environment variable ``ACECHAT_SERVERS`` names. Where that cannot be done they raise
`UnavailableError`, which says why.

``python tests/interop/servers.py aimock ai-mock nginx openai mlx`` installs ahead of the tests.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
CACHE = Path(os.environ.get("ACECHAT_SERVERS") or HERE.parents[1] / ".acechat-servers").absolute()
TOKEN = "sk-ace-master"

_AIMOCK = "1.43.0"
_AI_MOCK = "0.3.1"
_OPENAI = "3.54.0"
_OPENAI_NODE = "7.59.0"
_MLX_LM, _MLX = "0.32.2", "0.32.4"

_INSTALLED_WITHIN = 240.0
_STARTED_WITHIN = 60.0
_STOPPED_WITHIN = 5.0


class UnavailableError(Exception):
    """A server cannot be had here; the text says why."""


class Heard(NamedTuple):
    """A response, as a client without opinions reads it."""

    version: int
    """10 for HTTP/1.0, 11 for HTTP/1.1."""
    status: int
    headers: dict[str, str]
    body: bytes


class Server:
    """A server that runs on a port of 127.0.0.1."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.port = port
        self._process = process
        self._log = log

    @property
    def url(self) -> str:
        """The origin, without a slash at its end."""
        return f"http://127.0.0.1:{self.port}"

    def request(
        self, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> Heard:
        """Send *body* as JSON, or ask with GET if there is none; wait for the whole response."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            connection.request(
                "GET" if body is None else "POST",
                path,
                body=None if body is None else json.dumps(body),
                headers={
                    "Content-Type": "application/json",
                    "Authorization": f"Bearer {TOKEN}",
                    **(headers or {}),
                },
            )
            response = connection.getresponse()
            told = {name.lower(): value for name, value in response.headers.items()}
            return Heard(response.version, response.status, told, response.read())

    def wait_until_ready(self, path: str) -> bool:
        """Wait until *path* is answered, by whatever status; return False if the server ended."""
        deadline = time.monotonic() + _STARTED_WITHIN
        while self._process.poll() is None:
            try:
                self.request(path)
            except (OSError, http.client.HTTPException):
                if time.monotonic() > deadline:
                    raise RuntimeError(self._obituary("does not answer")) from None
                time.sleep(0.05)
            else:
                return True
        return False

    def _obituary(self, what: str) -> str:
        last = self._log.read_text(errors="replace")[-2000:]
        return f"{self._process.args!r} {what}; it said:\n{last}"

    def complain(self) -> None:
        """Raise what a server that ended by itself had said."""
        raise RuntimeError(self._obituary(f"ended with status {self._process.returncode}"))

    def stop(self) -> None:
        """End the process, and all that it started."""
        for how in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, how)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOPPED_WITHIN)


# --- the four servers -----------------------------------------------------------------------------


@contextmanager
def aimock(run: Path) -> Iterator[Server]:
    """Run aimock on ``aimock.json``; its log goes into the folder *run*."""
    home = install_aimock()
    command = home / "node_modules/@copilotkit/aimock/dist/cli.js"
    fixtures = HERE / "aimock.json"

    def arguments(port: int) -> list[str]:
        words = f"node {command} -h 127.0.0.1 -p {port} --log-level warn --validate-on-load"
        return [*words.split(), "-f", str(fixtures)]

    with _running(arguments, "/health", run, {"AIMOCK_API_KEYS": TOKEN}) as server:
        yield server


def install_aimock() -> Path:
    """Install the npm package @copilotkit/aimock (MIT, 12 MB, without dependencies)."""

    package = f"@copilotkit/aimock@{_AIMOCK}"
    return _installed(f"aimock-{_AIMOCK}", lambda folder: _npm_install(folder, package))


def install_openai_node() -> Path:
    """Install OpenAI's client for Node (npm package openai); return the folder of the project."""
    package = f"openai@{_OPENAI_NODE}"
    return _installed(f"openai-node-{_OPENAI_NODE}", lambda folder: _npm_install(folder, package))


@contextmanager
def ai_mock(run: Path) -> Iterator[Server]:
    """Run ai-mock, which echoes what it is told; its log goes into the folder *run*."""
    python = install_ai_mock() / "bin/python"

    def arguments(port: int) -> list[str]:
        # What its own command does, but in one process.
        words = f"-m uvicorn mockai.server:app --host 127.0.0.1 --port {port}"
        return [str(python), *words.split()]

    with _running(arguments, "/", run, {"MOCKAI_EMBEDDING_SIZE": "8"}) as server:
        yield server


def install_ai_mock() -> Path:
    """Install the Python package ai-mock (92 MB with FastAPI), in an environment of its own."""
    return _installed(
        f"ai-mock-{_AI_MOCK}", lambda folder: _pip_install(folder, f"ai-mock=={_AI_MOCK}")
    )


def install_openai() -> Path:
    """Install OpenAI's Python client, in an environment of its own; return its Python."""
    name = f"openai-{_OPENAI}"
    home = _installed(name, lambda folder: _pip_install(folder, f"openai=={_OPENAI}"))
    return home / "bin/python"


@contextmanager
def nginx(run: Path, upstream: Server) -> Iterator[Server]:
    """Run nginx in front of *upstream*; its files go into the folder *run*."""
    command = install_nginx()
    template = (HERE / "nginx.conf").read_text()

    def arguments(port: int) -> list[str]:
        text = template.replace("@PORT@", str(port)).replace("@UPSTREAM@", str(upstream.port))
        (run / "nginx.conf").write_text(text)
        return [str(command), "-p", str(run), "-c", str(run / "nginx.conf")]

    with _running(arguments, "/health", run) as server:
        yield server


def install_nginx() -> Path:
    """Find nginx, or unpack Debian's package of it, which needs no root."""
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if found:
        return Path(found)

    def install(folder: Path) -> None:
        _run(["apt-get", "download", "nginx"], folder)
        package = next(folder.glob("nginx_*.deb"))
        _run(["dpkg", "-x", str(package), str(folder)], folder)
        package.unlink()
        _run([str(folder / "usr/sbin/nginx"), "-v"], folder)

    return _installed("nginx", install) / "usr/sbin/nginx"


@contextmanager
def mlx(run: Path) -> Iterator[Server]:
    """Run mlx-lm on a tiny model with random weights; its log goes into the folder *run*."""
    home = install_mlx()

    def arguments(port: int) -> list[str]:
        words = f"-m mlx_lm server --host 127.0.0.1 --port {port} --max-tokens 16 --temp 1.0"
        return [str(home / "bin/python"), *words.split(), "--model", str(home / "model")]

    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(run / "nothing"), "OMP_NUM_THREADS": "1"}
    with _running(arguments, "/health", run, offline) as server:
        yield server


def install_mlx() -> Path:
    """Install the Python packages mlx-lm and mlx[cpu], 218 MB, if that is wanted."""
    name = f"mlx-lm-{_MLX_LM}"
    if sys.platform != "linux":
        raise UnavailableError("mlx[cpu] is for Linux")
    if os.environ.get("ACECHAT_INTEROP_MLX") != "1" and not _is_installed(CACHE / name):
        raise UnavailableError("mlx-lm is 218 MB: set ACECHAT_INTEROP_MLX=1 to install it")

    def install(folder: Path) -> None:
        python = _pip_install(folder, f"mlx-lm=={_MLX_LM}", f"mlx[cpu]=={_MLX}")
        _run([str(python), str(HERE / "make_tiny_model.py"), str(folder / "model")], folder)

    return _installed(name, install)


# --- installing -----------------------------------------------------------------------------------


def _installed(name: str, install: Callable[[Path], None]) -> Path:
    """Return the folder *name* of the cache, filled by *install* the first time.

    Only one process at a time installs; the others wait for it.
    """
    if sys.platform == "win32":
        raise UnavailableError("the servers are stopped as process groups, which Windows has not")
    import fcntl

    folder = CACHE / name
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_installed(folder):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            install(folder)
            (folder / "installed").touch()
    return folder


def _is_installed(folder: Path) -> bool:
    return (folder / "installed").exists()


def _pip_install(folder: Path, *requirements: str) -> Path:
    """Install *requirements* into a new virtual environment; return its Python."""
    python = folder / "bin/python"
    _run([sys.executable, "-m", "venv", str(folder)], folder)
    quietly = ["--quiet", "--no-input", "--disable-pip-version-check", "--retries=1"]
    _run([str(python), "-m", "pip", "install", *quietly, *requirements], folder)
    return python


def _npm_install(folder: Path, package: str) -> None:
    quietly = ["--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries=1"]
    _run(["npm", "install", *quietly, "--prefix", str(folder), package], folder)


def _run(command: Sequence[str], folder: Path) -> None:
    """Run one step of an installation inside *folder*.

    Raises:
        UnavailableError: It failed.
    """
    log = folder / "install.log"
    words = " ".join(command)
    with log.open("wb") as output:
        try:
            process = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise UnavailableError(f"cannot run {command[0]}: {error.strerror}") from None
        try:
            status = process.wait(_INSTALLED_WITHIN)
        except subprocess.TimeoutExpired:
            raise UnavailableError(f"{words!r} took over {_INSTALLED_WITHIN:g} s") from None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    if status:
        text = log.read_text(errors="replace")
        told = [line.strip() for line in text.splitlines() if line.strip()]
        told = told or [f"status {status}"]
        marks = ("error", "npm error", "e: ")
        first = next((line for line in told if line.lower().startswith(marks)), told[-1])
        raise UnavailableError(f"{words!r} failed: {' … '.join(dict.fromkeys((first, told[-1])))}")


# --- running --------------------------------------------------------------------------------------


@contextmanager
def _running(
    arguments: Callable[[int], list[str]],
    ready: str,
    run: Path,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """Start ``arguments(port)`` on a free port, wait until the path *ready* is answered; stop it.

    Another process may take the port before the server does, so it has three tries.
    """
    for tries_left in (2, 1, 0):
        port = _free_port()
        server = _start(arguments(port), port, run / f"{port}.log", environment or {})
        try:
            if server.wait_until_ready(ready):
                yield server
                return
        finally:
            server.stop()
        if not tries_left:
            server.complain()


def _start(command: list[str], port: int, log: Path, environment: Mapping[str, str]) -> Server:
    if shutil.which("setpriv"):  # a test runner that is killed takes its servers with it
        command = ["setpriv", "--pdeathsig", "KILL", *command]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=log.parent,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Server(process, port, log)


def _free_port() -> int:
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        port: Any = listener.getsockname()[1]
        return int(port)


if __name__ == "__main__":
    installers = {
        "aimock": install_aimock,
        "ai-mock": install_ai_mock,
        "nginx": install_nginx,
        "openai": install_openai,
        "openai-node": install_openai_node,
        "mlx": install_mlx,
    }
    for wanted in sys.argv[1:]:
        sys.stdout.write(f"{wanted}: {installers[wanted]()}\n")
