"""The output that `acechat batch` may write."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from acechat import ConfigurationError
from acechat.batch.status import table_path

__all__ = ["check_output", "check_report"]


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


def check_report(report: str, source: str, output: str, table: Any) -> None:
    """Refuse a report that would replace another file of the command, or has no folder.

    Raises:
        ConfigurationError: It would.
    """
    files = [source, output, f"{output}.journal"]
    if table != "jsonl":
        files.append(str(table_path(output, table)))
    path = Path(report)
    for file in files:
        if os.path.realpath(file) == os.path.realpath(path):
            raise ConfigurationError(f"--report would replace {file}: give it another name")
        with suppress(OSError):
            if path.samefile(file):
                raise ConfigurationError(f"--report would replace {file}: give it another name")
    if path.exists() and not path.is_file():
        raise ConfigurationError(f"--report: {report} is not a regular file")
    if not path.absolute().parent.is_dir():
        raise ConfigurationError(f"--report: there is no folder {path.parent}")
