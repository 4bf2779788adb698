"""``acechat emulate``."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from datetime import datetime
from typing import IO, TYPE_CHECKING

import click

if TYPE_CHECKING:
    from acechat.emulator import ReceivedRequest, Step

__all__ = ["emulate"]

_FILE = click.Path(dir_okay=False)

_EXPORT = {
    "sh": "export {name}={value}",
    "fish": "set -gx {name} {value}",
    "powershell": '$env:{name} = "{value}"',
    "cmd": "set {name}={value}",
}
"""How each shell sets an environment variable."""

_FAILURE = re.compile(r"([1-5]\d\d)@([1-9]\d*)")


def _usual_shell() -> str:
    if os.name == "nt":
        return "powershell"
    return "fish" if os.environ.get("SHELL", "").endswith("fish") else "sh"


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
@click.option(
    "--answers",
    type=click.File(encoding="utf-8-sig"),
    metavar="FILE",
    help="Script of the responses, as JSON; - for stdin.",
)
@click.option(
    "--fail",
    "failures",
    multiple=True,
    metavar="STATUS@N",
    help="Fail the N-th chat request with an HTTP status, such as 429@2; repeatable.",
)
@click.option(
    "--delay",
    type=click.FloatRange(0),
    default=0.0,
    metavar="SECONDS",
    help="Seconds before each response.",
)
@click.option("--any-model", is_flag=True, help="Accept unknown model names.")
@click.option("--no-cost", is_flag=True, help="Report tokens without their cost.")
@click.option("--shell", type=click.Choice(list(_EXPORT)), help="Shell of the printed settings.")
@click.option("--quiet", "-q", is_flag=True, help="Do not log requests.")
@click.option("--replay", type=_FILE, metavar="FILE", help="Replay the responses of a cassette.")
@click.option(
    "--speed", default=1.0, show_default=True, help="Speed of the replay; inf: no pauses."
)
@click.option("--loop", is_flag=True, help="Start the replay again at its end.")
@click.option("--record", type=_FILE, metavar="FILE", help="Record the responses of --upstream.")
@click.option("--upstream", metavar="URL", help="Base URL of the service to record.")
def emulate(
    *,
    port: int,
    host: str,
    allow_host: tuple[str, ...],
    token: str | None,
    answers: IO[str] | None,
    failures: tuple[str, ...],
    delay: float,
    any_model: bool,
    no_cost: bool,
    shell: str | None,
    quiet: bool,
    replay: str | None,
    speed: float,
    loop: bool,
    record: str | None,
    upstream: str | None,
) -> None:
    """Run the emulator on localhost until Ctrl-C; or replay or record a cassette."""
    from acechat.emulator import DEFAULT_TOKEN, serve

    if bool(record) != bool(upstream) or (record and replay):
        raise click.UsageError("--record FILE needs --upstream URL and excludes --replay")
    if (answers or failures) and (record or replay):
        raise click.UsageError("--answers and --fail exclude --replay and --record")
    if loop and not replay:
        raise click.UsageError("--loop needs --replay FILE")
    token = token or DEFAULT_TOKEN

    def announce(url: str) -> None:
        click.echo(f"listening on {url}")
        settings = {"ACEDATACLOUD_API_BASE_URL": url}
        if not record:  # the recording proxy forwards the real token
            settings["ACEDATACLOUD_API_TOKEN"] = token
        for name, value in settings.items():
            click.echo(_EXPORT[shell or _usual_shell()].format(name=name, value=value))

    unused = 0
    with suppress(KeyboardInterrupt):
        unused = serve(
            announce,
            _steps(answers, failures),
            host=host,
            hosts=allow_host,
            port=port,
            token=token,
            remember=1000,  # for the control endpoint
            any_model=any_model,
            delay=delay,
            report_cost=not no_cost,
            on_response=None if quiet else _log,
            replay=replay,
            speed=speed,
            loop=loop,
            record=record,
            upstream=upstream,
        )
    if unused:
        click.echo(f"{unused} scripted responses were not used", err=True)


def _steps(answers: IO[str] | None, failures: tuple[str, ...]) -> list[Step]:
    """Return the script of the file *answers*, with *failures* at their places."""
    from acechat.emulator import fail, ok, read_script

    steps: list[Step] = []
    if answers is not None:
        steps = read_script(answers.read())
    for failure in failures:
        match = _FAILURE.fullmatch(failure)
        if match is None:
            raise click.BadParameter(
                f"{failure!r} is not STATUS@N, such as 429@2", param_hint="--fail"
            )
        status, number = int(match[1]), int(match[2])
        steps += [ok()] * (number - len(steps) - 1)
        steps.insert(number - 1, fail(status))
    return steps


def _log(request: ReceivedRequest, status: int, seconds: float) -> None:
    """Print one line: time, method, path, model, status and duration."""
    model = ""
    with suppress(ValueError, AttributeError):
        model = f" {request.json.get('model')!r}"
    at = datetime.now().astimezone().strftime("%H:%M:%S")
    shown = status or "no response"
    click.echo(f"{at} {request.method} {request.path!r}{model} {shown} {seconds * 1000:.0f} ms")
