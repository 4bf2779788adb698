"""`write_report`: make the page of a run from its files."""

from __future__ import annotations

import time
from pathlib import Path

from acechat._files import write
from acechat.batch.report.page import Report, render
from acechat.batch.report.timeline import Timeline
from acechat.batch.status import read_status
from acechat.errors import ConfigurationError

__all__ = ["write_report"]


def write_report(output: str | Path, path: str | Path, total: int | None = None) -> None:
    """Write the report of a run; also while it is running.

    Args:
        output: Path of its output.
        path: Path of the page.
        total: Rows of the input; None if not known.

    Raises:
        JournalError: There is no journal, or it is damaged.
        ConfigurationError: The page cannot be written.
    """
    timeline = Timeline()
    summary = read_status(output, timeline)
    summary.total = total
    report = Report(name=Path(output).name, summary=summary, timeline=timeline, now=time.time())
    try:
        write(path, render(report).encode(errors="replace"))
    except OSError as error:
        problem = f"cannot write the report {path}: {error.strerror}"
    else:
        return
    raise ConfigurationError(problem)
