"""The commands: click reads the words, plain functions do the work."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress

import click

from acechat import AceChatError, Client, ConfigurationError, __version__, image
from acechat.cli._output import printer
from acechat.types import ImagePart

__all__ = ["cli", "run"]

_REFUSED, _USAGE, _INTERRUPTED = 1, 2, 130


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; errors are one line on stderr."""
    try:
        code: object = cli.main(list(arguments), prog_name="acechat", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return _INTERRUPTED
    except (ConfigurationError, TypeError) as error:
        return _fail(error, _USAGE)
    except BrokenPipeError:
        # The reader of a pipe went away (`… | head -1`); Python would complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _REFUSED
    except (AceChatError, OSError) as error:
        return _fail(error, _REFUSED)
    return code if isinstance(code, int) else 0


def _fail(error: Exception, code: int) -> int:
    click.echo(f"acechat: {' '.join(str(error).split())}", err=True)
    return code


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="acechat")
def cli() -> None:
    """Talk to Claude through AceData Cloud."""


@cli.command()
@click.argument("prompt", required=False)
@click.option("-m", "--model", help="The model that answers.")
@click.option("-s", "--system", help="Instructions that hold for the whole conversation.")
@click.option("-i", "--image", "images", multiple=True, metavar="FILE|URL", help="Show an image.")
@click.option("--reasoning", is_flag=True, help="Show the thoughts of a thinking model.")
@click.option("--emulator", is_flag=True, help="Talk to a service of acechat's own: no token.")
def chat(
    prompt: str | None,
    *,
    model: str | None,
    system: str | None,
    images: tuple[str, ...],
    reasoning: bool,
    emulator: bool,
) -> None:
    """Stream the answer to PROMPT, to standard input, or to both."""
    said: list[str | ImagePart] = []
    if prompt:
        said.append(prompt)
    if not sys.stdin.isatty() and (piped := sys.stdin.read().strip()):
        said.append(piped)
    said += [image(source) for source in images]
    if not said:
        raise click.UsageError('there is nothing to say: acechat chat "Hello"')
    with (
        _client(emulator=emulator) as client,
        client.stream(*said, model=model, system=system) as stream,
        printer(reasoning=reasoning) as show,
    ):
        while deltas := stream.receive():
            show(deltas)


@contextmanager
def _client(*, emulator: bool) -> Generator[Client]:
    if not emulator:
        with Client() as client:
            yield client
        return
    from acechat.emulator import Service

    with Service() as service, Client(service.token, base_url=service.url, proxy="") as client:
        yield client


@cli.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--token", default=None, help="What clients must send.")
def emulate(*, port: int, host: str, token: str | None) -> None:
    """Run the service on localhost, until Ctrl-C."""
    from acechat.emulator import DEFAULT_TOKEN, serve

    token = token or DEFAULT_TOKEN

    def announce(url: str) -> None:
        click.echo(f"listening on {url}")
        click.echo(f"ACEDATACLOUD_API_BASE_URL={url} ACEDATACLOUD_API_TOKEN={token}")

    with suppress(KeyboardInterrupt):
        serve(announce, host=host, port=port, token=token)
