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
from acechat.cli.calls.status_page import service_status, status_url
from acechat.cli.errors import PLATFORM, REFUSED, advice
from acechat.cli.probe import Finding, certificates, probe, proxy_for, without_password
from acechat.cli.service import client_for, service_options, target
from acechat.cli.settings import DEFAULT_URL, Settings, check, masked, read
from acechat.cli.terminal.text import one_line

__all__ = ["doctor"]

_T = TypeVar("_T")

_PACKAGES = ("aiohttp", "msgspec", "anyio", "click", "rich", "keyring")

_NO_TOKEN = f"copy a token from {PLATFORM}, then: acechat config set token"
_NO_PROXY = (
    "set HTTPS_PROXY, HTTP_PROXY or ALL_PROXY to a URL that begins with http://, or unset it"
)
_OUTAGE = "wait: the service reports a fault at https://status.acedata.cloud"
_NO_API = f"there is no API at this base URL: correct its path (the default is {DEFAULT_URL})"


@click.command(
    epilog="""\b
Examples:
  acechat doctor             all checks that are free
  acechat doctor --live      also one call with one output token, which may be billed
  acechat doctor --emulator  check the installation only
"""
)
@click.option(
    "--live", is_flag=True, help="Also make one call with one output token; it may be billed."
)
@service_options
def doctor(*, live: bool, base_url: str | None, emulator: bool) -> int:
    """Check versions, token and network, and report the faults."""
    settings = read({"base_url": base_url}, emulator=emulator)
    report = _Report()
    _report_versions(report)
    with target(settings, emulator=emulator) as resolved:
        default = "the emulator" if emulator else "default"
        token, route = _report_settings(resolved, report, default)
        url = resolved.base_url or DEFAULT_URL
        if route and probe(url, report.add, proxy=_proxy(resolved)) and token:
            asyncio.run(_call_service(resolved, report, live=live))
        page = None if emulator else status_url(url)
        if page and (status := service_status(page)):
            good, message = status
            report.add(Finding("status page", good=good, message=one_line(message), todo=_OUTAGE))
    click.echo(f"\n{report.verdict}")
    return REFUSED if report.failed else 0


class _Report:
    """Prints the findings and collects the failed ones."""

    def __init__(self) -> None:
        self.failed: list[Finding] = []

    def add(self, finding: Finding) -> None:
        """Print *finding* as one line."""
        duration = "" if finding.seconds is None else f"{finding.seconds * 1000:.0f} ms"
        mark = "ok" if finding.good else "WRONG"
        click.echo(f"{mark:<5}  {finding.step:<12} {duration:>8}  {finding.message}")
        if not finding.good:
            self.failed.append(finding)

    def info(self, name: str, message: str) -> None:
        """Print a fact that cannot be wrong."""
        self.add(Finding(name, good=True, message=one_line(message)))

    @property
    def verdict(self) -> str:
        """The summary: the failed steps, each with its next step."""
        if not self.failed:
            return "All checks passed."
        return "\n".join(f"Wrong: {finding.step}. Next: {finding.todo}" for finding in self.failed)


def _report_versions(report: _Report) -> None:
    system = f"Python {platform.python_version()}, {platform.system()}"
    report.info("acechat", f"{__version__}, {system}")
    report.info("packages", ", ".join(f"{name} {_version(name)}" for name in _PACKAGES))


def _report_settings(settings: Settings, report: _Report, default: str) -> tuple[bool, bool]:
    """Check the settings; return whether the token is valid, and whether URL and proxy are."""
    url = settings.base_url or DEFAULT_URL
    origin = settings.sources.get("base_url", default)
    token = _is_valid(report, "token", _NO_TOKEN, lambda: check(api_token=settings.needed_token()))
    if token:
        secret, source = settings.needed_token(), settings.sources.get("token", default)
        kind = f"application token, {len(secret)} characters"
        report.info("token", f"{kind}: {masked(secret)} ({source})")
    if not _is_valid(report, "base URL", f"correct it ({origin})", lambda: check(base_url=url)):
        return token, False
    report.info("base URL", f"{url} ({origin})")
    route = _is_valid(report, "proxy", _NO_PROXY, lambda: check(base_url=url, proxy=settings.proxy))
    if route:
        proxy = _proxy(settings)
        report.info("proxy", without_password(proxy) if proxy else "none")
    report.add(certificates())
    return token, route


def _proxy(settings: Settings) -> str | None:
    from_environment = proxy_for(settings.base_url or DEFAULT_URL)
    return from_environment if settings.proxy is None else settings.proxy


def _is_valid(report: _Report, step: str, todo: str, validate: Callable[[], None]) -> bool:
    """Report the ConfigurationError of *validate*, if any; return True if there is none."""
    try:
        validate()
    except ConfigurationError as error:
        message, _, hint = str(error).partition(" Next: ")
        report.add(Finding(step, good=False, message=one_line(message), todo=hint or todo))
        return False
    return True


async def _call_service(settings: Settings, report: _Report, *, live: bool) -> None:
    async with client_for(settings) as client:
        passed = await _check(client.models, _describe_models, "models", report)
        if passed and live:
            chat = partial(client.chat, "Hi", max_tokens=1)
            await _check(chat, _describe_completion, "live call", report)


async def _check(
    call: Callable[[], Awaitable[_T]], describe: Callable[[_T], str], step: str, report: _Report
) -> bool:
    """Make one call and report it; return True if it succeeded."""
    started = time.monotonic()
    try:
        result = await call()
    except AceChatError as error:
        no_api = step == "models" and isinstance(error, NotFoundError)
        todo = _NO_API if no_api else advice(error) or "see the message above"
        report.add(Finding(step, good=False, message=one_line(str(error)), todo=todo))
        return False
    seconds = time.monotonic() - started
    report.add(Finding(step, good=True, message=one_line(describe(result)), seconds=seconds))
    return True


def _describe_models(models: Sequence[Model]) -> str:
    return f"the token is accepted; {len(models)} models"


def _describe_completion(completion: ChatCompletion) -> str:
    tokens = completion.usage.total_tokens if completion.usage else "?"
    return f"response from {completion.model}; {tokens} tokens, trace {completion.trace_id}"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
