"""``acechat config``."""

from __future__ import annotations

import sys
from inspect import signature

import click
import msgspec

from acechat import AsyncClient, ConfigurationError
from acechat.cli.secrets import remove, store, to_keyring
from acechat.cli.settings import DEFAULT_URL, NAMES, check, file_path, masked, parse, read
from acechat.cli.terminal.text import on_terminal, one_line

__all__ = ["config"]

_NAME = click.Choice(list(NAMES))

_ARGUMENTS = {"token": "api_token", "base_url": "base_url", "model": "model"}
"""Settings that are checked by creating a client, with the name of its parameter."""

_MAX_WIDTH = 50
"""Characters of a value in the table; a system prompt can be long."""


@click.group(
    invoke_without_command=True,
    epilog="""\b
Examples:
  acechat config                     the current values and their sources
  acechat config set token           prompts for the token; stores it in the keyring
  acechat config set model claude-opus-4-20250514
  acechat config unset model
""",
)
@click.pass_context
def config(context: click.Context) -> None:
    """Show the settings and their sources: file < environment < command line."""
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
    try:
        path = file_path()
    except FileNotFoundError as error:
        click.echo(f"\nFile: none. {error.strerror}")
        return
    try:
        note = "" if path.exists() else " (does not exist yet)"
    except OSError as error:  # the folder is that of another user
        note = f" ({error.strerror})"
    click.echo(f"\nFile: {path}{note}")


def _shown(value: object) -> str:
    text = "-" if value is None else one_line(str(value))
    return text if len(text) <= _MAX_WIDTH else f"{text[: _MAX_WIDTH - 3]}..."


@config.command(name="set")
@click.argument("name", type=_NAME)
@click.argument("value", required=False)
@click.option("--any-model", is_flag=True, help="Store the name of a model unchecked.")
def set_(name: str, value: str | None, *, any_model: bool) -> None:
    """Store a setting; without VALUE, prompt for it.

    The token is stored in the system's keyring if the package keyring is installed, else in the
    file, readable by you only.
    """
    if value is None:
        value = _read_value(name)
    checked = parse(name, value.strip())
    if name in _ARGUMENTS:
        check(**{_ARGUMENTS[name]: checked})
    if name == "model" and not any_model:
        from acechat.cli.library.aliases import resolved
        from acechat.cli.library.models import check_model

        checked = resolved(checked)
        check_model(checked, read().base_url)
    path = file_path()
    if name == "token" and to_keyring(checked):
        remove(path, name)
        click.echo("stored in the keyring")
        return
    store(path, name, checked)
    click.echo(f"stored in {path}")


def _read_value(name: str) -> str:
    if sys.stdin is None:  # closed by the parent process
        raise ConfigurationError(f"no value for {name}. Next: acechat config set {name} VALUE")
    if not on_terminal(sys.stdin):
        try:
            return sys.stdin.readline()
        except UnicodeDecodeError:
            raise ConfigurationError(f"{name} is not valid {sys.stdin.encoding} text") from None
    value: str = click.prompt(name, hide_input=name == "token", err=True)
    return value


@config.command()
@click.argument("name", type=_NAME)
def unset(name: str) -> None:
    """Remove a setting."""
    if name == "token":
        to_keyring(None)
    remove(file_path(), name)
    click.echo(f"removed {name}")
