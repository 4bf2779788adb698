"""``acechat templates``."""

from __future__ import annotations

import click

from acechat.cli.library import templates as library
from acechat.cli.terminal.text import clean, one_line

__all__ = ["templates"]

_MAX_WIDTH = 60
"""Characters of a prompt in the list."""


@click.group(
    invoke_without_command=True,
    epilog="""\b
Examples:
  acechat chat -s "Translate into $language" --save-template translate
  acechat chat -t translate -p language=French "Good morning"
  acechat chat 'Review this: $input' -m opus --save-template review
  git diff | acechat chat -t review
  acechat templates show review
""",
)
@click.pass_context
def templates(context: click.Context) -> None:
    """List the templates; acechat chat --save-template NAME makes one."""
    if context.invoked_subcommand is not None:
        return
    names = library.names()
    width = max(map(len, names), default=0)
    for name in names:
        template = library.read(name)
        text = one_line(template.prompt or template.system or "")
        short = text if len(text) <= _MAX_WIDTH else f"{text[: _MAX_WIDTH - 3]}..."
        click.echo(f"{name:<{width}}  {short}".rstrip())
    if not names:
        click.echo("there is no template. Next: acechat chat --save-template NAME ...", err=True)


@templates.command()
@click.argument("name")
def show(name: str) -> None:
    """Print the file of a template."""
    library.read(name)
    click.echo(clean(library.template_path(name).read_text("utf-8-sig")).rstrip())


@templates.command()
@click.argument("name")
def path(name: str) -> None:
    """Print the path of a template, to edit it."""
    click.echo(str(library.template_path(name)))


@templates.command()
@click.argument("name")
def delete(name: str) -> None:
    """Delete a template."""
    library.delete(name)
    click.echo(f"deleted {name}")
