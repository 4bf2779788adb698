"""Bulk runs: rows from a file or an iterable, a journal, and results as each row ends.

`acechat.AsyncClient.batch` and `acechat.AsyncClient.map` start them; `docs/howto/batch.md` explains
them, and `docs/reference/batch.md` the formats of the files.
"""

from __future__ import annotations

from acechat.batch.results import BatchProgress, BatchResult, BatchSummary, ErrorCount
from acechat.batch.sources import BatchInput, BatchItem

__all__ = [
    "BatchInput",
    "BatchItem",
    "BatchProgress",
    "BatchResult",
    "BatchSummary",
    "ErrorCount",
]
