"""Trusted certificates.

aiohttp creates a TLS context at import, from SSL_CERT_FILE and SSL_CERT_DIR. Creating another takes
half as long as that import, so it is done only if these variables have changed since.
"""

from __future__ import annotations

import logging
import os
import ssl
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress

__all__ = ["named_certificates", "unreadable_certificates"]

_KEY_LOG = "SSLKEYLOGFILE"


def _certificate_paths() -> list[str | None]:
    return [os.environ.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR")]


@contextmanager
def _writable_key_log() -> Generator[None, None, None]:
    """Hide an `SSLKEYLOGFILE` that cannot be written.

    Virus scanners set it for all programs. With such a path, Python cannot create a TLS context
    and aiohttp cannot be imported. The log is for debugging only, so it is left out.
    """
    path = os.environ.get(_KEY_LOG)
    if not path or sys.flags.ignore_environment:
        yield
        return
    try:
        with open(path, "ab"):  # noqa: PTH123 - as OpenSSL opens it
            pass
    except (OSError, ValueError) as error:
        logging.getLogger("acechat").warning(
            "%s cannot be written and is ignored: %s", _KEY_LOG, error
        )
        os.environ.pop(_KEY_LOG, None)
        try:
            yield
        finally:
            os.environ.setdefault(_KEY_LOG, path)
    else:
        yield


_PATHS_AT_IMPORT = None if "aiohttp" in sys.modules else _certificate_paths()
"""The variables that aiohttp, imported next, reads; None if it was imported before."""

with _writable_key_log():
    import aiohttp as _  # noqa: F401


def named_certificates() -> ssl.SSLContext | None:
    """Return a TLS context with the certificates of the environment; None for aiohttp's context."""
    paths = _certificate_paths()
    if not any(paths) or paths == _PATHS_AT_IMPORT:
        return None
    with _writable_key_log():
        return ssl.create_default_context()


def unreadable_certificates() -> str:
    """Return ``SSL_CERT_FILE=path`` if that file has no readable certificates, else "".

    OpenSSL reports no error for such a file, and then trusts no certificate.
    """
    path = os.environ.get("SSL_CERT_FILE")
    if not path:
        return ""
    with suppress(OSError, ValueError):  # ssl.SSLError is an OSError
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
        return ""
    return f"SSL_CERT_FILE={path}"
