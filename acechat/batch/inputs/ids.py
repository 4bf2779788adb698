"""The ids of the rows of an input. No I/O."""

from __future__ import annotations

from array import array

__all__ = ["IdTable"]


class IdTable:
    """The ids of all rows, as 64-bit hashes with their lines: 12 bytes a slot instead of a set.

    Python's own set of strings takes ten times as much for 10**8 rows.
    """

    def __init__(self) -> None:
        self._used = 0
        self._resize(1 << 12)

    def add(self, name: str, line: int) -> int:
        """Add *name*, and return 0; or return the line of the row that has it already."""
        if self._used * 3 > self._mask * 2:
            hashes, lines = self._hashes, self._lines
            self._resize((self._mask + 1) * 2)
            for found, at in zip(hashes, lines, strict=True):
                if found:
                    self._insert(found, at)
        # -1, 0 and 1: hash() of a string is never -1, and 0 marks an empty slot
        return self._insert((hash(name) & 0xFFFFFFFFFFFFFFFF) or 1, line)

    def numbered(self, name: str) -> str:
        """Return *name* with the next free number from 2 on.

        A prompt may stand in all rows, to sample its responses: counting from 2 on for each of them
        would take a time that grows with the square of their number.
        """
        most = 2
        while f"{name}-{most}" in self:
            most *= 2
        least = most // 2  # it is in use, and *most* is free
        while most - least > 1:
            middle = (least + most) // 2
            if f"{name}-{middle}" in self:
                least = middle
            else:
                most = middle
        return f"{name}-{most}"

    def __contains__(self, name: str) -> bool:
        key = (hash(name) & 0xFFFFFFFFFFFFFFFF) or 1
        slot = key & self._mask
        while found := self._hashes[slot]:
            if found == key:
                return True
            slot = (slot + 1) & self._mask
        return False

    def _insert(self, key: int, line: int) -> int:
        hashes, mask = self._hashes, self._mask
        slot = key & mask
        while found := hashes[slot]:
            if found == key:
                return self._lines[slot]
            slot = (slot + 1) & mask
        hashes[slot] = key
        self._lines[slot] = line
        self._used += 1
        return 0

    def _resize(self, slots: int) -> None:
        self._used = 0
        self._mask = slots - 1
        self._hashes: array[int] = array("Q", bytes(8 * slots))
        self._lines: array[int] = array("I", bytes(4 * slots))
