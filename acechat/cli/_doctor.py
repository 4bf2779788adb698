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
    AsyncClient,
    ChatCompletion,
    ConfigurationError,
    Model,
    __version__,
)
from acechat.cli._errors import REFUSED, advice
from acechat.cli._probe import Finding, certificates, probe, proxy_for, without_password
from acechat.cli._service import client_for, reachable, talks
from acechat.cli._settings import DEFAULT_URL, Settings, masked, read
from acechat.cli._text import one_line

__all__ = ["doctor"]

_T = TypeVar("_T")

_PACKAGES = ("aiohttp", "msgspec", "anyio", "click", "rich", "keyring")


@click.command(
    epilog="""\b
Examples:
  acechat doctor             nothing is billed
  acechat doctor --live      and one call of one token, which may be
  acechat doctor --emulator  whether this installation works at all
"""
)
@click.option("--live", is_flag=True, help="Make one call of one token, too; it may be billed.")
@talks
def doctor(*, live: bool, base_url: str | None, emulator: bool) -> int:
    """Look at versions, token and network, and say what is wrong."""
    settings = read({"base_url": base_url}, emulator=emulator)
    report = _Report()
    with reachable(settings, emulator=emulator) as found:
        asyncio.run(_examine(found, report, live=live))
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


async def _examine(settings: Settings, report: _Report, *, live: bool) -> None:
    versions = ", ".join(f"{name} {_version(name)}" for name in _PACKAGES)
    report.note(
        "acechat", f"{__version__}, Python {platform.python_version()}, {platform.system()}"
    )
    report.note("packages", versions)
    client = _client(settings, report)
    url = settings.base_url or DEFAULT_URL
    proxy = proxy_for(url) if settings.proxy is None else settings.proxy
    report.note("base URL", f"{url} ({settings.sources.get('base_url', 'default')})")
    report.note("proxy", without_password(proxy) if proxy else "none")
    report.note("CA", certificates())
    reached = await asyncio.to_thread(probe, url, report.tell, proxy=proxy)
    if client is None:
        return
    async with client:
        works = reached and await _check(client.models, _count, "models", report)
        if works and live:
            await _check(partial(client.chat, "Hi", max_tokens=1), _describe, "live call", report)


def _client(settings: Settings, report: _Report) -> AsyncClient | None:
    """Make a client, if there is a token that could be one."""
    try:
        client = client_for(settings)
    except ConfigurationError as error:
        said, _, todo = str(error).partition(" Next: ")
        report.tell(Finding("token", good=False, said=said, todo=todo or "acechat config"))
        return None
    token, source = settings.needed_token(), settings.sources.get("token", "the emulator")
    report.note("token", f"of an application, {len(token)} characters: {masked(token)} ({source})")
    return client


async def _check(
    call: Callable[[], Awaitable[_T]], say: Callable[[_T], str], step: str, report: _Report
) -> bool:
    """Call the service as the client does; return whether that went well."""
    began = time.monotonic()
    try:
        result = await call()
    except AceChatError as error:
        todo = advice(error) or "see what it says"
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
