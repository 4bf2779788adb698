"""``acechat emulate``."""

from __future__ import annotations

from contextlib import suppress

import click

__all__ = ["emulate"]

_FILE = click.Path(dir_okay=False)


@click.command
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="Port; 0 chooses a free one.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--allow-host",
    multiple=True,
    metavar="NAME",
    help="Accept requests for this name, too; * accepts all. May be repeated.",
)
@click.option("--token", default=None, help="Token that clients must send.")
@click.option("--replay", type=_FILE, metavar="FILE", help="Replay the responses of a cassette.")
@click.option(
    "--speed", default=1.0, show_default=True, help="Speed of the replay; inf: no pauses."
)
@click.option("--record", type=_FILE, metavar="FILE", help="Record the responses of --upstream.")
@click.option("--upstream", metavar="URL", help="Base URL of the service to record.")
def emulate(
    *,
    port: int,
    host: str,
    allow_host: tuple[str, ...],
    token: str | None,
    replay: str | None,
    speed: float,
    record: str | None,
    upstream: str | None,
) -> None:
    """Run the emulator on localhost until Ctrl-C; or replay or record a cassette."""
    from acechat.emulator import DEFAULT_TOKEN, serve

    if bool(record) != bool(upstream) or (record and replay):
        raise click.UsageError("--record FILE needs --upstream URL and excludes --replay")
    token = token or DEFAULT_TOKEN

    def announce(url: str) -> None:
        click.echo(f"listening on {url}")
        token_setting = (
            "" if record else f" ACEDATACLOUD_API_TOKEN={token}"
        )  # the recording proxy forwards the real token
        click.echo(f"ACEDATACLOUD_API_BASE_URL={url}{token_setting}")

    with suppress(KeyboardInterrupt):
        serve(
            announce,
            host=host,
            hosts=allow_host,
            port=port,
            token=token,
            replay=replay,
            speed=speed,
            record=record,
            upstream=upstream,
        )
