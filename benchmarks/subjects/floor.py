"""The floors: a protocol on the bare event loop, and a bare socket."""

from __future__ import annotations

from benchmarks.floors import BlockingFloor, Floor
from benchmarks.subjects import First, Read


class Async:
    def __init__(self, root: str) -> None:
        self._floor = Floor(root)

    async def chat(self, image_bytes: bytes | None = None) -> int:
        return len((await self._floor.chat(image_bytes)).choices[0].message.content or "")

    async def stream(self, first: First) -> Read:
        count = characters = 0
        async for delta in self._floor.stream():
            if text := delta.content:
                if not count:
                    first()
                count += 1
                characters += len(text)
        return count, characters

    async def close(self) -> None:
        self._floor.close()


class Blocking:
    def __init__(self, root: str) -> None:
        self._floor = BlockingFloor(root)

    def chat(self) -> int:
        return len(self._floor.chat_blocking().choices[0].message.content or "")

    def stream(self, first: First) -> Read:
        count = characters = 0
        for delta in self._floor.deltas():
            if text := delta.content:
                if not count:
                    first()
                count += 1
                characters += len(text)
        return count, characters

    def close(self) -> None:
        self._floor.close()
