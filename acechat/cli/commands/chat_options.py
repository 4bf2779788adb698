"""The options of ``acechat chat``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from acechat.cli.options import complete_model, complete_option
from acechat.cli.service import service_options

__all__ = ["chat_options"]

_F = TypeVar("_F", bound=Callable[..., Any])


def _complete_template(_: object, __: object, incomplete: str) -> list[str]:
    from acechat.cli.library.templates import names

    return [name for name in names() if name.startswith(incomplete)]


_PATH = click.Path(allow_dash=True)

_OPTIONS = [
    click.option(
        "-m",
        "--model",
        metavar="NAME",
        shell_complete=complete_model,
        help="Name or alias of the model; acechat models lists them.",
    ),
    click.option("--any-model", is_flag=True, help="Send the name of the model unchecked."),
    click.option("-s", "--system", metavar="TEXT", help="System prompt of the conversation."),
    click.option(
        "-f",
        "--file",
        "files",
        multiple=True,
        type=click.Path(),
        metavar="FILE",
        help="Send a text file, or all that match a pattern, before the prompt. Repeatable.",
    ),
    click.option(
        "-a",
        "--attach",
        "attachments",
        multiple=True,
        type=_PATH,
        metavar="FILE|URL",
        help="Send an image or a document; - reads standard input. Repeatable.",
    ),
    click.option(
        "-i",
        "--image",
        "images",
        multiple=True,
        type=_PATH,
        metavar="FILE|URL",
        help="Send an image; - reads standard input. Repeatable.",
    ),
    click.option(
        "-o",
        "--option",
        "options",
        multiple=True,
        metavar="KEY=VALUE",
        shell_complete=complete_option,
        help="Set a request field: temperature=0, stop=END. Repeatable.",
    ),
    click.option(
        "--max-tokens",
        type=click.IntRange(1),
        metavar="N",
        help="Maximum number of tokens of the response.",
    ),
    click.option(
        "-n", "--choices", type=click.IntRange(1), metavar="N", help="Number of responses."
    ),
    click.option(
        "--schema",
        metavar="FILE|FIELDS",
        help="Print JSON that fits a JSON Schema, or fields: 'name, age int, bio: one line'.",
    ),
    click.option("-x", "--extract", is_flag=True, help="Print only the last code block."),
    click.option(
        "--tool",
        "tools",
        multiple=True,
        metavar="MODULE:FUNCTION",
        help="Let the model call a function, after your approval. Repeatable.",
    ),
    click.option(
        "--functions",
        multiple=True,
        type=click.Path(),
        metavar="FILE",
        help="Let the model call the functions of a Python file. Repeatable.",
    ),
    click.option(
        "--mcp",
        multiple=True,
        metavar="COMMAND|URL",
        help="Let the model call the tools of an MCP server. Repeatable.",
    ),
    click.option("-y", "--yes", is_flag=True, help="Approve calls of tools and overwritten files."),
    click.option(
        "-t",
        "--template",
        metavar="NAME",
        shell_complete=_complete_template,
        help="Use a template; acechat templates lists them.",
    ),
    click.option(
        "-p",
        "--param",
        "params",
        multiple=True,
        metavar="KEY=VALUE",
        help="Set a variable of the template. Repeatable.",
    ),
    click.option(
        "--save-template",
        metavar="NAME",
        help="Save prompt and options as a template; send nothing.",
    ),
    click.option(
        "--cache",
        is_flag=True,
        help="Repeat the stored response to a request that was sent before.",
    ),
    click.option(
        "-r", "--reasoning/--no-reasoning", default=None, help="Show the model's reasoning."
    ),
    click.option(
        "-u", "--usage/--no-usage", default=None, help="Show tokens, cost and time of the response."
    ),
    click.option(
        "-c",
        "--continue",
        "resume",
        is_flag=False,
        flag_value="",
        metavar="[ID]",
        help="Continue the last conversation, or one of acechat history.",
    ),
    click.option("--log/--no-log", default=True, help="Keep the conversation in the history."),
    click.option(
        "--load", type=click.Path(), metavar="FILE", help="Continue a saved conversation."
    ),
    click.option(
        "--save",
        type=click.Path(),
        metavar="FILE",
        help="Save the conversation (FILE.json) or the response (FILE.md, ...).",
    ),
    click.option(
        "--json",
        is_flag=True,
        help="Print the completion as JSON; after a failure, the partial one.",
    ),
    click.option(
        "--dry-run",
        is_flag=True,
        help="Send nothing; print the request as a curl command, or with --json its body.",
    ),
    click.option("--no-stream", is_flag=True, help="Show the response when it is complete."),
    click.option(
        "--timeout", type=float, metavar="SECONDS", help="Limit for the complete response."
    ),
]


def chat_options(command: _F) -> _F:
    """Add the argument and the options of ``acechat chat`` to *command*."""
    command = service_options(command)
    for option in reversed(_OPTIONS):
        command = option(command)
    return click.argument("prompt", nargs=-1)(command)
