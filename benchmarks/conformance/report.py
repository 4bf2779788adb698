"""The results as text, as Markdown and as JSON."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Struct

import benchmarks.conformance as kit
from benchmarks.conformance.faults import Fault
from benchmarks.conformance.judge import Cell
from benchmarks.conformance.run import OURS, Column, hangs_after

__all__ = ["Report"]


class Report(Struct, frozen=True, kw_only=True):
    """The results of one run."""

    made: str
    """The day, as ``2026-11-22``."""

    timeout: float
    """The time-out of each client, in seconds."""

    faults: tuple[Fault, ...]
    columns: tuple[Column, ...]

    missing: dict[str, str]
    """The reason for each peer that could not be installed, by name."""

    @property
    def passed(self) -> bool:
        """Whether every cell of acechat is acceptable."""
        ours = [column for column in self.columns if column.name in OURS]
        return all(
            not column.broken and all(cell.acceptable for cell in column.cells.values())
            for column in ours
        )

    def to_text(self) -> str:
        """Return the table for a terminal."""
        columns = [column for column in self.columns if not column.broken]
        rows = [["", *(column.name for column in columns)]]
        rows += [
            [fault.name, *(_verdict_text(column.cells.get(fault.name)) for column in columns)]
            for fault in self.faults
        ]
        widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
        lines = [
            "  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        return "\n".join([*lines, "", *self._troubles(), *self._sums(columns)])

    def _troubles(self) -> Iterator[str]:
        for column in self.columns:
            if column.broken:
                yield f"{column.name}: {column.broken}"
            for cell in column.cells.values():
                if column.name in OURS and not cell.acceptable:
                    yield f"{column.name}, {cell.fault}: {_verdict_text(cell)} {cell.detail}"
        for name, reason in self.missing.items():
            yield f"{name}: {reason}"

    def _sums(self, columns: Sequence[Column]) -> Iterator[str]:
        for column in columns:
            cells = column.cells.values()
            bad = sum(cell.verdict in {"SILENT", "LOST", "hang"} for cell in cells)
            foreign = sum(cell.verdict == "foreign" for cell in cells)
            wasted = sum(cell.wasted for cell in cells)
            yield (
                f"{column.name} {column.version}: {len(cells)} faults, {bad} SILENT, LOST or hang, "
                f"{foreign} foreign, {wasted} responses discarded"
            )

    def to_markdown(self) -> str:
        """Return a page for the documentation."""
        columns = [column for column in self.columns if not column.broken]
        command = "python -m benchmarks.conformance --markdown docs/conformance.md"
        peers = "".join(f" --peer {one.name}" for one in columns if one.name not in OURS)
        versions = [f"{column.name} {column.version}" for column in columns]
        python = f"{platform.python_implementation()} {platform.python_version()}"
        limit = f"{self.timeout:g} s for all; a hang took {hangs_after(self.timeout):g} s"
        lines = [
            "# The fault matrix",
            "",
            f"Made on {self.made} by `{command}{peers}`; do not edit.",
            "",
            f"Versions: {', '.join(versions)}; {python}, {platform.system()}.",
            f"Time-out: {limit}.",
            "",
            *_explanation(),
            "",
            f"| fault | {' | '.join(column.name for column in columns)} |",
            f"|---|{'---|' * len(columns)}",
        ]
        for fault in self.faults:
            words = [_markdown(column.cells.get(fault.name)) for column in columns]
            title = fault.title if fault.stream else f"plain call: {fault.title}"
            lines.append(f"| {title} | {' | '.join(words)} |")
        lines += ["", *(f"* {line}" for line in self._sums(columns))]
        broken = {column.name: column.broken for column in self.columns if column.broken}
        lines += [f"* {name} is missing: {why}" for name, why in (broken | self.missing).items()]
        return "\n".join([*lines, ""])

    def to_json(self) -> bytes:
        """Return all results."""
        results: dict[str, Any] = {
            "made": self.made,
            "timeout": self.timeout,
            "python": platform.python_version(),
            "faults": {fault.name: fault.title for fault in self.faults},
            "clients": [
                {
                    "name": column.name,
                    "version": column.version,
                    "broken": column.broken,
                    "cells": list(column.cells.values()),
                }
                for column in self.columns
            ],
            "missing": self.missing,
        }
        return msgspec.json.format(msgspec.json.encode(results))


def _verdict_text(cell: Cell | None) -> str:
    if cell is None:
        return "-"
    return f"{cell.verdict} †" if cell.wasted else cell.verdict


def _markdown(cell: Cell | None) -> str:
    word = _verdict_text(cell)
    if cell is None or cell.verdict in {"ok", "typed"}:
        return word
    if cell.verdict == "foreign":
        return f"{word}: {cell.detail.partition(':')[0]}"
    return f"**{word}**"


def _explanation() -> list[str]:
    """Return the legend: the list in the docstring of the package."""
    legend = re.search(r"^\* .*?(?=^The command)", kit.__doc__ or "", re.DOTALL | re.MULTILINE)
    return legend.group().replace("``", "`").rstrip().splitlines() if legend else []
