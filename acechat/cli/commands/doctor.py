"""``acechat doctor``."""

from __future__ import annotations

import asyncio
import platform
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import TypeVar

import click

from acechat import (
    AceChatError,
    ChatCompletion,
    ConfigurationError,
    Model,
    NotFoundError,
    __version__,
)
from acechat.cli.errors import PLATFORM, REFUSED, advice
from acechat.cli.probe import Finding, certificates, probe, proxy_for, without_password
from acechat.cli.service import client_for, reachable, service_options
from acechat.cli.settings import DEFAULT_URL, Settings, check, masked, read
from acechat.cli.terminal.text import one_line

__all__ = ["doctor"]

_T = TypeVar("_T")

_PACKAGES = ("aiohttp", "msgspec", "anyio", "click", "rich", "keyring")

_NO_TOKEN = f"copy a token from {PLATFORM}, then: acechat config set token"
_NO_PROXY = "name a proxy that begins with http:// in HTTPS_PROXY, HTTP_PROXY or ALL_PROXY, or none"
_NO_API = f"the API is not at that base URL: correct its path (that of {DEFAULT_URL} is /v1)"


@click.command(
    epilog="""\b
Examples:
  acechat doctor             nothing is billed
  acechat doctor --live      and one call of one token, which may be
  acechat doctor --emulator  whether this installation works at all
"""
)
@click.option("--live", is_flag=True, help="Make one call of one token, too; it may be billed.")
@service_options
def doctor(*, live: bool, base_url: str | None, emulator: bool) -> int:
    """Look at versions, token and network, and say what is wrong."""
    settings = read({"base_url": base_url}, emulator=emulator)
    report = _Report()
    _describe_here(report)
    with reachable(settings, emulator=emulator) as found:
        default = "the emulator" if emulator else "default"
        token, way = _describe_settings(found, report, default)
        url = found.base_url or DEFAULT_URL
        if way and probe(url, report.tell, proxy=_proxy(found)) and token:
            asyncio.run(_ask(found, report, live=live))
    click.echo(f"\n{report.verdict}")
    return REFUSED if report.wrong else 0


class _Report:
    """Prints what is found, and remembers what is wrong."""

    def __init__(self) -> None:
        self.wrong: list[Finding] = []

    def tell(self, finding: Finding) -> None:
        """Print one line."""
        took = "" if finding.seconds is None else f"{finding.seconds * 1000:.0f} ms"
        mark = "ok" if finding.good else "WRONG"
        click.echo(f"{mark:<5}  {finding.step:<12} {took:>8}  {finding.said}")
        if not finding.good:
            self.wrong.append(finding)

    def note(self, name: str, said: str) -> None:
        """Print what is neither right nor wrong."""
        self.tell(Finding(name, good=True, said=one_line(said)))

    @property
    def verdict(self) -> str:
        """What it comes to, and what to do."""
        if not self.wrong:
            return "All is well."
        return "\n".join(f"Wrong: {finding.step}. Next: {finding.todo}" for finding in self.wrong)


def _describe_here(report: _Report) -> None:
    """Tell about this machine."""
    system = f"Python {platform.python_version()}, {platform.system()}"
    report.note("acechat", f"{__version__}, {system}")
    report.note("packages", ", ".join(f"{name} {_version(name)}" for name in _PACKAGES))


def _describe_settings(settings: Settings, report: _Report, default: str) -> tuple[bool, bool]:
    """Tell about the settings; return whether there is a token, and whether there is a way."""
    url = settings.base_url or DEFAULT_URL
    origin = settings.sources.get("base_url", default)
    token = _usable(report, "token", _NO_TOKEN, lambda: check(api_token=settings.needed_token()))
    if token:
        secret, source = settings.needed_token(), settings.sources.get("token", default)
        kind = f"of an application, {len(secret)} characters"
        report.note("token", f"{kind}: {masked(secret)} ({source})")
    if not _usable(report, "base URL", f"correct it ({origin})", lambda: check(base_url=url)):
        return token, False
    report.note("base URL", f"{url} ({origin})")
    way = _usable(report, "proxy", _NO_PROXY, lambda: check(base_url=url, proxy=settings.proxy))
    if way:
        proxy = _proxy(settings)
        report.note("proxy", without_password(proxy) if proxy else "none")
    report.tell(certificates())
    return token, way


def _proxy(settings: Settings) -> str | None:
    found = proxy_for(settings.base_url or DEFAULT_URL)
    return found if settings.proxy is None else settings.proxy


def _usable(report: _Report, step: str, todo: str, trial: Callable[[], None]) -> bool:
    """Whether *trial* refuses nothing; tell what it does."""
    try:
        trial()
    except ConfigurationError as error:
        said, _, told = str(error).partition(" Next: ")
        report.tell(Finding(step, good=False, said=one_line(said), todo=told or todo))
        return False
    return True


async def _ask(settings: Settings, report: _Report, *, live: bool) -> None:
    """Call the service as the client does."""
    async with client_for(settings) as client:
        works = await _check(client.models, _count, "models", report)
        if works and live:
            await _check(partial(client.chat, "Hi", max_tokens=1), _describe, "live call", report)


async def _check(
    call: Callable[[], Awaitable[_T]], say: Callable[[_T], str], step: str, report: _Report
) -> bool:
    """Make one call; return whether that went well."""
    began = time.monotonic()
    try:
        result = await call()
    except AceChatError as error:
        lost = step == "models" and isinstance(error, NotFoundError)
        todo = _NO_API if lost else advice(error) or "see what it says"
        report.tell(Finding(step, good=False, said=one_line(str(error)), todo=todo))
        return False
    took = time.monotonic() - began
    report.tell(Finding(step, good=True, said=one_line(say(result)), seconds=took))
    return True


def _count(models: Sequence[Model]) -> str:
    return f"the token works; {len(models)} to choose from"


def _describe(answer: ChatCompletion) -> str:
    tokens = answer.usage.total_tokens if answer.usage else "?"
    return f"{answer.model} answered; {tokens} tokens, trace {answer.trace_id}"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
