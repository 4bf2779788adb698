"""Which proxy leads to the service."""

from __future__ import annotations

import ipaddress
import os
import re
import urllib.request
from contextlib import suppress

from yarl import URL

from acechat.errors import ConfigurationError

__all__ = ["read_proxy"]

_LONGEST_LABEL = 63
"""Characters between two dots of a host (RFC 1035)."""


def read_proxy(given: str | None, api_root: str) -> str | None:
    """Return the proxy to use: the one *given*, none for ``""``, the environment's for None.

    The environment is read here, because aiohttp's ``trust_env`` would read ``~/.netrc`` as well,
    per request.

    Raises:
        ConfigurationError: The proxy is of a kind that aiohttp does not speak, or it or *api_root*
            is no URL that aiohttp can ask.
    """
    proxy = given
    url = _read(api_root, f"the base URL {api_root!r}")
    if proxy is None and not _bypassed(url):
        proxies = urllib.request.getproxies()
        proxy = proxies.get(url.scheme) or proxies.get("all")
    if not proxy:
        return None
    scheme, found, _ = proxy.partition("://")
    if not found:
        proxy = f"http://{proxy}"  # as curl does
    elif scheme.lower() not in {"http", "https"}:
        raise ConfigurationError(
            f"a proxy must begin with http:// or https://, not with {scheme}:// "
            '(proxy="" uses none)'
        )
    _read(proxy, "the proxy")
    return proxy


def _bypassed(url: URL) -> bool:
    """Return True if the environment, or the system's settings, exclude *url* from proxies."""
    host, port = (url.host or "").lower().removesuffix("."), url.port
    excluded = os.environ.get("no_proxy", os.environ.get("NO_PROXY", ""))
    if any(_matches(entry, host, port) for entry in re.split(r"[\s,]+", excluded.lower())):
        return True
    if urllib.request.getproxies_environment():
        return False
    return bool(urllib.request.proxy_bypass(f"{host}:{port}"))  # macOS's, or Windows'


def _matches(entry: str, host: str, port: int | None) -> bool:
    """Return True if *entry* of NO_PROXY excludes *host*; curl's reading, and ports and ``*.x``."""
    if entry == "*":
        return True
    name, bracket, after = entry.removeprefix("[").partition("]")
    if not bracket and name.count(":") == 1:  # else a colon is IPv6's
        name, _, after = name.partition(":")
    if after and after.removeprefix(":") != str(port):
        return False
    with suppress(ValueError):
        address = ipaddress.ip_address(host.partition("%")[0])
        with suppress(ValueError):
            return address in ipaddress.ip_network(name, strict=False)
        return False  # a domain has no addresses
    name = name.removeprefix("*").strip(".")
    return bool(name) and (host == name or host.endswith(f".{name}"))


def _read(text: str, what: str) -> URL:
    """Parse a URL; *what* must not quote a proxy's, which may hold a password."""
    url = URL()
    with suppress(ValueError):
        url = URL(text)
    try:
        host = (url.host and url.raw_host) or ""  # the one decodes the other
    except ValueError:
        host = ""
    labels = [host] if ":" in host else host.removesuffix(".").split(".")
    if not all(0 < len(label) <= _LONGEST_LABEL for label in labels):
        raise ConfigurationError(f"{what} is no URL of a host that can be asked")
    return url
