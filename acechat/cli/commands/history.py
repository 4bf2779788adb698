"""``acechat history``."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence
from typing import Any

import click
import msgspec

from acechat import ConfigurationError
from acechat._files import write
from acechat.cli.history import find, store
from acechat.cli.library.store import Entry
from acechat.cli.settings import expanded
from acechat.cli.terminal.text import DIM, UNDIM, clean, draws, on_terminal, one_line

__all__ = ["history"]

_LIMIT = 20
_json = click.option("--json", is_flag=True, help="Print JSON.")
_count = click.option(
    "-n", "--count", type=click.IntRange(1), default=_LIMIT, help="Maximum number of lines."
)


@click.group(
    invoke_without_command=True,
    epilog="""\b
Examples:
  acechat history                       the latest conversations
  acechat history search paris          those that contain a word
  acechat history show c12
  acechat chat --continue c12           go on with one
  acechat history export c12 talk.md
  acechat history delete c12
""",
)
@click.pass_context
def history(context: click.Context) -> None:
    """List the conversations; search, show, export or delete them."""
    if context.invoked_subcommand is None:
        _show(store().latest(_LIMIT), json=False)


@history.command(name="list")
@_count
@click.option("-a", "--all", "every", is_flag=True, help="List all.")
@_json
def list_(*, count: int, every: bool, json: bool) -> None:
    """List the conversations, the latest first."""
    _show(store().latest(-1 if every else count), json=json)


@history.command()
@click.argument("words", nargs=-1, required=True)
@_count
@_json
def search(words: tuple[str, ...], *, count: int, json: bool) -> None:
    """List the conversations that contain all WORDS, the best match first."""
    found = store().search(words, count)
    if not found and not json:
        raise ConfigurationError(f"no conversation contains {' and '.join(map(repr, words))}")
    _show(found, json=json)


@history.command()
@click.argument("name", metavar="[ID]", default="")
@_json
def show(name: str, *, json: bool) -> None:
    """Show a conversation; without ID, the last one."""
    from acechat.cli.library.texts import markdown_of

    entry = find(name)
    if json:
        from acechat.cli.terminal.json import show_json

        show_json(_saved(entry), sys.stdout)
        return
    text = clean(markdown_of(entry.messages, entry.system))
    if draws(sys.stdout):
        from acechat.cli.terminal.rendering import Renderer

        width = shutil.get_terminal_size().columns
        text = "\n".join(Renderer(sys.stdout).render(text, width))
    click.echo(text)


@history.command()
@click.argument("name", metavar="ID")
@click.argument("file", type=click.Path(), required=False)
@click.option("-y", "--yes", is_flag=True, help="Replace an existing file.")
def export(name: str, file: str | None, *, yes: bool) -> None:
    """Write a conversation to FILE, or to standard output: .json for --load, else Markdown."""
    from acechat.cli.library.texts import markdown_of

    entry = find(name)
    if file is None or file.lower().endswith(".json"):
        data = msgspec.json.format(msgspec.json.encode(_saved(entry)))
    else:
        data = clean(markdown_of(entry.messages, entry.system)).encode(errors="replace")
    if file is None:
        click.echo(clean(data.decode()))
        return
    path = expanded(file)
    if path.exists() and not yes:
        _ask(f"replace {str(path)!r}?")
    write(path, data + b"\n")
    click.echo(f"saved {path}", err=True)


@history.command()
@click.argument("names", metavar="ID...", nargs=-1)
@click.option("-a", "--all", "every", is_flag=True, help="Delete all conversations.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def delete(names: tuple[str, ...], *, every: bool, yes: bool) -> None:
    """Delete conversations."""
    if every == bool(names):
        raise click.UsageError("expected ids, or --all")
    entries = [] if every else [find(name) for name in names]
    if not yes:
        titles = ", ".join(f"{entry.name} {one_line(entry.title)}" for entry in entries)
        _ask(f"delete {'all conversations' if every else titles}?")
    count = store().delete(None if every else [entry.id for entry in entries])
    click.echo(f"deleted {count}")


def _ask(question: str) -> None:
    if not on_terminal(sys.stdin):
        raise click.UsageError(f"{question} Next: --yes agrees")
    click.confirm(question, abort=True, err=True)


def _saved(entry: Entry) -> dict[str, Any]:
    """Return the form that ``--load`` reads."""
    fields = {"messages": entry.messages, "system": entry.system, "model": entry.model}
    return {**fields, "acechat": 1}


def _show(entries: Sequence[Entry], *, json: bool) -> None:
    if json:
        from acechat.cli.terminal.json import show_json

        rows = [
            {
                "id": entry.name,
                "title": entry.title,
                "created": entry.created,
                "changed": entry.changed,
                "model": entry.model,
                "messages": len(entry.messages),
            }
            for entry in entries
        ]
        show_json(rows, sys.stdout)
        return
    if not entries:
        click.echo("there is no conversation yet", err=True)
    width = max((len(entry.name) for entry in entries), default=0)
    dim, undim = (DIM, UNDIM) if draws(sys.stdout) else ("", "")
    for entry in entries:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.changed))
        click.echo(f"{entry.name:<{width}}  {dim}{when}{undim}  {one_line(entry.title)}")
        if entry.excerpt:
            click.echo(f"{'':<{width}}  {dim}{clean(entry.excerpt)}{undim}")
