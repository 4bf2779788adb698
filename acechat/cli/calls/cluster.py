"""``acechat batch --ray``: a bulk run on a cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import click

from acechat import BatchSummary, ConfigurationError
from acechat.batch.cluster.segments import folder_status, is_folder
from acechat.batch.status import read_status
from acechat.cli.settings import Settings

__all__ = ["cluster_options", "ray_batch", "status_of"]

_F = TypeVar("_F", bound=Callable[..., Any])

_QUIET = {"RAY_BACKEND_LOG_LEVEL": "fatal", "RAY_USAGE_STATS_ENABLED": "0"}
"""Ray's own messages on the terminal, and its reports to its makers; the user's values count."""


def cluster_options(command: _F) -> _F:
    """Add ``--ray`` and ``--workers`` to *command*."""
    address = click.option(
        "--ray",
        metavar="ADDRESS",
        help="Run on this Ray cluster (auto, local, or its address): INPUT is Parquet, the output "
        "a folder that all machines see.",
    )
    workers = click.option(
        "--workers",
        type=click.IntRange(1),
        metavar="N",
        help="Worker processes on the cluster; default: one for each machine.",
    )
    return address(workers(command))


def ray_batch(
    source: str, flags: Mapping[str, Any], arguments: Mapping[str, Any], settings: Settings
) -> Any:
    """Return a run with the interface of `AsyncBatch`.

    Raises:
        ConfigurationError: There is no token, or Ray is not installed.
        click.UsageError: The input is not Parquet, or a report is wanted.
    """
    if Path(source).suffix.lower() != ".parquet" and not Path(source).is_dir():
        raise click.UsageError("--ray reads Parquet: a file .parquet, or a folder of them")
    if flags["report"] is not None:
        raise click.UsageError("--report describes a run on one machine, without --ray")
    client = {
        "api_token": settings.needed_token(),
        "base_url": settings.base_url,
        "proxy": settings.proxy,
    }
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    try:
        module = import_module("acechat.integrations._ray_batch")
    except ImportError:
        module = None
    if module is None:
        raise ConfigurationError("--ray needs Ray: python -m pip install 'acechat[ray]'")
    options = dict(arguments)
    output, retry_failed = options.pop("output"), options.pop("retry_failed")
    return module.RayBatch(
        source,
        output,
        address=flags["ray"],
        workers=flags["workers"],
        client=client,
        options=options,
        retry_failed=retry_failed,
        table=None if flags["format_"] == "jsonl" else flags["format_"],
    )


def status_of(output: str) -> BatchSummary:
    """Return the figures of a run on this machine or on a cluster, by its files."""
    return folder_status(output) if is_folder(output) else read_status(output)
