"""The pytest plugin: a service on localhost for each test that asks, and clients for it.

pytest imports this module in every project that has acechat installed, so it imports next to
nothing until a fixture is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from acechat import AsyncClient, Client
    from acechat.emulator import Service

__all__ = ["acechat_blocking_client", "acechat_client", "acechat_service"]


@pytest.fixture
def acechat_service() -> Iterator[Service]:
    """A service that nobody has used yet."""
    from acechat.testing import emulated

    with emulated() as service:
        yield service


@pytest.fixture
def acechat_client(acechat_service: Service) -> AsyncClient:
    """An `AsyncClient` of `acechat_service`; its connections end with the test's event loop."""
    from acechat import AsyncClient

    return AsyncClient(base_url=acechat_service.url, api_token=acechat_service.token, proxy="")


@pytest.fixture
def acechat_blocking_client(acechat_service: Service) -> Iterator[Client]:
    """A `Client` of `acechat_service`."""
    from acechat import Client

    with Client(base_url=acechat_service.url, api_token=acechat_service.token, proxy="") as client:
        yield client
