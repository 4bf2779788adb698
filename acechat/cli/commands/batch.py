"""``acechat batch``."""

from __future__ import annotations

import asyncio
import sys
from decimal import Decimal
from typing import Any

import click
from msgspec import Struct
from msgspec.structs import replace

from acechat import (
    AsyncBatch,
    BatchStoppedError,
    BatchSummary,
    Budget,
    Output,
    RateLimit,
)
from acechat.batch.report.files import write_report
from acechat.batch.status import check_rows, export
from acechat.cli.batch_output import check_output, check_report
from acechat.cli.calls.cluster import cluster_options, ray_batch, status_of
from acechat.cli.options import complete_model, complete_option, read_options
from acechat.cli.service import connect, service_options, target
from acechat.cli.settings import Settings, read
from acechat.cli.signals import signals_drain
from acechat.cli.terminal.batch import Display, summary_lines
from acechat.cli.terminal.text import one_line

__all__ = ["batch"]

_STOPPED = 75
"""Exit code of a run that the same command continues (``EX_TEMPFAIL`` of sysexits.h)."""

_FAILED, _FAULTY, _SIGNALLED = 1, 2, 128
_STATUS = "status"


class _Job(Struct, frozen=True):
    """The arguments of one run."""

    input: str
    arguments: dict[str, Any]
    progress: str
    format: str
    report: str | None


@click.command(
    epilog="""\b
Examples:
  acechat batch prompts.jsonl -o results.jsonl
  acechat batch rows.csv -o out.jsonl --prompt "Translate to French: {text}"
  acechat batch prompts.jsonl --check
  acechat batch prompts.jsonl -o results.jsonl --budget 20 --rpm 600
  acechat batch prompts.jsonl -o results.jsonl --retry-failed
  acechat batch prompts.parquet -o results --ray auto
  acechat batch status results.jsonl

\b
Exit codes: 0 all rows are done; 1 rows have failed; 2 wrong usage; 75 stopped, and
the same command continues (credit, token, model, budget, disk); 130 and 143 after a
signal: the first one waits for the running requests, the second does not.
"""
)
@click.argument("words", nargs=-1, required=True, metavar="INPUT | status OUTPUT")
@click.option("-o", "--output", metavar="FILE", help="Output, JSON Lines; with --ray, a folder.")
@click.option(
    "-m",
    "--model",
    metavar="NAME",
    shell_complete=complete_model,
    help="Model of rows without one.",
)
@click.option("-s", "--system", metavar="TEXT", help="System prompt of rows without one.")
@click.option(
    "--prompt",
    "template",
    metavar="TEXT",
    help="User message with {column} for the columns of a row.",
)
@click.option(
    "--image",
    "image_field",
    metavar="COLUMN",
    help="Column with the image of a row: a path or URL.",
)
@click.option(
    "--option",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    shell_complete=complete_option,
    help="Set a request field: max_tokens=100. Repeatable.",
)
@click.option(
    "--schema",
    metavar="FILE|FIELDS",
    help="JSON Schema of the responses; or fields: 'name, age int'.",
)
@click.option("--check", is_flag=True, help="Report the faults of all rows; send nothing.")
@click.option(
    "--unknown",
    type=click.Choice(["fail", "resend", "skip"]),
    default="fail",
    show_default=True,
    help="Rows that a killed run had sent, without a result: refuse to start, send them again "
    "(and perhaps pay twice), or report them as errors.",
)
@click.option("--retry-failed", is_flag=True, help="Send failed rows again.")
@click.option(
    "--allow-truncated", is_flag=True, help="Count responses truncated at max_tokens as done."
)
@click.option(
    "--concurrency",
    type=click.IntRange(1),
    metavar="N",
    help="Requests at a time; default: as many as the service bears.",
)
@click.option(
    "--max-concurrency",
    type=click.IntRange(1),
    default=256,
    show_default=True,
    metavar="N",
    help="Maximum of requests at a time.",
)
@click.option(
    "--rpm",
    type=click.IntRange(1),
    metavar="N",
    help="Maximum of requests per minute.",
)
@click.option("--tpm", type=click.IntRange(1), metavar="N", help="Maximum of tokens per minute.")
@click.option("--budget", type=Decimal, metavar="CREDITS", help="Stop after this cost.")
@click.option(
    "--fsync",
    type=click.Choice(["group", "each", "never"]),
    default="group",
    show_default=True,
    help="Force results to the disk every 50 ms, with each request, or never.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["jsonl", "csv", "parquet", "text"]),
    default="jsonl",
    show_default=True,
    help="Also write a table, at the end.",
)
@click.option(
    "--progress",
    type=click.Choice(["auto", "json", "none"]),
    default="auto",
    show_default=True,
    help="Display on stderr.",
)
@click.option(
    "--report",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Write an HTML page with plots, at the end, or of a run whose status is asked for.",
)
@click.option("--timeout", type=float, metavar="SECONDS", help="Limit for each response.")
@click.option("--json", "json_", is_flag=True, help="Print the summary, or the status, as JSON.")
@service_options
@cluster_options
def batch(words: tuple[str, ...], **flags: Any) -> int:
    """Send the prompts of INPUT, and save each result in the output as it arrives.

    INPUT is JSON Lines (prompts, request bodies, or OpenAI's Batch API), CSV, Parquet, text with a
    prompt per line, or - for standard input. A run that was stopped or killed is continued by the
    same command.
    """
    output = flags["output"]
    source, *others = words
    if source == _STATUS and output is None and len(others) == 1:
        _show(status_of(others[0]), as_json=flags["json_"])
        if flags["report"] is not None:
            check_report(flags["report"], "-", others[0], "jsonl")
            _report(others[0], flags["report"], None)
        return 0
    if others:
        raise click.UsageError("give one INPUT, or status OUTPUT")
    if flags["check"]:
        return _check(source, flags["template"], flags["image_field"])
    if output is None:
        raise click.UsageError("the output is missing: -o results.jsonl")
    check_output(source, output, "jsonl" if flags["ray"] else flags["format_"])
    if flags["report"] is not None:
        check_report(flags["report"], source, output, flags["format_"])
    names = ("model", "system", "timeout", "base_url")
    settings = read({name: flags[name] for name in names}, emulator=flags["emulator"])
    shown = flags["progress"], flags["format_"], flags["report"]
    job = _Job(source, _arguments(flags, settings), *shown)
    if flags["ray"] is not None:
        with target(settings, emulator=flags["emulator"]) as resolved:
            running = ray_batch(source, flags, job.arguments, resolved)
            job = replace(job, format="jsonl")  # the workers write the tables
            return asyncio.run(_run_batch(running, job, as_json=flags["json_"]))
    return asyncio.run(_run(job, settings, emulator=flags["emulator"], as_json=flags["json_"]))


def _arguments(flags: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """Return the arguments of `AsyncClient.batch`."""
    rpm, tpm = flags["rpm"], flags["tpm"]
    limit = RateLimit(requests_per_minute=rpm, tokens_per_minute=tpm) if rpm or tpm else None
    names = (
        "output",
        "template",
        "image_field",
        "max_concurrency",
        "unknown",
        "retry_failed",
    )
    return {
        **read_options(flags["options"]),
        **{name: flags[name] for name in (*names, "allow_truncated", "fsync")},
        "system": settings.system,
        "model": settings.model,
        "timeout": settings.timeout,
        "concurrency": flags["concurrency"] or "auto",
        "rate_limit": limit,
        "budget": None if flags["budget"] is None else Budget(credits=flags["budget"]),
        "output_type": None if flags["schema"] is None else _output_type(flags["schema"]),
    }


def _output_type(schema: str) -> Output[Any]:
    from acechat.cli.calls.schema import read_schema

    return Output.from_schema(read_schema(schema))


def _check(path: str, template: str | None, image_field: str | None) -> int:
    rows = faults = 0
    for row in check_rows(path, template, image_field):
        rows += 1
        if row.fault:
            faults += 1
            click.echo(f"{one_line(path)}:{row.line}: {one_line(row.fault)}")
    click.echo(f"{rows:,} rows, {faults:,} with a fault", err=True)
    return _FAULTY if faults else 0


async def _run(job: _Job, settings: Settings, *, emulator: bool, as_json: bool) -> int:
    async with connect(settings, emulator=emulator) as client:
        running = client.batch(job.input, **job.arguments)
        return await _run_batch(running, job, as_json=as_json)


async def _run_batch(running: AsyncBatch, job: _Job, *, as_json: bool) -> int:
    stopped: BatchStoppedError | None = None
    received: list[int] = []
    with signals_drain(running, received):
        async with Display(running, job.input, job.progress):
            try:
                await running.collect()
            except BatchStoppedError as error:
                stopped = error
            finally:
                await running.aclose()
    summary = running.summary
    _show(summary, as_json=as_json)
    if job.report is not None:
        await asyncio.to_thread(_report, job.arguments["output"], job.report, summary.total)
    if received:
        return _SIGNALLED + received[0]
    if stopped is not None:
        step = f"{stopped.next_step}, then run" if stopped.next_step else "run"
        reason = one_line(stopped.reason).rstrip(".")
        click.echo(f"acechat: stopped: {reason}. Next: {step} the same command again", err=True)
        return _STOPPED
    if job.format != "jsonl":
        table: Any = job.format
        click.echo(
            f"written: {await asyncio.to_thread(export, job.arguments['output'], table)}", err=True
        )
    if summary.failed:
        click.echo(
            "acechat: rows have failed. Next: the same command with --retry-failed", err=True
        )
    return _FAILED if summary.failed else 0


def _report(output: str, path: str, total: int | None) -> None:
    write_report(output, path, total)
    click.echo(f"written: {one_line(path)}", err=True)


def _show(summary: BatchSummary, *, as_json: bool) -> None:
    if as_json:
        from acechat.cli.terminal.json import show_json

        show_json(summary, sys.stdout)
        return
    for line in summary_lines(summary):
        click.echo(line)
