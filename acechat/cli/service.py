"""The client of a command: connected to the service, or to an emulator in this process."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

import click
from msgspec.structs import replace

from acechat import AsyncClient, ResponseCache
from acechat.cli.settings import Settings

__all__ = ["client_for", "connect", "service_options", "target"]

_F = TypeVar("_F", bound=Callable[..., Any])


def service_options(command: _F) -> _F:
    """Add ``--base-url`` and ``--emulator`` to *command*."""
    base_url = click.option("--base-url", metavar="URL", help="Base URL of the service.")
    emulator = click.option(
        "--emulator", is_flag=True, help="Use the built-in emulator; needs no token."
    )
    return base_url(emulator(command))


@contextmanager
def target(settings: Settings, *, emulator: bool) -> Generator[Settings]:
    """Yield *settings*; with *emulator*, those of an emulator that runs until the block ends."""
    if not emulator:
        yield settings
        return
    from acechat.emulator import Service

    with Service() as service:
        yield replace(settings, token=service.token, base_url=service.url, proxy="")


def client_for(settings: Settings, *, cache: ResponseCache | None = None) -> AsyncClient:
    """Return a client with *settings*.

    Raises:
        ConfigurationError: There is no token, or a setting is invalid.
    """
    return AsyncClient(
        settings.needed_token(), base_url=settings.base_url, proxy=settings.proxy, cache=cache
    )


@asynccontextmanager
async def connect(
    settings: Settings, *, emulator: bool, cache: ResponseCache | None = None
) -> AsyncGenerator[AsyncClient]:
    """Yield a client for `target`; close both at the end of the block.

    Raises:
        ConfigurationError: There is no token, or a setting is invalid.
    """
    with target(settings, emulator=emulator) as resolved:
        async with client_for(resolved, cache=cache) as client:
            yield client
