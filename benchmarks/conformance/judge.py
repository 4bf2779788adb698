"""Client outcome → verdict in the table."""

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
    """The name of the exception, or the wrong text."""

    wasted: bool
    """Whether the client raised although a complete response was available."""

    seconds: float
    """The duration of all calls of the cell."""

    @property
    def acceptable(self) -> bool:
        """Whether the verdict is acceptable for acechat."""
        return self.verdict in {"ok", "typed"} and not self.wasted


def judge(fault: Fault, outcome: Mapping[str, Any] | None, seconds: float) -> Cell:
    """Return the cell for *outcome*.

    Args:
        fault: The fault that the service sent.
        outcome: The driver's result; None if there was none in time.
        seconds: The duration of the calls.
    """
    verdict, detail = _verdict(fault, outcome)
    return Cell(
        fault=fault.name,
        verdict=verdict,
        detail=detail,
        wasted=(
            verdict in {"typed", "foreign"}
            and fault.expected is not None
            and not fault.error_allowed
        ),
        seconds=round(seconds, 3),
    )


def _verdict(fault: Fault, outcome: Mapping[str, Any] | None) -> tuple[Verdict, str]:
    if outcome is None:
        return "hang", ""
    if "error" in outcome:
        return "typed" if outcome["own"] else "foreign", outcome["error"]
    texts: dict[int, Any] = dict(outcome["texts"])
    if fault.expected is None:
        return "SILENT", repr(texts)
    return ("ok", "") if texts == fault.expected else ("LOST", repr(texts))
