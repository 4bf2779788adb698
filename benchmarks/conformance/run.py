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

_AT_ONCE = 4
"""Clients that are driven at the same time: they mostly wait."""

_STARTED_WITHIN = 120.0
"""Seconds that the import of a client may take."""

_DRIVER = Path(__file__).with_name("driver.py")


class Peer(Struct, frozen=True, kw_only=True):
    """One column of the table."""

    name: str
    command: tuple[str, ...]
    """What starts its driver."""

    messages: bool = False
    """Whether it speaks the format of Anthropic."""

    warm_up: float = 60.0
    """Seconds that its first call may take, which counts for nothing: clients import lazily. 0 for
    no such call."""

    @classmethod
    def of(cls, name: str, python: str | Path = sys.executable) -> Peer:
        """Make the peer that `driver` calls *name*, installed for *python*."""
        # -P: the modules beside the driver are no modules of the peer
        command = (str(python), "-P", str(_DRIVER), name)
        return cls(name=name, command=command, messages=name == "anthropic")


OURS = ("acechat", "acechat.Client")
"""Both colours of acechat."""


class Column(Struct, frozen=True, kw_only=True):
    """What one client did."""

    name: str
    version: str
    cells: dict[str, Cell]
    """By the name of the fault; those are missing that the client's format cannot have."""

    broken: str = ""
    """Why the client could not be driven at all; empty if it could."""


def hangs_after(timeout: float) -> float:
    """Return the seconds after which a call with this *timeout* is called a hang.

    Calls that may retry wait between attempts; nobody needs three times the limit and a second.
    """
    return 3 * timeout + 1


def run(
    peers: Sequence[Peer], faults: Sequence[Fault] = FAULTS, *, timeout: float = 2.0
) -> list[Column]:
    """Let each of *peers* meet each of *faults*.

    Args:
        peers: Who.
        faults: What.
        timeout: Seconds, given to each client as its ordinary time-out.
    """

    async def run_all() -> list[Column]:
        slots = asyncio.Semaphore(_AT_ONCE)

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
        return Case(root, fault.stream, fault.calls, fault.retries, timeout)

    try:
        for fault in faults:
            if peer.messages and not fault.messages:
                continue
            for _ in range(2):
                if not process.running:
                    await process.start()
                    if peer.warm_up:
                        await process.ask(case_of(FAULTS[0]), peer.warm_up)
                began = time.monotonic()
                outcome = await process.ask(case_of(fault), hangs_after(timeout))
                cell = judge(fault, outcome, time.monotonic() - began)
                cells[fault.name] = cell
                bad = cell.wasted or cell.verdict == "hang"
                if not bad or peer.name in OURS:
                    break  # a peer is asked again: a busy machine may have made it
    except RuntimeError as error:
        return Column(name=peer.name, version="", cells={}, broken=str(error))
    finally:
        await process.kill()
    return Column(name=peer.name, version=process.version, cells=cells)


class _Process:
    """A driver, started again whenever it had to be killed."""

    def __init__(self, peer: Peer) -> None:
        self.version: str = ""
        self._peer = peer
        self._process: asyncio.subprocess.Process | None = None

    @property
    def running(self) -> bool:
        """Whether it waits for a case."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start it, and wait until its client is imported.

        Raises:
            RuntimeError: It did not start; the text says what it wrote last.
        """
        self._process = await asyncio.create_subprocess_exec(
            *self._peer.command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        ready = await self._line(_STARTED_WITHIN)
        if ready is None:
            await self.kill()
            said = (await self._process.stderr.read()) if self._process.stderr else b""
            last = said.decode(errors="replace").strip().splitlines()[-1:]
            raise RuntimeError(" ".join(["the driver did not start:", *last]))
        self.version = str(ready["version"])

    async def ask(self, case: Case, within: float) -> dict[str, Any] | None:
        """Run *case*; return what came of it, or None if nothing did in time."""
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
        """End it, if it runs."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
