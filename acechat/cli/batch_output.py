"""The output that `acechat batch` may write."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from acechat.batch.status import table_path

__all__ = ["check_output"]


def check_output(source: str, output: str, table: Any) -> None:
    """Refuse an output that this command would write to otherwise, too.

    Raises:
        click.UsageError: It is standard output or standard error.
        ConfigurationError: A table of the format *table* would replace the input or the output.
    """
    shared = output == "-"
    for stream in (1, 2):
        with suppress(OSError):  # there is no such file yet, or the stream is closed
            shared |= os.path.samestat(Path(output).stat(), os.fstat(stream))
    if shared:
        raise click.UsageError("the output must be a file of its own: -o results.jsonl")
    if table != "jsonl":
        table_path(output, table, source)
