"""The server of the fault matrix.

A request for ``/FAULT/CELL/…`` plays FAULT. The requests of a CELL are counted, so that the second
can get another response than the first.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

from benchmarks.conformance.faults import FAULTS, End, Repeat, Step
from benchmarks.conformance.raw_server import RawServer, ReceivedRequest, reset
from benchmarks.conformance.wire import AnthropicWire, OpenAIWire

__all__ = ["FaultServer"]


class FaultServer(RawServer):
    """Responds to every request with a fault."""

    def __init__(self) -> None:
        super().__init__()
        self._faults = {fault.name: fault for fault in FAULTS}
        self._requests: Counter[str] = Counter()

    def url(self, fault: str, cell: str) -> str:
        """Return the base URL for *fault*; *cell* must be unique."""
        return f"http://127.0.0.1:{self.port}/{fault}/{cell}"

    async def respond(
        self,
        request: ReceivedRequest,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        for step in self._steps_for(request.path):
            await _play(step, reader, writer)

    def _steps_for(self, path: str) -> Sequence[Step]:
        _, name, cell, *_ = path.split("/")
        wire = AnthropicWire() if path.endswith("/messages") else OpenAIWire()
        script = self._faults[name].script(wire)
        self._requests[cell] += 1
        steps = script[min(self._requests[cell], len(script)) - 1]
        # "localhost" is another origin than "127.0.0.1", and reaches the same server.
        elsewhere = f"http://localhost:{self.port}{path}".encode()
        return [
            step.replace(b"{elsewhere}", elsewhere) if isinstance(step, bytes) else step
            for step in steps
        ]


async def _play(step: Step, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    match step:
        case bytes():
            writer.write(step)
            await writer.drain()
        case float() | int():
            await asyncio.sleep(step)
        case Repeat():
            while not writer.is_closing():
                writer.write(step.data)
                await writer.drain()
                await asyncio.sleep(step.every)
        case End.CLOSE:
            writer.close()
        case End.RESET:
            reset(writer)
        case End.HOLD:
            await reader.read()
