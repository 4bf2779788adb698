"""``acechat completion``."""

from __future__ import annotations

import click

__all__ = ["completion"]

_SHELLS = ("bash", "zsh", "fish")


@click.command(
    epilog="""\b
Add one of these lines to the start-up file of your shell:
  eval "$(acechat completion bash)"               ~/.bashrc
  eval "$(acechat completion zsh)"                ~/.zshrc
  acechat completion fish | source                ~/.config/fish/config.fish
"""
)
@click.argument("shell", type=click.Choice(_SHELLS))
def completion(shell: str) -> None:
    """Print a script that makes SHELL complete commands, options and request fields."""
    from click.shell_completion import get_completion_class

    from acechat.cli.app import cli

    class_ = get_completion_class(shell)
    assert class_ is not None  # noqa: S101 - click supports these three
    click.echo(class_(cli, {}, "acechat", "_ACECHAT_COMPLETE").source())
