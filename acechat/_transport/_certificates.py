"""Which certificates are trusted.

aiohttp makes a context of what the environment names when it is imported. To make another takes as
long as half of that import, so it is only done for what has been named since.
"""

from __future__ import annotations

import os
import ssl
import sys

__all__ = ["named_certificates"]


def _named() -> list[str | None]:
    return [os.environ.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR")]


_KNOWN = None if "aiohttp" in sys.modules else _named()
"""What aiohttp, which is imported after this module, knows; None if it was imported before."""


def named_certificates() -> ssl.SSLContext | None:
    """Return a context with what the environment names; None where aiohttp's own has it."""
    named = _named()
    return ssl.create_default_context() if any(named) and named != _KNOWN else None
