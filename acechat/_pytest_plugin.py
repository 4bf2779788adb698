"""Plugin for pytest: an emulated service on localhost for each test, and clients for it.

pytest imports this module in every environment that has acechat installed, so all else of acechat
is imported only when a fixture is used.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from math import inf
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from acechat import AsyncClient, Client
    from acechat.emulator import Service, ServiceOptions

__all__ = [
    "acechat_blocking_client",
    "acechat_client",
    "acechat_environment",
    "acechat_service",
]

_TOKENS = ("ACEDATACLOUD_API_TOKEN", "ACEDATACLOUD_API_KEY", "ACEDATA_API_KEY")
_NO_PROXY = "127.0.0.1,localhost"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option ``--acechat-record``."""
    parser.getgroup("acechat").addoption(
        "--acechat-record",
        metavar="URL",
        help="record missing cassettes from the service at URL, with the token in "
        "ACEDATACLOUD_API_TOKEN",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker ``acechat_cassette``."""
    config.addinivalue_line(
        "markers",
        "acechat_cassette(name, speed=inf): replay a cassette, a file relative to the test's "
        "folder; speed=1 replays at the recorded pace",
    )


@pytest.fixture
def acechat_service(request: pytest.FixtureRequest) -> Iterator[Service]:
    """A new emulated service; it replays a cassette in tests marked ``acechat_cassette``."""
    from acechat.emulator import Service

    with Service(**_options(request)) as service:
        yield service


def _options(request: pytest.FixtureRequest) -> ServiceOptions:
    mark = request.node.get_closest_marker("acechat_cassette")
    if mark is None:
        return {}
    cassette, speed = _read_mark(*mark.args, **mark.kwargs)
    path = request.path.parent / cassette
    if path.exists():
        return {"replay": path, "speed": speed}
    upstream: str | None = request.config.getoption("--acechat-record")
    if upstream is None or not os.environ.get("ACEDATACLOUD_API_TOKEN"):
        pytest.fail(
            f"there is no cassette {path}: record it with pytest --acechat-record "
            "https://api.acedata.cloud, and a token in ACEDATACLOUD_API_TOKEN",
            pytrace=False,
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not in a local variable, which pytest -l would show.
    return {
        "record": path,
        "upstream": upstream,
        "token": os.environ["ACEDATACLOUD_API_TOKEN"],
    }


def _read_mark(name: str, *, speed: float = inf) -> tuple[str, float]:
    return name, speed


@pytest.fixture
def acechat_client(acechat_service: Service) -> AsyncClient:
    """An `AsyncClient` of `acechat_service`; its connections close with the test's event loop."""
    from acechat import AsyncClient

    return AsyncClient(base_url=acechat_service.url, api_token=acechat_service.token, proxy="")


@pytest.fixture
def acechat_blocking_client(acechat_service: Service) -> Iterator[Client]:
    """A `Client` of `acechat_service`."""
    from acechat import Client

    with Client(base_url=acechat_service.url, api_token=acechat_service.token, proxy="") as client:
        yield client


@pytest.fixture
def acechat_environment(acechat_service: Service, monkeypatch: pytest.MonkeyPatch) -> Service:
    """The `acechat_service`, to which the environment points: for code with clients of its own.

    It holds for this process and for those that the test starts. A client takes its settings when
    it is made: one that was made at import keeps those of that time.
    """
    monkeypatch.setenv("ACEDATACLOUD_API_BASE_URL", acechat_service.url)
    for name in _TOKENS:
        monkeypatch.setenv(name, acechat_service.token)
    for name in ("NO_PROXY", "no_proxy"):
        others = os.environ.get(name)
        monkeypatch.setenv(name, f"{others},{_NO_PROXY}" if others else _NO_PROXY)
    return acechat_service
