"""Convert aiohttp's exceptions to acechat's.

aiohttp's exceptions are never the cause or context of acechat's: the repr of some shows the request
headers, the token included. Messages name the defect and the next step, not aiohttp's classes.
"""

from __future__ import annotations

import os
import re
from ssl import SSLError

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from acechat._http.certificates import unreadable_certificates
from acechat._policy.values import Timeout
from acechat.errors import (
    AceChatError,
    ConfigurationError,
    ConnectError,
    ProtocolError,
    RequestTimeoutError,
    TransportError,
)

__all__ = ["MAX_FIELD", "MAX_HEADERS", "map_exception", "timeout_error", "undecodable"]

MAX_FIELD = 2**16
"""Bytes of one response header, and of the status line."""

MAX_HEADERS = 1024
"""Number of response headers."""

_CHECK = "check base_url and proxies"

_UNKNOWN = re.compile(r"Can not decode content-encoding: \w+ \((\w+)\)")
"""aiohttp's message for an encoding whose package is not installed."""

_QUOTED = re.compile(r"(?m)b['\"].{0,80}")
_COUNTS = re.compile(r"(?<!\d)\d+ of \d+ bytes")
_ERRNO = re.compile(r"\[Errno (\d+)\]")
_NAMES = re.compile(r"<|\baiohttp|\basyncio|[a-z](?:Error|Exception)\b")
"""Names of classes and objects: details that mean nothing to users."""

_MAX_CODING = 40

_MAX_MESSAGE = 200
"""Characters of a message, which may quote everything that the server sent."""

_SERVER_ERRORS = 500
"""Lowest status of a proxy error that may be temporary."""


def timeout_error(
    phase: str, timeout: Timeout, *, sent: bool = True, looking_up: str = ""
) -> RequestTimeoutError:
    """Return the error for the exceeded limit *phase*, a field of *timeout*."""
    limit = getattr(timeout, phase) or 0.0
    return RequestTimeoutError(phase, limit, sent=sent, looking_up=looking_up)


def map_exception(error: Exception, otherwise: str) -> AceChatError:
    """Return acechat's exception for *error*; *otherwise* begins the messages of most."""
    # aiohttp raises one global object for all connections that it closes. Each raise would add
    # frames to its traceback, which would keep them and their variables alive.
    error.__traceback__ = error.__context__ = None
    match error:
        case AceChatError():
            return error
        case aiohttp.ClientConnectorCertificateError():
            reason = getattr(error.certificate_error, "verify_message", "")
            reason = reason or _plain(error.certificate_error)
            if unreadable := unreadable_certificates():
                reason += f" ({unreadable} has no readable certificates)"
            return ConnectError(
                f"the certificate of {error.host}:{error.port} is not trusted: {reason}", final=True
            )
        case aiohttp.ClientSSLError():
            return ConnectError(
                f"TLS with {error.host}:{error.port} failed: {_plain(error.os_error)}; check "
                "base_url and proxies (https or http, port)",
                final=True,
            )
        case aiohttp.ClientConnectorDNSError():
            reason = _plain(error.os_error)
            return ConnectError(
                f"cannot resolve the host {error.host}: {reason}; check base_url and the network"
            )
        case aiohttp.ClientProxyConnectionError():
            reason = _plain(error.os_error)
            return ConnectError(
                f"cannot connect to the proxy {error.host}:{error.port}: {reason}; check proxy= "
                "and HTTPS_PROXY"
            )
        case aiohttp.ClientConnectorError():
            return ConnectError(
                f"cannot connect to {error.host}:{error.port}: {_plain(error.os_error)}"
            )
        case aiohttp.ClientHttpProxyError():
            return ConnectError(
                f"the proxy rejected the connection: {error.status} {error.message}; check proxy= "
                "and HTTPS_PROXY",
                final=error.status < _SERVER_ERRORS,
            )
        case aiohttp.InvalidURL():
            return ConfigurationError("invalid base URL or proxy URL")
        case TimeoutError():
            return RequestTimeoutError("connect", 0.0)
        case UnicodeError():  # from Python's IDNA codec: an empty or too long label
            return ConnectError("cannot resolve the host: invalid name; check base_url", final=True)
        case _:
            return _break_of(error, otherwise)


def _break_of(error: Exception, otherwise: str) -> AceChatError:
    """Return the exception for a connection that broke, or whose bytes are not valid."""
    cause = error if isinstance(error, HttpProcessingError) else error.__cause__
    message = cause.message if isinstance(cause, HttpProcessingError) else ""
    if (unknown := _UNKNOWN.search(message)) is not None:
        return ProtocolError(undecodable(unknown[1]))
    ending = "cut"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        text = "the server closed the connection; try again"
    elif isinstance(error, OSError) or "ConnectionResetError" in str(error):
        ending = "reset"
        text = _plain(error) if isinstance(error, OSError) else "Connection reset by peer"
        text += "; try again"
    elif message or isinstance(error, aiohttp.ClientResponseError):
        ending, text = _defect(message)
        if isinstance(error, aiohttp.ClientPayloadError) and "content-encoding" not in message:
            ending = "cut"
    elif isinstance(error, aiohttp.ClientError):
        text = f"{_plain(error)}; try again"
    else:  # of code that hooks aiohttp: its author needs the name
        text = f"{type(error).__name__}: {' '.join(str(error).split())[:_MAX_MESSAGE]}"
    broken = TransportError(f"{otherwise}: {text}")
    broken.ending = ending
    return broken


def undecodable(coding: str) -> str:
    """Return the message for a body in a *coding* that acechat cannot decode."""
    return (
        f"the response has the content encoding {coding[:_MAX_CODING]!r}, but acechat requests "
        "gzip and deflate only; check proxies and base_url"
    )


def _defect(message: str) -> tuple[str, str]:
    """Return the ending of the connection, and a description of what aiohttp rejected.

    Its *message* decides: it wraps most of its exceptions in others.
    """
    if "Not enough data" in message:
        counts = _COUNTS.search(message)
        missing = f"its Content-Length ({counts[0]})" if counts else "its last chunk"
        return "cut", f"the body ended before {missing}; try again"
    if "content-encoding" in message:
        return "malformed", "the compressed body cannot be decompressed; check proxies"
    if "Got more than" in message:
        limit = f"{MAX_FIELD // 1024} KiB"
        return "malformed", f"a header is longer than {limit}; check proxies and the server"
    if "Too many headers" in message:
        return "malformed", f"it has more than {MAX_HEADERS} headers; check proxies and the server"
    if "Bad status line" in message:
        quoted = _QUOTED.search(message)
        found = f" but sent {quoted[0]}" if quoted else ""
        return "malformed", f"the server does not speak HTTP{found}; {_CHECK}"
    return "malformed", f"the response is not valid HTTP{_quote(message)}; {_CHECK}"


def _quote(message: str) -> str:
    """Return the defect in aiohttp's *message*, and the line that it quotes, as one line."""
    lines = [" ".join(line.split()) for line in message.splitlines()]
    text = " ".join(line for line in lines if line and set(line) != {"^"})
    return f" ({text[:_MAX_MESSAGE]})" if text and _NAMES.search(text) is None else ""


def _plain(error: BaseException | None) -> str:
    """Return the message of the system in *error*, without names of classes."""
    if isinstance(error, OSError):
        numbers = set(_ERRNO.findall(str(error)))
        if error.strerror and not isinstance(error, SSLError) and error.errno:
            # the strings of asyncio repeat the address
            return os.strerror(error.errno) if error.errno > 0 else error.strerror
        if len(numbers) == 1:  # of all addresses of a host
            return os.strerror(int(numbers.pop()))
        if error.strerror:
            return _plain_text(error.strerror)
    return _plain_text(str(error))


def _plain_text(text: str) -> str:
    text = " ".join(text.split())[:_MAX_MESSAGE]
    return text if text and _NAMES.search(text) is None else "unexpected end"
