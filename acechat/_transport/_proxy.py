"""Which proxy leads to the service."""

from __future__ import annotations

import urllib.request

from yarl import URL

from acechat.errors import ConfigurationError

__all__ = ["read_proxy"]


def read_proxy(given: str | None, api_root: str) -> str | None:
    """Return the proxy to use: the one *given*, none for ``""``, the environment's for None.

    The environment is read here, because aiohttp's ``trust_env`` would read ``~/.netrc`` as well,
    per request.

    Raises:
        ConfigurationError: The proxy is of a kind that aiohttp does not speak.
    """
    proxy = given
    if proxy is None:
        url = URL(api_root)
        if not urllib.request.proxy_bypass(url.host or ""):
            proxies = urllib.request.getproxies()
            proxy = proxies.get(url.scheme) or proxies.get("all")
    if proxy and not proxy.lower().startswith(("http://", "https://")):
        raise ConfigurationError(
            "a proxy must begin with http:// or https://, "
            f'not with {proxy.partition("://")[0]}:// (proxy="" uses none)'
        )
    return proxy or None
