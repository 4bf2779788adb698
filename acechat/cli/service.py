"""Whom to talk to: the real service, or the one of acechat's own."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

import click
from msgspec.structs import replace

from acechat import AsyncClient
from acechat.cli.settings import Settings

__all__ = ["client_for", "connect", "reachable", "service_options"]

_F = TypeVar("_F", bound=Callable[..., Any])


def service_options(command: _F) -> _F:
    """Give *command* the options of all that talk to the service."""
    where = click.option("--base-url", metavar="URL", help="Another address of the service.")
    own = click.option("--emulator", is_flag=True, help="A service of acechat's own: no token.")
    return where(own(command))


@contextmanager
def reachable(settings: Settings, *, emulator: bool) -> Generator[Settings]:
    """Return *settings*; for the *emulator* those that lead to it, as long as the block lasts."""
    if not emulator:
        yield settings
        return
    from acechat.emulator import Service

    with Service() as service:
        yield replace(settings, token=service.token, base_url=service.url, proxy="")


def client_for(settings: Settings) -> AsyncClient:
    """Make the client that *settings* describe.

    Raises:
        ConfigurationError: There is no token, or something in the settings cannot be used.
    """
    return AsyncClient(settings.needed_token(), base_url=settings.base_url, proxy=settings.proxy)


@asynccontextmanager
async def connect(settings: Settings, *, emulator: bool) -> AsyncGenerator[AsyncClient]:
    """Do both."""
    with reachable(settings, emulator=emulator) as found:
        async with client_for(found) as client:
            yield client
