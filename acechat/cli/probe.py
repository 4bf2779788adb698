"""One look at the network between here and the service, step by step, without a token."""

from __future__ import annotations

import os
import socket
import ssl
import threading
import time
import urllib.request
from base64 import b64encode
from collections.abc import Callable
from contextlib import ExitStack
from email.utils import parsedate_to_datetime
from queue import Empty, SimpleQueue
from typing import Any, TypeVar, cast
from urllib.parse import SplitResult, unquote, urlsplit

from msgspec import Struct

from acechat.cli.terminal.text import one_line

__all__ = ["Finding", "Tell", "certificates", "probe", "proxy_for", "without_password"]

_T = TypeVar("_T")

_LIMIT = 10.0
"""Seconds that each step may take."""

_HEAD = 2**16
"""Bytes of a head from which on it is none."""

_SKEW = 120.0
"""Seconds from which on a clock is wrong: certificates begin to look expired, or not yet valid."""

_NO_PROXY = "correct the proxy's address, in HTTPS_PROXY, HTTP_PROXY or ALL_PROXY, or unset it"
_ASK_PROXY = (
    "ask who runs the proxy; a name and a password go into its address: http://name:pw@host"
)


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
_Places = list[tuple[str, int]]


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


def certificates() -> Finding:
    """Say whose certificates are trusted, and whether they are there."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        if path := os.environ.get(name):
            folder = name == "SSL_CERT_DIR"
            try:
                os.listdir(path) if folder else ssl.create_default_context(cafile=path)  # noqa: PTH208 - raises what it lacks
            except OSError as error:
                said = f"{path} ({name}): {error.strerror or error}"
                return Finding("CA", good=False, said=said, todo=f"correct or unset {name}")
            return Finding("CA", good=True, said=f"{path} ({name})")
    paths = ssl.get_default_verify_paths()
    return Finding("CA", good=True, said=paths.cafile or paths.capath or "the system's")


def probe(url: str, tell: Tell, *, proxy: str | None) -> bool:
    """Take the steps to *url* one by one, *tell* what each found; return whether all went well."""
    try:
        with ExitStack() as stack:
            _travel(urlsplit(url), urlsplit(proxy) if proxy else None, tell, stack)
    except _Stopped:
        return False
    return True


def _travel(service: SplitResult, proxy: SplitResult | None, tell: Tell, stack: ExitStack) -> None:
    secure, named = service.scheme == "https", _credentials(proxy)
    host, port = _address(service)
    near, near_port = _address(proxy or service)
    places = _take(
        tell,
        "DNS",
        lambda: _look_up(near, near_port),
        lambda found: f"{near} is {found[0][0]}",
        todo=_NO_PROXY if proxy else "check the name, and the connection to the internet",
    )
    line = _take(
        tell,
        "TCP",
        lambda: _connect(places),
        lambda _: f"{near}:{near_port}{' (the proxy)' if proxy else ''}",
        todo=_NO_PROXY if proxy else "look for a firewall, or name your proxy in HTTPS_PROXY",
    )
    stack.callback(line.close)
    if proxy and proxy.scheme == "https":
        line = _secure(tell, "proxy's TLS", line, near, stack)
    if proxy and secure:
        place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        ask = f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n{named}\r\n"
        _take(tell, "tunnel", lambda: _tunnel(line, ask), str, todo=_ASK_PROXY)
        if proxy.scheme == "https":
            return  # what is inside of two layers of TLS, the client's own call will tell
    if secure:
        line = _secure(tell, "TLS", line, host, stack)
    plainly = proxy if not secure else None
    target = service.geturl() if plainly else service.path or "/"
    ask = f"HEAD {target} HTTP/1.1\r\nHost: {service.netloc}\r\nConnection: close\r\n"
    ask += f"{named if plainly else ''}\r\n"
    head = _take(
        tell,
        "first byte",
        lambda: _exchange(line, ask, refused="407" if plainly else ""),
        lambda head: f"it answers ({' '.join(head.split()[:2])})",
        todo=_ASK_PROXY if plainly else "no web server listens there: check the base URL",
    )
    _check_clock(head, tell)


def _take(
    tell: Tell,
    step: str,
    do: Callable[[], _T],
    say: Callable[[_T], str],
    *,
    todo: str | Callable[[Exception], str],
) -> _T:
    began = time.monotonic()
    try:
        result = do()
    except (OSError, ValueError) as error:
        advice = todo if isinstance(todo, str) else todo(error)
        tell(Finding(step, good=False, said=one_line(str(error)), todo=advice))
        raise _Stopped from None
    tell(Finding(step, good=True, said=one_line(say(result)), seconds=time.monotonic() - began))
    return result


def _address(url: SplitResult) -> tuple[str, int]:
    return url.hostname or "", url.port or (443 if url.scheme == "https" else 80)


def _look_up(host: str, port: int) -> _Places:
    """Find the addresses of *host*, in a thread that can be left: the system's call has no limit.

    Ctrl-C would not interrupt that call, either.
    """
    told: SimpleQueue[_Places | Exception] = SimpleQueue()

    def ask() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, ValueError) as error:
            told.put(error)
        else:
            told.put([(str(place[4][0]), port) for place in found])

    threading.Thread(target=ask, daemon=True).start()
    try:
        result = told.get(timeout=_LIMIT)
    except Empty:
        raise TimeoutError(f"no answer in {_LIMIT:g} s") from None
    if isinstance(result, Exception):
        raise result
    return result


def _connect(places: _Places) -> socket.socket:
    """Connect to the first of *places* that answers; each has its share of the time."""
    failure: OSError | None = None
    for place in places:
        try:
            line = socket.create_connection(place, _LIMIT / len(places))
        except OSError as error:
            failure = failure or error
        else:
            line.settimeout(_LIMIT)
            return line
    raise failure or OSError("it has no address")


def _secure(
    tell: Tell, step: str, line: socket.socket, host: str, stack: ExitStack
) -> socket.socket:
    context = ssl.create_default_context()
    wrapped = _take(
        tell,
        step,
        lambda: context.wrap_socket(line, server_hostname=host),
        _certificate,
        todo=lambda error: (
            "SSL_CERT_FILE can name the certificates of a company's proxy"
            if isinstance(error, ssl.SSLCertVerificationError)
            else "there seems to be no TLS at that port: check https:// and the port"
        ),
    )
    stack.callback(wrapped.close)
    return wrapped


def _credentials(proxy: SplitResult | None) -> str:
    if proxy is None or proxy.username is None:
        return ""
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return f"Proxy-Authorization: Basic {b64encode(pair.encode()).decode()}\r\n"


def _tunnel(line: socket.socket, ask: str) -> str:
    status = _status(_exchange(line, ask))
    if status.split()[1:2] != ["200"]:
        raise OSError(status)
    return status


def _exchange(line: socket.socket, ask: str, *, refused: str = "") -> str:
    """Send *ask*; return the head of what comes back, unless its status is the *refused* one."""
    until = time.monotonic() + _LIMIT
    line.sendall(ask.encode("latin-1"))
    head = b""
    while b"\r\n\r\n" not in head and len(head) < _HEAD and (data := line.recv(4096)):
        head += data
        if time.monotonic() > until:
            raise TimeoutError(f"no whole answer in {_LIMIT:g} s")
    if not head.startswith(b"HTTP/"):
        raise OSError(f"no HTTP came back, but {head[:40]!r}")
    text = head.decode("latin-1")
    if refused and _status(text).split()[1:2] == [refused]:
        raise OSError(_status(text))
    return text


def _status(head: str) -> str:
    return head.partition("\r\n")[0]


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
