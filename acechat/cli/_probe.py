"""One look at the network between here and the service, step by step, without a token."""

from __future__ import annotations

import os
import socket
import ssl
import time
import urllib.request
from base64 import b64encode
from collections.abc import Callable
from contextlib import ExitStack
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar, cast
from urllib.parse import SplitResult, unquote, urlsplit

from msgspec import Struct

from acechat.cli._text import one_line

__all__ = ["Finding", "Tell", "certificates", "probe", "proxy_for", "without_password"]

_T = TypeVar("_T")

_LIMIT = 10.0
"""Seconds that each step may take."""

_SKEW = 120.0
"""Seconds from which on a clock is wrong: certificates begin to look expired, or not yet valid."""


class Finding(Struct, frozen=True):
    """What one step found."""

    step: str
    good: bool
    said: str
    seconds: float | None = None
    """How long it took; None where that says nothing."""
    todo: str = ""
    """What to do where it is not good."""


Tell = Callable[[Finding], None]


class _Stopped(Exception):  # noqa: N818 - the finding before it says what was wrong
    """No step can follow."""


def proxy_for(url: str) -> str | None:
    """Return the environment's proxy for *url*, as the client chooses it; None for none."""
    parts = urlsplit(url)
    if urllib.request.proxy_bypass(f"{parts.hostname}:{parts.port}"):
        return None
    proxies = urllib.request.getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    return proxy if not proxy or "://" in proxy else f"http://{proxy}"


def without_password(url: str) -> str:
    """Return *url* as it may be shown."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def certificates() -> str:
    """Say whose certificates are trusted."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        if os.environ.get(name):
            return f"{os.environ[name]} ({name})"
    paths = ssl.get_default_verify_paths()
    return paths.cafile or paths.capath or "the system's"


def probe(url: str, tell: Tell, *, proxy: str | None) -> bool:
    """Take the steps to *url* one by one, *tell* what each found; return whether all went well."""
    try:
        with ExitStack() as stack:
            _travel(urlsplit(url), urlsplit(proxy) if proxy else None, tell, stack)
    except _Stopped:
        return False
    return True


def _travel(service: SplitResult, proxy: SplitResult | None, tell: Tell, stack: ExitStack) -> None:
    host, port = _address(service)
    near, near_port = _address(proxy or service)
    _take(
        tell,
        "DNS",
        lambda: socket.getaddrinfo(near, near_port, type=socket.SOCK_STREAM),
        lambda found: f"{near} is {found[0][4][0]}",
        todo="check the name, and the connection to the internet",
    )
    wire = _take(
        tell,
        "TCP",
        lambda: socket.create_connection((near, near_port), _LIMIT),
        lambda _: f"{near}:{near_port}{' (the proxy)' if proxy else ''}",
        todo="look for a firewall, or name your proxy in HTTPS_PROXY",
    )
    stack.callback(wire.close)
    if proxy and service.scheme == "https":
        ask = f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n{_credentials(proxy)}\r\n"
        _take(tell, "tunnel", lambda: _tunnel(wire, ask), str, todo="ask who runs the proxy")
    line: socket.socket = wire
    if service.scheme == "https":
        context = ssl.create_default_context()
        line = _take(
            tell,
            "TLS",
            lambda: context.wrap_socket(wire, server_hostname=host),
            _certificate,
            todo="SSL_CERT_FILE can name the certificates of a company's proxy",
        )
        stack.callback(line.close)
    target = service.geturl() if proxy and service.scheme == "http" else service.path or "/"
    ask = f"HEAD {target} HTTP/1.1\r\nHost: {service.netloc}\r\nConnection: close\r\n\r\n"
    head = _take(
        tell,
        "first byte",
        lambda: _exchange(line, ask),
        lambda head: f"it answers ({head.partition(' ')[0]} {head.split()[1]})",
        todo="no web server listens there: check the base URL",
    )
    _check_clock(head, tell)


def _take(
    tell: Tell, step: str, do: Callable[[], _T], say: Callable[[_T], str], *, todo: str
) -> _T:
    began = time.monotonic()
    try:
        result = do()
    except (OSError, ValueError) as error:
        tell(Finding(step, good=False, said=one_line(str(error)), todo=todo))
        raise _Stopped from None
    tell(Finding(step, good=True, said=one_line(say(result)), seconds=time.monotonic() - began))
    return result


def _address(url: SplitResult) -> tuple[str, int]:
    return url.hostname or "", url.port or (443 if url.scheme == "https" else 80)


def _credentials(proxy: SplitResult) -> str:
    if proxy.username is None:
        return ""
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return f"Proxy-Authorization: Basic {b64encode(pair.encode()).decode()}\r\n"


def _tunnel(line: socket.socket, ask: str) -> str:
    status = _exchange(line, ask).partition("\r\n")[0]
    if status.split()[1:2] != ["200"]:
        raise OSError(status)
    return status


def _exchange(line: socket.socket, ask: str) -> str:
    """Send *ask*; return the head of what comes back."""
    line.sendall(ask.encode("latin-1"))
    head = b""
    while b"\r\n\r\n" not in head and (data := line.recv(4096)):
        head += data
    if not head.startswith(b"HTTP/"):
        raise OSError(f"no HTTP came back, but {head[:40]!r}")
    return head.decode("latin-1")


def _certificate(line: ssl.SSLSocket) -> str:
    facts = cast("dict[str, Any]", line.getpeercert() or {})
    issuer: dict[str, str] = dict(pair for pairs in facts.get("issuer", ()) for pair in pairs)
    who = issuer.get("organizationName") or issuer.get("commonName") or "somebody"
    return f"{line.version()}, certificate of {who} until {facts.get('notAfter', '?')}"


def _check_clock(head: str, tell: Tell) -> None:
    dates = [line[5:] for line in head.split("\r\n") if line.lower().startswith("date:")]
    try:
        there = parsedate_to_datetime(dates[0].strip()).timestamp()
    except (IndexError, ValueError):
        return  # it does not say
    off = time.time() - there
    good = abs(off) < _SKEW
    said = (
        "right" if good else f"{abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} the service's"
    )
    tell(Finding("clock", good=good, said=said, todo="set this machine's clock"))
