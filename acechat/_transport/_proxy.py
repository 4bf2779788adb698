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
        if not urllib.request.proxy_bypass(f"{url.host}:{url.port}"):
            proxies = urllib.request.getproxies()
            proxy = proxies.get(url.scheme) or proxies.get("all")
    if not proxy:
        return None
    scheme, found, _ = proxy.partition("://")
    if not found:
        return f"http://{proxy}"  # as curl does
    if scheme.lower() not in {"http", "https"}:
        raise ConfigurationError(
            f"a proxy must begin with http:// or https://, not with {scheme}:// "
            '(proxy="" uses none)'
        )
    return proxy
