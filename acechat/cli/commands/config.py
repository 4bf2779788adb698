"""``acechat config``."""

from __future__ import annotations

import sys
from inspect import signature

import click
import msgspec

from acechat import AsyncClient, ConfigurationError
from acechat.cli.secrets import forget, keep, to_keyring
from acechat.cli.settings import DEFAULT_URL, NAMES, check, file_path, masked, parse, read
from acechat.cli.terminal.text import on_terminal, one_line

__all__ = ["config"]

_NAME = click.Choice(list(NAMES))

_ARGUMENTS = {"token": "api_token", "base_url": "base_url", "model": "model"}
"""What a client is asked about before it is kept, and how it calls that."""

_WIDTH = 50
"""Characters of a value that are shown: a system text can be a page."""


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
    shown = {name: _shown(values[name]) for name in NAMES}
    width = max(map(len, shown.values()))
    for name, value in shown.items():
        click.echo(f"{name:<9}  {value:<{width}}  {settings.sources.get(name, 'default')}")
    path = file_path()
    click.echo(f"\nThe file is {path}{'' if path.exists() else ', which does not exist yet'}.")


def _shown(value: object) -> str:
    text = "-" if value is None else one_line(str(value))
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 3]}..."


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
    if name in _ARGUMENTS:
        check(**{_ARGUMENTS[name]: checked})
    path = file_path()
    if name == "token" and to_keyring(checked):
        forget(path, name)
        click.echo("kept in the keyring")
        return
    keep(path, name, checked)
    click.echo(f"kept in {path}")


def _asked_for(name: str) -> str:
    if sys.stdin is None:  # closed by whoever started us
        raise ConfigurationError(f"no value. Next: acechat config set {name} VALUE")
    if not on_terminal(sys.stdin):
        try:
            return sys.stdin.readline()
        except UnicodeDecodeError:
            raise ConfigurationError(f"{name} is no text in {sys.stdin.encoding}") from None
    answer: str = click.prompt(name, hide_input=name == "token", err=True)
    return answer


@config.command()
@click.argument("name", type=_NAME)
def unset(name: str) -> None:
    """Forget a setting."""
    if name == "token":
        to_keyring(None)
    forget(file_path(), name)
    click.echo(f"{name} is not set any more")
