"""`Timeline`: the figures of a bulk run over time, in bounded memory. No I/O."""

from __future__ import annotations

from collections import Counter
from heapq import heappush, heappushpop
from math import inf

from msgspec import Struct, field

from acechat.batch.report.events import DOWN, FAILURES, STARTED, UP
from acechat.batch.report.quantiles import bucket

__all__ = ["LongRow", "Slot", "Timeline"]

_FINEST = 1 / 16
"""Seconds of a slot, at first. A power of 2: multiples of it are exact."""

_MOST = 240
"""Slots of a time line. If there are more, two become one."""

_LONGEST_ROWS = 10
_LATEST, _LONGEST = 2.0**36, 2.0**30
"""Times and durations, in seconds, that a damaged line may exceed."""

_REFUSALS = {FAILURES["limit"], FAILURES["overload"]}


class Slot(Struct, kw_only=True):
    """Figures of one interval of time."""

    done: int = 0
    failed: int = 0
    refused: int = 0
    """Requests that the service refused because of a limit or an overload."""

    broken: int = 0
    """Requests that failed because the service or the network did."""

    tokens: int = 0
    cost: float = 0.0
    busy: float = 0.0
    """Seconds of all requests together."""

    down: float = 0.0
    """Seconds of outages."""

    starts: int = 0
    """Starts of the run."""

    latencies: Counter[int] = field(default_factory=Counter[int])
    """Number of requests with a completion, by `bucket` of their duration."""

    first: float = inf
    last: float = -inf
    """Times between which something happened."""

    seconds: float = 0.0
    """Duration; of the first and the last slot of a start, from or to `first` or `last`."""

    cut: bool = False
    """Whether time between two starts was left out before this slot."""

    def add(self, other: Slot) -> None:
        """Add the figures of *other*."""
        for name in ("done", "failed", "refused", "broken", "tokens", "cost", "busy", "down"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.starts += other.starts
        self.latencies += other.latencies
        self.first, self.last = min(self.first, other.first), max(self.last, other.last)


class LongRow(Struct, frozen=True, order=True):
    """A row whose last request took long."""

    seconds: float
    row: int
    custom_id: str
    error: str
    """Code of its error; empty if it is done."""


class Timeline:
    """The figures of a run over time; rows and events may be added in any order.

    All times are seconds since 1970.

    Attributes:
        width: Seconds of a slot.
        outages: Number of outages.
        longest: The rows whose last request took longest.
    """

    def __init__(self) -> None:
        self.width: float = _FINEST
        self.outages: int = 0
        self.longest: list[LongRow] = []
        self._slots: dict[int, Slot] = {}
        self._down_since: float | None = None
        self._last_event = -inf

    def row(
        self,
        row: LongRow,
        started: float,
        *,
        tokens: int = 0,
        cost: float = 0.0,
    ) -> None:
        """Add the result of a row whose last request left at *started*."""
        seconds = row.seconds
        if not (0 < started < _LATEST and 0 <= seconds < _LONGEST):
            return
        self._spread(started, started + seconds, "busy")
        slot = self._slot(started + seconds)
        slot.tokens += tokens
        slot.cost += cost
        if row.error:
            slot.failed += 1
        else:
            slot.done += 1
            slot.latencies[bucket(seconds)] += 1
        if len(self.longest) < _LONGEST_ROWS:
            heappush(self.longest, row)
        else:
            heappushpop(self.longest, row)

    def event(self, code: int, time: float) -> None:
        """Add an event of `acechat.batch.report.events`, in their order."""
        if not 0 < time < _LATEST:
            return
        if code in (
            STARTED,
            UP,
        ):  # a start that was killed during an outage has not recorded its end
            self.end(time if code == UP else self._last_event)
        slot = self._slot(time)
        if code == STARTED:
            slot.starts += 1
        elif code == DOWN:
            self.end(time)
            self.outages += 1
            self._down_since = time
        elif code != UP:
            slot.refused += code in _REFUSALS
            slot.broken += code not in _REFUSALS
        self._last_event = time

    def end(self, time: float | None = None) -> None:
        """End an outage that has not ended, at *time* or the last event."""
        if self._down_since is not None:
            end = self._last_event if time is None else time
            self._spread(self._down_since, min(end, self._down_since + _LONGEST), "down")
            self._down_since = None

    def slots(self) -> list[Slot]:
        """Return the slots in order, without those between two starts, in which nothing ran."""
        while (slots := self._in_order()) is None:
            self._widen()
        return slots

    def _in_order(self) -> list[Slot] | None:
        """Return the slots; None if there are too many."""
        slots: list[Slot] = []
        keys = sorted(self._slots)
        for at, key in enumerate(keys):
            slot = self._slots[key]
            missing = key - keys[at - 1] - 1 if at else 0
            slot.cut = bool(missing and slot.starts)
            if missing and not slot.starts:
                if len(slots) + missing >= _MOST:
                    return None
                slots += [Slot(seconds=self.width) for _ in range(missing)]
            following = self._slots[keys[at + 1]] if at + 1 < len(keys) else None
            ends = following is None or (bool(following.starts) and keys[at + 1] > key + 1)
            begin = slot.first if slot.cut or not at else key * self.width
            slot.seconds = max(0.0, (slot.last if ends else (key + 1) * self.width) - begin)
            slots.append(slot)
        return slots

    def _slot(self, time: float) -> Slot:
        """Return the slot of *time*, in which something happens."""
        slot = self._slots.get(int(time // self.width))
        if slot is None:
            slot = self._slots[int(time // self.width)] = Slot()
            while len(self._slots) > _MOST:
                self._widen()
            slot = self._slots[int(time // self.width)]
        slot.first, slot.last = min(slot.first, time), max(slot.last, time)
        return slot

    def _spread(self, begin: float, end: float, name: str) -> None:
        """Add the seconds from *begin* to *end* to the field *name* of their slots."""
        while (end - begin) / self.width > _MOST:
            self._widen()
        while begin < end:
            slot = self._slot(begin)
            until = min(end, (begin // self.width + 1) * self.width)
            setattr(slot, name, getattr(slot, name) + until - begin)
            slot.last = max(slot.last, until)
            begin = until

    def _widen(self) -> None:
        self.width *= 2
        slots, self._slots = self._slots, {}
        for key, slot in slots.items():
            if (other := self._slots.get(key // 2)) is None:
                self._slots[key // 2] = slot
            else:
                other.add(slot)
