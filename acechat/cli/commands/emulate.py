"""`acechat emulate`: the service on localhost."""

from __future__ import annotations

from contextlib import suppress

import click

__all__ = ["emulate"]

_FILE = click.Path(dir_okay=False)


@click.command
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--token", default=None, help="What clients must send.")
@click.option("--replay", type=_FILE, metavar="FILE", help="Answer from a cassette.")
@click.option("--speed", default=1.0, show_default=True, help="Of the replay; inf: no pauses.")
@click.option(
    "--record", type=_FILE, metavar="FILE", help="Add what --upstream answers to a cassette."
)
@click.option("--upstream", metavar="URL", help="A real service, to be recorded.")
def emulate(
    *,
    port: int,
    host: str,
    token: str | None,
    replay: str | None,
    speed: float,
    record: str | None,
    upstream: str | None,
) -> None:
    """Run the service on localhost, until Ctrl-C; or play or record a cassette."""
    from acechat.emulator import DEFAULT_TOKEN, serve

    if bool(record) != bool(upstream) or (record and replay):
        raise click.UsageError("--record FILE goes with --upstream URL, and without --replay")
    token = token or DEFAULT_TOKEN

    def announce(url: str) -> None:
        click.echo(f"listening on {url}")
        own = "" if record else f" ACEDATACLOUD_API_TOKEN={token}"  # a relay takes the real one
        click.echo(f"ACEDATACLOUD_API_BASE_URL={url}{own}")

    with suppress(KeyboardInterrupt):
        serve(
            announce,
            host=host,
            port=port,
            token=token,
            replay=replay,
            speed=speed,
            record=record,
            upstream=upstream,
        )
