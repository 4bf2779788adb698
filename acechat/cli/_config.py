"""``acechat config``."""

from __future__ import annotations

import sys
from inspect import signature

import click
import msgspec

from acechat import AsyncClient
from acechat.cli._secrets import forget, keep, to_keyring
from acechat.cli._settings import DEFAULT_URL, NAMES, file_path, masked, parse, read
from acechat.cli._text import on_terminal, one_line

__all__ = ["config"]

_NAME = click.Choice(list(NAMES))


@click.group(
    invoke_without_command=True,
    epilog="""\b
Examples:
  acechat config                     what holds now, and where it comes from
  acechat config set token           asks for the token, and keeps it in the keyring
  acechat config set model claude-opus-4-20250514
  acechat config unset model
""",
)
@click.pass_context
def config(context: click.Context) -> None:
    """Show the settings and where each comes from: file < environment < command line."""
    if context.invoked_subcommand is not None:
        return
    settings = read()
    values = msgspec.to_builtins(settings)
    if settings.token is not None:
        values["token"] = masked(settings.token)
    values["model"] = values["model"] or signature(AsyncClient).parameters["model"].default
    values["base_url"] = values["base_url"] or DEFAULT_URL
    shown = {name: "-" if values[name] is None else one_line(str(values[name])) for name in NAMES}
    width = max(map(len, shown.values()))
    for name, value in shown.items():
        click.echo(f"{name:<9}  {value:<{width}}  {settings.sources.get(name, 'default')}")
    path = file_path()
    click.echo(f"\nThe file is {path}{'' if path.exists() else ', which does not exist yet'}.")


@config.command(name="set")
@click.argument("name", type=_NAME)
@click.argument("value", required=False)
def set_(name: str, value: str | None) -> None:
    """Keep a setting; without VALUE, ask for it.

    The token goes into the system's keyring, if the package keyring is installed, else into the
    file, which only you can read then.
    """
    if value is None:
        value = _asked_for(name)
    checked = parse(name, value.strip())
    path = file_path()
    if name == "token":
        _check_token(checked)
        if to_keyring(checked):
            forget(path, name)
            click.echo("kept in the keyring")
            return
    keep(path, name, checked)
    click.echo(f"kept in {path}")


def _asked_for(name: str) -> str:
    if not on_terminal(sys.stdin):
        return sys.stdin.readline()
    answer: str = click.prompt(name, hide_input=name == "token", err=True)
    return answer


def _check_token(token: str) -> None:
    AsyncClient(token, base_url="https://localhost", proxy="")  # refuses what is none


@config.command()
@click.argument("name", type=_NAME)
def unset(name: str) -> None:
    """Forget a setting."""
    if name == "token":
        to_keyring(None)
    forget(file_path(), name)
    click.echo(f"{name} is not set any more")
