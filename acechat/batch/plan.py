"""Plan a restart: compare the journal with the options and the input. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from acechat.batch.rows import RawRow
from acechat.batch.storage.journal import DONE, SENT, UNSENT, RowStates
from acechat.errors import JournalError

__all__ = ["Plan", "Unknown", "check_options", "check_unknown"]

Unknown: TypeAlias = Literal["fail", "resend", "skip"]
"""Treatment of rows that were sent, and whose result is not known: refuse to start, send them
again, or report each as an error and never send a row again that may have been charged."""

_LONGEST = 60


def check_options(before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Compare the options of the journal with those of this start.

    Raises:
        JournalError: They differ; the message lists the differences.
    """
    changed = [
        f"{name} was {_short(before.get(name))}, now {_short(now.get(name))}"
        for name in sorted({*before, *now})
        if before.get(name) != now.get(name)
    ]
    if changed:
        raise JournalError(
            f"the options differ from those of the first start: {'; '.join(changed)}. "
            "Use the same ones, or another output"
        )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def check_unknown(rows: int, unknown: Unknown) -> None:
    """Check that the treatment of unknown rows is known, if there are any.

    Raises:
        JournalError: It is not.
    """
    if rows and unknown == "fail":
        number = "1 row was" if rows == 1 else f"{rows:,} rows were"
        raise JournalError(
            f"{number} sent without a known result, and may have been charged. Choose: "
            "--unknown resend (unknown='resend') sends them again, --unknown skip "
            "(unknown='skip') reports them as errors"
        )


class Plan:
    """The rows that a start sends, by the states of the journal.

    Args:
        states: The states of the rows.
        unknown: Treatment of rows whose result is unknown.
        keep: Whether they stay unknown, and do not run.

    Raises:
        JournalError: There are unknown rows, and *unknown* is ``"fail"``.
    """

    def __init__(self, states: RowStates, *, unknown: Unknown, keep: bool = False) -> None:
        self.states = states
        self.known_rows: int = states.rows
        self._keep = keep
        if not keep:
            check_unknown(states.count(SENT), unknown)

    def runs(self, row: int) -> bool:
        """Return True if *row* is sent, or reported as skipped, by this start."""
        state = self.states[row]
        return state == UNSENT or (state == SENT and not self._keep)

    def sent_before(self, row: int) -> bool:
        """Return True if an earlier start has sent *row*, without a known result."""
        return self.states[row] == SENT

    @property
    def pending(self) -> bool:
        """Whether any row before the end of the journal must run."""
        states = self.states
        return bool(states.count(UNSENT) + states.count(SENT))

    def check_row(self, raw: RawRow) -> None:
        """Compare a row with the journal.

        Raises:
            JournalError: It was sent or is done, and its content has changed since.
        """
        known = self.states[raw.number] in (DONE, SENT)
        if known and self.states.content(raw.number) != raw.content:
            raise JournalError(
                f"line {raw.line} of the input has changed since its row was sent: "
                f"{_short(raw.data.decode(errors='replace'))}. Restore the input, or use another "
                "output"
            )

    def check_end(self, rows: int) -> None:
        """Compare the number of rows of the complete input with the journal.

        Raises:
            JournalError: Rows are missing.
        """
        if rows < self.known_rows:
            raise JournalError(
                f"the input has {rows:,} rows, but row {self.known_rows:,} has been sent: "
                "restore the input, or use another output"
            )
