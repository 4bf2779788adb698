"""What all tests share: an environment without anybody's token, and two colours of one call."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
_MEANT = ("ACECHAT_INTEROP_MLX", "ACECHAT_SERVERS")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    """No test sees the token, the proxy or the colours of whoever runs it."""
    for name in os.environ:
        told = name.upper()
        personal = told.startswith(("ACE", "SSL_CERT")) or told.endswith("_PROXY")
        if (personal or told == "NO_COLOR") and name not in _MEANT:
            monkeypatch.delenv(name)


@pytest.fixture
def environment(acechat_service, monkeypatch):
    """Let everything that reads the environment talk to the service on localhost."""
    monkeypatch.setenv("ACEDATACLOUD_API_BASE_URL", acechat_service.url)
    monkeypatch.setenv("ACEDATACLOUD_API_TOKEN", acechat_service.token)
    return acechat_service


@pytest.fixture
def root():
    """The folder of the checkout."""
    return ROOT
