"""Runs clients against faults: one process per client, which is killed when it hangs."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from msgspec import Struct

from benchmarks.conformance.driver import Case
from benchmarks.conformance.faults import FAULTS, Fault
from benchmarks.conformance.judge import Cell, judge
from benchmarks.conformance.server import FaultServer

__all__ = ["OURS", "Column", "Peer", "hangs_after", "run"]

_MAX_PARALLEL = 4
"""Clients that run at the same time: they mostly wait."""

_START_TIMEOUT = 120.0
"""Seconds that the import of a client may take."""

_DRIVER = Path(__file__).with_name("driver.py")


class Peer(Struct, frozen=True, kw_only=True):
    """One column of the table."""

    name: str
    command: tuple[str, ...]
    """The command that starts its driver."""

    messages: bool = False
    """Whether it uses Anthropic's format."""

    warm_up: float = 60.0
    """Limit of an extra first call in seconds, which is not judged: clients import lazily. 0: no
    such call."""

    @classmethod
    def of(cls, name: str, python: str | Path = sys.executable) -> Peer:
        """Return the peer with this *name* in `driver`, installed for *python*."""
        # -P: the modules beside the driver must not shadow those of the peer
        command = (str(python), "-P", str(_DRIVER), name)
        return cls(name=name, command=command, messages=name == "anthropic")


OURS = ("acechat", "acechat.Client")
"""The async and the sync client of acechat."""


class Column(Struct, frozen=True, kw_only=True):
    """The results of one client."""

    name: str
    version: str
    cells: dict[str, Cell]
    """By name of the fault, without those that the client's format cannot have."""

    broken: str = ""
    """The reason why the client could not be run; empty if it could."""


def hangs_after(timeout: float) -> float:
    """Return the seconds after which a call with this *timeout* counts as a hang.

    Calls with retries wait between attempts, less than three times the limit and a second.
    """
    return 3 * timeout + 1


def run(
    peers: Sequence[Peer], faults: Sequence[Fault] = FAULTS, *, timeout: float = 2.0
) -> list[Column]:
    """Run each of *peers* against each of *faults*.

    Args:
        peers: The clients.
        faults: The faults.
        timeout: The ordinary time-out of each client, in seconds.
    """

    async def run_all() -> list[Column]:
        slots = asyncio.Semaphore(_MAX_PARALLEL)

        async def one(peer: Peer) -> Column:
            async with slots:
                return await _drive(server, peer, faults, timeout)

        return await asyncio.gather(*map(one, peers))

    with FaultServer() as server:
        return asyncio.run(run_all())


async def _drive(
    server: FaultServer, peer: Peer, faults: Sequence[Fault], timeout: float
) -> Column:
    cells: dict[str, Cell] = {}
    process = _Process(peer)

    def case_of(fault: Fault) -> Case:
        root = server.url(fault.name, uuid4().hex)
        return Case(root, fault.stream, fault.calls, fault.retries, timeout, fault.choices)

    try:
        for fault in faults:
            if peer.messages and not fault.messages:
                continue
            for _ in range(2):
                if not process.running:
                    await process.start()
                    if peer.warm_up:
                        await process.call(case_of(FAULTS[0]), peer.warm_up)
                began = time.monotonic()
                outcome = await process.call(case_of(fault), hangs_after(timeout))
                cell = judge(fault, outcome, time.monotonic() - began)
                cells[fault.name] = cell
                bad = cell.wasted or cell.verdict == "hang"
                if not bad or peer.name in OURS:
                    break  # a peer gets a second try: a busy machine may be the cause
    except RuntimeError as error:
        return Column(name=peer.name, version="", cells={}, broken=str(error))
    finally:
        await process.kill()
    return Column(name=peer.name, version=process.version, cells=cells)


class _Process:
    """A driver process, restarted after it was killed."""

    def __init__(self, peer: Peer) -> None:
        self.version: str = ""
        self._peer = peer
        self._process: asyncio.subprocess.Process | None = None

    @property
    def running(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start it, and wait until its client is imported.

        Raises:
            RuntimeError: It did not start; the message ends with its last line of output.
        """
        self._process = await asyncio.create_subprocess_exec(
            *self._peer.command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        ready = await self._line(_START_TIMEOUT)
        if ready is None:
            await self.kill()
            output = (await self._process.stderr.read()) if self._process.stderr else b""
            last = output.decode(errors="replace").strip().splitlines()[-1:]
            raise RuntimeError(" ".join(["the driver did not start:", *last]))
        self.version = str(ready["version"])

    async def call(self, case: Case, within: float) -> dict[str, Any] | None:
        """Run *case*; return its outcome, or None if there was none in time."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(case).encode() + b"\n")
        outcome = await self._line(within)
        if outcome is None:
            ended = self._process.returncode
            await self.kill()
            if ended is not None:
                return {"error": f"the process ended: {ended}", "own": False}
        return outcome

    async def _line(self, within: float) -> dict[str, Any] | None:
        assert self._process is not None
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(within):
                line = await self._process.stdout.readline()
                if not line:
                    await self._process.wait()
        except TimeoutError:
            return None
        return json.loads(line) if line else None

    async def kill(self) -> None:
        """Kill the process if it runs."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
