"""Foreign exceptions → ours.

aiohttp's exceptions are never kept as cause or context of ours: some of them show the headers of
the request, the token included, in their repr. Their text is kept, and nothing else.
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

_KEPT = 300
"""Characters of a text, which may quote all that the server sent."""

_SERVER = 500
"""From which status on a proxy's refusal may be about this moment only."""


def timeout_error(
    phase: str, timeout: Timeout, *, sent: bool = True, looking_up: str = ""
) -> RequestTimeoutError:
    """Make the error of the limit *phase* of *timeout*."""
    limit = getattr(timeout, phase) or 0.0
    return RequestTimeoutError(phase, limit, sent=sent, looking_up=looking_up)


def map_exception(error: Exception, otherwise: str) -> AceChatError:  # noqa: C901, PLR0912 - a table
    """Turn a foreign exception into ours, keeping its text alone."""
    # aiohttp raises one object for all connections that it closes (_CONNECTION_CLOSED_EXCEPTION).
    # Python adds to it the frames of each time, which would live for ever, and all that is in them.
    error.__traceback__ = error.__context__ = None
    match error:
        case AceChatError():
            return error
        case aiohttp.ClientConnectorCertificateError():
            reason = getattr(error.certificate_error, "verify_message", "") or str(error)
            if none := unreadable_certificates():
                reason += f" ({none} holds no certificates that can be read)"
            return ConnectError(
                f"the certificate of {error.host}:{error.port} is not trusted: {reason}", final=True
            )
        case aiohttp.ClientSSLError():
            return ConnectError(
                f"TLS with {error.host}:{error.port} failed: {error.os_error}", final=True
            )
        case aiohttp.ClientConnectorDNSError():
            return ConnectError(f"cannot find the host {error.host}: {error.os_error}")
        case aiohttp.ClientProxyConnectionError():
            return ConnectError(f"cannot connect to the proxy {error.host}:{error.port}")
        case aiohttp.ClientConnectorError():
            why = os.strerror(error.os_error.errno) if error.os_error.errno else error.os_error
            return ConnectError(f"cannot connect to {error.host}:{error.port}: {why}")
        case aiohttp.ClientHttpProxyError():
            return ConnectError(
                f"the proxy refused: {error.status} {error.message}", final=error.status < _SERVER
            )
        case aiohttp.InvalidURL():
            return ConfigurationError("the base URL, or that of the proxy, cannot be asked")
        case TimeoutError():
            return RequestTimeoutError("connect", 0.0)
        case aiohttp.ServerDisconnectedError():
            return TransportError(f"{otherwise}: the server closed it")
        case HttpProcessingError():  # its text is several lines
            broken = TransportError(f"{otherwise}: {error.code}, {error.message[:_KEPT]}")
            broken.ending = "malformed"
            return broken
        case UnicodeError():  # Python's, of a host with an empty or too long label
            return ConnectError("cannot find the host: that is no name", final=True)
        case _:
            text = str(error)[:_KEPT] or type(error).__name__
            broken = TransportError(f"{otherwise}: {text}")
            broken.ending = _ending_of(error)
            return broken


def _ending_of(error: Exception) -> str:
    """Tell how a connection ended; aiohttp keeps the cause of some errors in their text alone."""
    if isinstance(error, OSError) or "ConnectionResetError" in str(error):
        return "reset"
    unreadable = isinstance(error.__cause__, ContentEncodingError)
    if unreadable or isinstance(error, aiohttp.ClientResponseError):
        return "malformed"
    return "cut"
