"""The proxy to use for the service."""

from __future__ import annotations

import ipaddress
import os
import re
import urllib.request
from contextlib import suppress

from yarl import URL

from acechat.errors import ConfigurationError

__all__ = ["read_proxy"]

_MAX_LABEL = 63
"""Characters of one label of a host name (RFC 1035)."""


def read_proxy(given: str | None, api_root: str) -> str | None:
    """Return the URL of the proxy to use, or None to connect directly.

    The environment is read here, because aiohttp's ``trust_env`` reads ``~/.netrc`` for each
    request, too.

    Args:
        given: URL of a proxy; ``""`` for none; None for that of the environment.
        api_root: URL of the service, which ``NO_PROXY`` may exclude.

    Raises:
        ConfigurationError: The scheme of the proxy is not supported, or one of the URLs is invalid.
    """
    proxy = given
    url = _parse(api_root, f"the base URL {api_root!r}")
    if proxy is None and not _is_excluded(url):
        proxies = urllib.request.getproxies()
        proxy = proxies.get(url.scheme) or proxies.get("all")
    if not proxy:
        return None
    scheme, found, _ = proxy.partition("://")
    if not found:
        proxy = f"http://{proxy}"  # as curl does
    elif scheme.lower() not in {"http", "https"}:
        raise ConfigurationError(
            f"proxy URL must begin with http:// or https://, not {scheme}:// "
            '(proxy="" connects directly)'
        )
    _parse(proxy, "the proxy")
    return proxy


def _is_excluded(url: URL) -> bool:
    """Return True if the environment, or the system's settings, exclude *url* from proxies."""
    host, port = (url.host or "").lower().removesuffix("."), url.port
    excluded = os.environ.get("no_proxy", os.environ.get("NO_PROXY", ""))
    if any(_matches(entry, host, port) for entry in re.split(r"[\s,]+", excluded.lower())):
        return True
    if urllib.request.getproxies_environment():
        return False
    return bool(urllib.request.proxy_bypass(f"{host}:{port}"))  # macOS's, or Windows'


def _matches(entry: str, host: str, port: int | None) -> bool:
    """Return True if *entry* of NO_PROXY excludes *host*: curl's rules, ports and ``*.domain``."""
    if entry == "*":
        return True
    name, bracket, after = entry.removeprefix("[").partition("]")
    if not bracket and name.count(":") == 1:  # more colons are an IPv6 address
        name, _, after = name.partition(":")
    if after and after.removeprefix(":") != str(port):
        return False
    with suppress(ValueError):
        address = ipaddress.ip_address(host.partition("%")[0])
        with suppress(ValueError):
            return address in ipaddress.ip_network(name, strict=False)
        return False  # an IP address never matches a domain
    name = name.removeprefix("*").strip(".")
    return bool(name) and (host == name or host.endswith(f".{name}"))


def _parse(text: str, name: str) -> URL:
    """Parse a URL; errors show *name* only, because a proxy URL may have a password."""
    url = URL()
    with suppress(ValueError):
        url = URL(text)
    try:
        host = (url.host and url.raw_host) or ""  # host decodes raw_host
    except ValueError:
        host = ""
    labels = [host] if ":" in host else host.removesuffix(".").split(".")
    if not all(0 < len(label) <= _MAX_LABEL for label in labels):
        raise ConfigurationError(f"{name} is not a URL with a valid host")
    return url
