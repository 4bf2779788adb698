"""The command group: parse arguments, map errors to exit codes."""

from __future__ import annotations

import errno
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any

import click

from acechat import AceChatError, ConfigurationError, __version__
from acechat.cli.errors import INTERRUPTED, REFUSED, WRONG, explain, explain_usage
from acechat.cli.terminal.text import prepare_streams, silence

__all__ = ["cli", "run"]

_COMMANDS = {
    "chat": "Send a prompt, or start a conversation.",
    "batch": "Send the prompts of a file, and resume after an interruption.",
    "models": "List the models that the service offers.",
    "history": "List, search, show, export and delete conversations.",
    "doctor": "Diagnose the installation, the token and the network.",
    "config": "Show and change settings.",
    "templates": "List, show and delete templates of prompts.",
    "emulate": "Run the emulator on localhost.",
    "completion": "Print the completion script of a shell.",
}
"""Short help of the commands; the module of each is imported when the command runs."""

_GROUP_OPTIONS = {"-h", "--help", "--version"}

_SIMILAR = 0.8
"""Similarity (0 to 1) to a command from which on a word is not sent as a prompt."""

_NO_COMMAND: Any = getattr(click.exceptions, "NoArgsIsHelpError", ())
"""Raised for a group without a command; click before 8.2 has no such error."""


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; an error is one line on stderr."""
    prepare_streams()
    try:
        code: object = cli.main(list(arguments), prog_name="acechat", standalone_mode=False)
    except click.ClickException as error:
        if isinstance(error, _NO_COMMAND):
            error.show()
        else:
            click.echo(explain_usage(error), err=True)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except (ConfigurationError, TypeError) as error:
        return _fail(error, WRONG)
    except (AceChatError, OSError) as error:
        return _fail(error, REFUSED)
    return code if isinstance(code, int) else 0


def _fail(error: Exception, code: int) -> int:
    if isinstance(error, OSError) and error.errno in {errno.EPIPE, errno.EIO, errno.ENOSPC}:
        silence(sys.stdout)
    if not isinstance(error, BrokenPipeError):  # `... | head -1` is normal use
        with suppress(OSError):  # the terminal was closed
            click.echo(explain(error), err=True)
    return code


class _LazyGroup(click.Group):
    """Import the module of a command when it runs; without a command, run ``chat``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and self._is_prompt(ctx, args[0]):
            args = ["chat", *args]
        return super().parse_args(ctx, args)

    def _is_prompt(self, ctx: click.Context, first: str) -> bool:
        """Return True if the arguments are those of ``chat``.

        An argument that resembles a command is a misspelt one: it must not become a paid call.
        """
        if first.startswith("-"):
            return first not in _GROUP_OPTIONS
        return first not in self.list_commands(ctx) and not self._similar_command(ctx, first)

    def _similar_command(self, ctx: click.Context, name: str) -> str | None:
        from difflib import get_close_matches

        return next(iter(get_close_matches(name, self.list_commands(ctx), 1, _SIMILAR)), None)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*_COMMANDS, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _COMMANDS:
            command: click.Command = getattr(
                import_module(f"acechat.cli.commands.{cmd_name}"), cmd_name
            )
            return command
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        imported = {name: command.get_short_help_str() for name, command in self.commands.items()}
        with formatter.section("Commands"):
            formatter.write_dl(list((_COMMANDS | imported).items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.list_commands(ctx):
            close = self._similar_command(ctx, args[0])
            ctx.fail(
                f"No such command {args[0]!r}. Did you mean {close!r}? "
                "A prompt of this word: acechat chat " + args[0]
            )
        return super().resolve_command(ctx, args)


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  acechat --emulator "Hello"          try it without a token
  acechat config set token            store your token
  acechat "Hello"                     send a prompt; short for acechat chat "Hello"
  acechat doctor                      find the cause of a failure
""",
)
@click.version_option(__version__, prog_name="acechat")
def cli() -> None:
    """Chat with Claude through AceData Cloud."""


@cli.command(name="help")
@click.argument("command", nargs=-1)
@click.pass_context
def help_(context: click.Context, command: tuple[str, ...]) -> None:
    """Show the help of a command."""
    found: click.Command = cli
    context = context.find_root()
    for name in command:
        child = found.get_command(context, name) if isinstance(found, click.Group) else None
        if child is None:
            raise click.UsageError(f"No such command {' '.join(command)!r}.", context)
        found, context = child, click.Context(child, info_name=name, parent=context)
    click.echo(found.get_help(context))
