"""Convert aiohttp's exceptions to acechat's.

aiohttp's exceptions are never the cause or context of acechat's: the repr of some shows the request
headers, the token included. Only their message is kept.
"""

from __future__ import annotations

import os

import aiohttp
from aiohttp.http_exceptions import ContentEncodingError, HttpProcessingError

from acechat._http.certificates import unreadable_certificates
from acechat._policy.values import Timeout
from acechat.errors import (
    AceChatError,
    ConfigurationError,
    ConnectError,
    RequestTimeoutError,
    TransportError,
)

__all__ = ["map_exception", "timeout_error"]

_MAX_MESSAGE = 300
"""Characters of a message, which may quote everything that the server sent."""

_SERVER_ERRORS = 500
"""Lowest status of a proxy error that may be temporary."""


def timeout_error(
    phase: str, timeout: Timeout, *, sent: bool = True, looking_up: str = ""
) -> RequestTimeoutError:
    """Return the error for the exceeded limit *phase*, a field of *timeout*."""
    limit = getattr(timeout, phase) or 0.0
    return RequestTimeoutError(phase, limit, sent=sent, looking_up=looking_up)


def map_exception(error: Exception, otherwise: str) -> AceChatError:  # noqa: C901, PLR0912 - a table
    """Return acechat's exception for *error*; *otherwise* begins the messages of most."""
    # aiohttp raises one global object for all connections that it closes. Each raise would add
    # frames to its traceback, which would keep them and their variables alive.
    error.__traceback__ = error.__context__ = None
    match error:
        case AceChatError():
            return error
        case aiohttp.ClientConnectorCertificateError():
            reason = getattr(error.certificate_error, "verify_message", "") or str(error)
            if unreadable := unreadable_certificates():
                reason += f" ({unreadable} has no readable certificates)"
            return ConnectError(
                f"the certificate of {error.host}:{error.port} is not trusted: {reason}", final=True
            )
        case aiohttp.ClientSSLError():
            return ConnectError(
                f"TLS with {error.host}:{error.port} failed: {error.os_error}", final=True
            )
        case aiohttp.ClientConnectorDNSError():
            return ConnectError(f"cannot resolve the host {error.host}: {error.os_error}")
        case aiohttp.ClientProxyConnectionError():
            return ConnectError(f"cannot connect to the proxy {error.host}:{error.port}")
        case aiohttp.ClientConnectorError():
            reason = os.strerror(error.os_error.errno) if error.os_error.errno else error.os_error
            return ConnectError(f"cannot connect to {error.host}:{error.port}: {reason}")
        case aiohttp.ClientHttpProxyError():
            return ConnectError(
                f"the proxy rejected the connection: {error.status} {error.message}",
                final=error.status < _SERVER_ERRORS,
            )
        case aiohttp.InvalidURL():
            return ConfigurationError("invalid base URL or proxy URL")
        case TimeoutError():
            return RequestTimeoutError("connect", 0.0)
        case aiohttp.ServerDisconnectedError():
            return TransportError(f"{otherwise}: the server closed the connection")
        case HttpProcessingError():  # its str() has several lines
            broken = TransportError(f"{otherwise}: {error.code}, {error.message[:_MAX_MESSAGE]}")
            broken.ending = "malformed"
            return broken
        case UnicodeError():  # from Python's IDNA codec: an empty or too long label
            return ConnectError("cannot resolve the host: invalid name", final=True)
        case _:
            text = str(error)[:_MAX_MESSAGE] or type(error).__name__
            broken = TransportError(f"{otherwise}: {text}")
            broken.ending = _ending_of(error)
            return broken


def _ending_of(error: Exception) -> str:
    """Return how the connection ended; some errors of aiohttp have the cause in their text only."""
    if isinstance(error, OSError) or "ConnectionResetError" in str(error):
        return "reset"
    unreadable = isinstance(error.__cause__, ContentEncodingError)
    if unreadable or isinstance(error, aiohttp.ClientResponseError):
        return "malformed"
    return "cut"
