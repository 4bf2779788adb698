"""Names and values of headers, query fields and URLs that are credentials."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress

__all__ = ["is_private", "private_values", "public_url"]

_PRIVATE = re.compile(
    r"auth|cookie|credential|passw|secret|signature|token(?!s)|api-?key|"
    r"(^|[-_])(key|sig)([-_]|$)|apikey",
    re.IGNORECASE,
)
"""Names of headers and query fields with private values; ``ratelimit-tokens`` is not one."""


def is_private(name: str) -> bool:
    """Return True if a header or a query field with this *name* usually has a private value."""
    return _PRIVATE.search(name) is not None


def private_values(fields: Mapping[str, str]) -> Iterator[str]:
    """Yield the private values of headers or query fields, and the secrets that they consist of."""
    for name, value in fields.items():
        if not is_private(name):
            continue
        yield value
        scheme, _, credentials = value.strip().rpartition(" ")
        yield credentials
        if scheme.lower() == "basic":
            with suppress(ValueError):
                user_and_password = binascii.a2b_base64(credentials).decode()
                yield user_and_password
                yield user_and_password.partition(":")[2]
        if "cookie" in name.lower():
            yield from (each.partition("=")[2].strip() for each in value.split(";"))


def public_url(url: str) -> str:
    """Return *url*, or a path with a query, without user name, password and private fields."""
    address, question, query = url.partition("?")
    if "@" in address and (address[:1] != "/" or address.startswith("//")):
        # A password may contain "/", although it should not.
        scheme, slashes, _ = address.partition("://")
        address = f"{scheme if slashes else ''}{slashes}{address.rpartition('@')[2]}"
    if not question:
        return address
    query, hash_, fragment = query.partition("#")
    return f"{address}?{'&'.join(map(_public_field, query.split('&')))}{hash_}{fragment}"


def _public_field(field: str) -> str:
    name, equals, _ = field.partition("=")
    return f"{name}=***" if equals and is_private(name) else field
