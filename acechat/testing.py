"""A pytest plugin: acechat's service on localhost, and clients for it.

>>> def test_it_retries(acechat_service, acechat_blocking_client):
...     acechat_service.script(fail(503), ok("Hello!"))
...     assert acechat_blocking_client.chat("Hello").text == "Hello!"

pytest imports this module in every project that has acechat installed, so it imports next to
nothing until a fixture is asked for.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Unpack

import pytest

if TYPE_CHECKING:
    from acechat import AsyncClient, Client
    from acechat.emulator import Service, ServiceOptions

__all__ = ["acechat_blocking_client", "acechat_client", "acechat_service", "emulated"]


@contextmanager
def emulated(**options: Unpack[ServiceOptions]) -> Generator[Service]:
    """Run a service as long as the ``with`` block does.

    Args:
        options: Those of `acechat.emulator.Service`.
    """
    from acechat.emulator import Service

    with Service(**options) as service:
        yield service


@pytest.fixture
def acechat_service() -> Iterator[Service]:
    """A service that nobody has used yet."""
    with emulated() as service:
        yield service


@pytest.fixture
def acechat_client(acechat_service: Service) -> AsyncClient:
    """An `AsyncClient` of `acechat_service`, to be closed by the test (``async with``)."""
    from acechat import AsyncClient

    return AsyncClient(base_url=acechat_service.url, api_token=acechat_service.token)


@pytest.fixture
def acechat_blocking_client(acechat_service: Service) -> Iterator[Client]:
    """A `Client` of `acechat_service`."""
    from acechat import Client

    with Client(base_url=acechat_service.url, api_token=acechat_service.token) as client:
        yield client
