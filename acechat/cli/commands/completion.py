"""``acechat completion``."""

from __future__ import annotations

import click

__all__ = ["completion"]

_SHELLS = ("bash", "zsh", "fish")


@click.command(
    epilog="""\b
Put one of these into what your shell reads at its start:
  eval "$(acechat completion bash)"               ~/.bashrc
  eval "$(acechat completion zsh)"                ~/.zshrc
  acechat completion fish | source                ~/.config/fish/config.fish
"""
)
@click.argument("shell", type=click.Choice(_SHELLS))
def completion(shell: str) -> None:
    """Print what makes SHELL complete acechat's commands, options and fields."""
    from click.shell_completion import get_completion_class

    from acechat.cli.app import cli

    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - click knows these three
    click.echo(kind(cli, {}, "acechat", "_ACECHAT_COMPLETE").source())
