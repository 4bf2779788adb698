"""Which certificates are trusted.

aiohttp makes a context of what the environment names when it is imported. To make another takes as
long as half of that import, so it is only done for what has been named since.
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


def _named() -> list[str | None]:
    return [os.environ.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR")]


@contextmanager
def _writable_key_log() -> Generator[None]:
    """Hide an `SSLKEYLOGFILE` that cannot be written.

    Virus scanners set it for all programs. With it, Python can make no context of TLS, and aiohttp
    cannot be imported; a program that nobody debugs works as well without the log.
    """
    path = os.environ.get(_KEY_LOG)
    if not path or sys.flags.ignore_environment:
        yield
        return
    try:
        with open(path, "ab"):  # noqa: PTH123 - as OpenSSL opens it
            pass
    except (OSError, ValueError) as error:
        logging.getLogger("acechat").warning("%s is ignored: %s", _KEY_LOG, error)
        os.environ.pop(_KEY_LOG, None)
        try:
            yield
        finally:
            os.environ.setdefault(_KEY_LOG, path)
    else:
        yield


_KNOWN = None if "aiohttp" in sys.modules else _named()
"""What aiohttp, which is imported next, knows; None if it was imported before."""

with _writable_key_log():
    import aiohttp as _  # noqa: F401


def named_certificates() -> ssl.SSLContext | None:
    """Return a context with what the environment names; None where aiohttp's own has it."""
    named = _named()
    if not any(named) or named == _KNOWN:
        return None
    with _writable_key_log():
        return ssl.create_default_context()


def unreadable_certificates() -> str:
    """Return the variable, with its value, that names a file without certificates; "" if none.

    OpenSSL then trusts no certificate at all, without an error.
    """
    path = os.environ.get("SSL_CERT_FILE")
    if not path:
        return ""
    with suppress(OSError, ValueError):  # ssl.SSLError is an OSError
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
        return ""
    return f"SSL_CERT_FILE={path}"
