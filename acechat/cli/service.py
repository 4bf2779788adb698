"""The client of a command: connected to the service, or to an emulator in this process."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click
from msgspec.structs import replace

from acechat import AsyncClient
from acechat.cli.settings import Settings

if TYPE_CHECKING:  # for ``--cache`` only
    from acechat import ResponseCache

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
    """Return a client with *settings*, which announces its retries.

    Raises:
        ConfigurationError: There is no token, or a setting is invalid.
    """
    from acechat.cli.calls.retries import announce_retry

    return AsyncClient(
        settings.needed_token(),
        base_url=settings.base_url,
        proxy=settings.proxy,
        observers=[announce_retry],
        cache=cache,
    )


@asynccontextmanager
async def connect(
    settings: Settings,
    *,
    emulator: bool,
    offline: bool = False,
    cache: ResponseCache | None = None,
) -> AsyncGenerator[AsyncClient]:
    """Yield a client for `target`; close both at the end of the block.

    Args:
        settings: Settings of the command.
        emulator: Run an emulator in this process.
        offline: Nothing will be sent: no token and no emulator are needed.
        cache: The cache of the client; None for none.

    Raises:
        ConfigurationError: There is no token, or a setting is invalid.
    """
    if offline:
        settings = replace(settings, token=settings.token or f"none-{os.urandom(16).hex()}")
    with target(settings, emulator=emulator and not offline) as resolved:
        async with client_for(resolved, cache=cache) as client:
            yield client
