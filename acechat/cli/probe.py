"""Step-by-step check of the network path to the service; sends no token."""

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

__all__ = ["Finding", "ReportCallback", "certificates", "probe", "proxy_for", "without_password"]

_T = TypeVar("_T")

_STEP_TIMEOUT = 10.0
"""Seconds per step."""

_MAX_HEAD = 2**16
"""Bytes of a response head; a longer one is not HTTP."""

_MAX_SKEW = 120.0
"""Seconds of clock skew; with more, certificates appear expired or not yet valid."""

_NO_PROXY = "correct the proxy's address in HTTPS_PROXY, HTTP_PROXY or ALL_PROXY, or unset it"
_ASK_PROXY = (
    "ask the proxy's administrator; user and password go into its URL: http://user:password@host"
)


class Finding(Struct, frozen=True):
    """Result of one step."""

    step: str
    good: bool
    message: str
    seconds: float | None = None
    """Duration; None if it is not measured."""
    todo: str = ""
    """Next step for the user if *good* is False."""


ReportCallback = Callable[[Finding], None]
_Addresses = list[tuple[str, int]]


class _Stopped(Exception):  # noqa: N818 - the last finding holds the error
    """A step failed; those that depend on it are skipped."""


def proxy_for(url: str) -> str | None:
    """Return the proxy URL that the client takes from the environment for *url*; None for none."""
    parts = urlsplit(url)
    if urllib.request.proxy_bypass(f"{parts.hostname}:{parts.port}"):
        return None
    proxies = urllib.request.getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    return proxy if not proxy or "://" in proxy else f"http://{proxy}"


def without_password(url: str) -> str:
    """Return *url* without user and password."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def certificates() -> Finding:
    """Return the source of the trusted CA certificates, and whether it is readable."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        if path := os.environ.get(name):
            folder = name == "SSL_CERT_DIR"
            try:
                os.listdir(path) if folder else ssl.create_default_context(cafile=path)  # noqa: PTH208 - for its error
            except OSError as error:
                message = f"{path} ({name}): {error.strerror or error}"
                return Finding("CA", good=False, message=message, todo=f"correct or unset {name}")
            return Finding("CA", good=True, message=f"{path} ({name})")
    paths = ssl.get_default_verify_paths()
    return Finding("CA", good=True, message=paths.cafile or paths.capath or "the system's")


def probe(url: str, report: ReportCallback, *, proxy: str | None) -> bool:
    """Check DNS, TCP, proxy, TLS, HTTP and clock; *report* each step; return True if all passed."""
    try:
        with ExitStack() as stack:
            _check_path(urlsplit(url), urlsplit(proxy) if proxy else None, report, stack)
    except _Stopped:
        return False
    return True


def _check_path(
    service: SplitResult, proxy: SplitResult | None, report: ReportCallback, stack: ExitStack
) -> None:
    secure, proxy_header = service.scheme == "https", _credentials(proxy)
    host, port = _address(service)
    peer, peer_port = _address(proxy or service)
    addresses = _run_step(
        report,
        "DNS",
        lambda: _look_up(peer, peer_port),
        lambda found: f"{peer} is {found[0][0]}",
        todo=_NO_PROXY if proxy else "check the host name and the internet connection",
    )
    sock = _run_step(
        report,
        "TCP",
        lambda: _connect(addresses),
        lambda _: f"{peer}:{peer_port}{' (the proxy)' if proxy else ''}",
        todo=_NO_PROXY if proxy else "check the firewall, or set HTTPS_PROXY to your proxy",
    )
    stack.callback(sock.close)
    if proxy and proxy.scheme == "https":
        sock = _secure(report, "proxy's TLS", sock, peer, stack)
    if proxy and secure:
        authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        request = f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{proxy_header}\r\n"
        _run_step(report, "tunnel", lambda: _tunnel(sock, request), str, todo=_ASK_PROXY)
        if proxy.scheme == "https":
            return  # TLS inside of TLS is left to the client's call
    if secure:
        sock = _secure(report, "TLS", sock, host, stack)
    plain_proxy = proxy if not secure else None
    target = service.geturl() if plain_proxy else service.path or "/"
    request = f"HEAD {target} HTTP/1.1\r\nHost: {service.netloc}\r\nConnection: close\r\n"
    request += f"{proxy_header if plain_proxy else ''}\r\n"
    head = _run_step(
        report,
        "first byte",
        lambda: _exchange(sock, request, rejected="407" if plain_proxy else ""),
        lambda head: f"received ({' '.join(head.split()[:2])})",
        todo=_ASK_PROXY if plain_proxy else "no HTTP server at this address: check the base URL",
    )
    _check_clock(head, report)


def _run_step(
    report: ReportCallback,
    step: str,
    run: Callable[[], _T],
    describe: Callable[[_T], str],
    *,
    todo: str | Callable[[Exception], str],
) -> _T:
    started = time.monotonic()
    try:
        result = run()
    except (OSError, ValueError) as error:
        advice = todo if isinstance(todo, str) else todo(error)
        report(Finding(step, good=False, message=one_line(str(error)), todo=advice))
        raise _Stopped from None
    seconds = time.monotonic() - started
    report(Finding(step, good=True, message=one_line(describe(result)), seconds=seconds))
    return result


def _address(url: SplitResult) -> tuple[str, int]:
    return url.hostname or "", url.port or (443 if url.scheme == "https" else 80)


def _look_up(host: str, port: int) -> _Addresses:
    """Return the addresses of *host*, resolved in a daemon thread.

    getaddrinfo() has no timeout and cannot be interrupted by Ctrl-C; the thread can be abandoned.
    """
    results: SimpleQueue[_Addresses | Exception] = SimpleQueue()

    def resolve() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, ValueError) as error:
            results.put(error)
        else:
            results.put([(str(info[4][0]), port) for info in found])

    threading.Thread(target=resolve, daemon=True).start()
    try:
        result = results.get(timeout=_STEP_TIMEOUT)
    except Empty:
        raise TimeoutError(f"no DNS response within {_STEP_TIMEOUT:g} s") from None
    if isinstance(result, Exception):
        raise result
    return result


def _connect(addresses: _Addresses) -> socket.socket:
    """Connect to the first reachable address; each gets an equal share of the time."""
    failure: OSError | None = None
    for address in addresses:
        try:
            sock = socket.create_connection(address, _STEP_TIMEOUT / len(addresses))
        except OSError as error:
            failure = failure or error
        else:
            sock.settimeout(_STEP_TIMEOUT)
            return sock
    raise failure or OSError("the host has no address")


def _secure(
    report: ReportCallback, step: str, sock: socket.socket, host: str, stack: ExitStack
) -> socket.socket:
    context = ssl.create_default_context()
    wrapped = _run_step(
        report,
        step,
        lambda: context.wrap_socket(sock, server_hostname=host),
        _certificate,
        todo=lambda error: (
            "set SSL_CERT_FILE to the CA certificates of your company's proxy"
            if isinstance(error, ssl.SSLCertVerificationError)
            else "the port does not seem to use TLS: check https:// and the port"
        ),
    )
    stack.callback(wrapped.close)
    return wrapped


def _credentials(proxy: SplitResult | None) -> str:
    if proxy is None or proxy.username is None:
        return ""
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return f"Proxy-Authorization: Basic {b64encode(pair.encode()).decode()}\r\n"


def _tunnel(sock: socket.socket, request: str) -> str:
    status = _status(_exchange(sock, request))
    if status.split()[1:2] != ["200"]:
        raise OSError(status)
    return status


def _exchange(sock: socket.socket, request: str, *, rejected: str = "") -> str:
    """Send *request* and return the response head; the status code *rejected* is an error."""
    deadline = time.monotonic() + _STEP_TIMEOUT
    sock.sendall(request.encode("latin-1"))
    head = b""
    while b"\r\n\r\n" not in head and len(head) < _MAX_HEAD and (data := sock.recv(4096)):
        head += data
        if time.monotonic() > deadline:
            raise TimeoutError(f"no complete response head within {_STEP_TIMEOUT:g} s")
    if not head.startswith(b"HTTP/"):
        raise OSError(f"expected an HTTP response, got {head[:40]!r}")
    text = head.decode("latin-1")
    if rejected and _status(text).split()[1:2] == [rejected]:
        raise OSError(_status(text))
    return text


def _status(head: str) -> str:
    return head.partition("\r\n")[0]


def _certificate(sock: ssl.SSLSocket) -> str:
    fields = cast("dict[str, Any]", sock.getpeercert() or {})
    issuer: dict[str, str] = dict(pair for pairs in fields.get("issuer", ()) for pair in pairs)
    name = issuer.get("organizationName") or issuer.get("commonName") or "?"
    return f"{sock.version()}, certificate of {name} until {fields.get('notAfter', '?')}"


def _check_clock(head: str, report: ReportCallback) -> None:
    dates = [line[5:] for line in head.split("\r\n") if line.lower().startswith("date:")]
    try:
        server_time = parsedate_to_datetime(dates[0].strip()).timestamp()
    except (IndexError, ValueError):
        return  # no valid Date header
    skew = time.time() - server_time
    good = abs(skew) < _MAX_SKEW
    direction = "ahead of" if skew > 0 else "behind"
    message = "right" if good else f"{abs(skew):.0f} s {direction} the service's clock"
    report(Finding("clock", good=good, message=message, todo="set this machine's clock"))
