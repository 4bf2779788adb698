"""From what a client did to the word in the table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from benchmarks.conformance.faults import Fault

__all__ = ["Cell", "Verdict", "judge"]

Verdict: TypeAlias = Literal["ok", "typed", "foreign", "SILENT", "LOST", "hang"]


class Cell(Struct, frozen=True, kw_only=True):
    """One client, one fault."""

    fault: str
    verdict: Verdict

    detail: str
    """The exception that was raised, or the text that came instead of the right one."""

    wasted: bool
    """Whether the client raised though a whole answer had come, or would have."""

    seconds: float
    """How long it took, all calls of the cell together."""

    @property
    def good(self) -> bool:
        """Whether acechat may do this."""
        return self.verdict in {"ok", "typed"} and not self.wasted


def judge(fault: Fault, outcome: Mapping[str, Any] | None, seconds: float) -> Cell:
    """Say what *outcome* is worth.

    Args:
        fault: What the service did.
        outcome: What the driver wrote about it; None if it wrote nothing in time.
        seconds: How long it took.
    """
    verdict, detail = _verdict(fault, outcome)
    return Cell(
        fault=fault.name,
        verdict=verdict,
        detail=detail,
        wasted=(
            verdict in {"typed", "foreign"} and fault.answer is not None and not fault.refusable
        ),
        seconds=round(seconds, 3),
    )


def _verdict(fault: Fault, outcome: Mapping[str, Any] | None) -> tuple[Verdict, str]:
    if outcome is None:
        return "hang", ""
    if "error" in outcome:
        return "typed" if outcome["own"] else "foreign", outcome["error"]
    texts: dict[int, Any] = dict(outcome["texts"])
    if fault.answer is None:
        return "SILENT", repr(texts)
    return ("ok", "") if texts == fault.answer else ("LOST", repr(texts))
