"""The standard suites have async tests, which pytest-asyncio runs in its mode "auto" only."""

from __future__ import annotations


def pytest_configure(config):
    if config.pluginmanager.hasplugin("asyncio"):
        config.option.asyncio_mode = "auto"
