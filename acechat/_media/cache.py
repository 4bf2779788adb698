"""Prompt caching: `text`, and the option *cache* of parts and tools."""

from __future__ import annotations

from typing import Literal, TypeAlias

from acechat.errors import ConfigurationError
from acechat.types import CacheControl, TextPart

__all__ = ["CacheOption", "cache_control", "text"]

CacheOption: TypeAlias = Literal[True, "5m", "1h"] | None
"""Lifetime in the service's prompt cache; True for its default, 5 minutes. None for no cache."""


def cache_control(cache: CacheOption) -> CacheControl | None:
    """Return the field ``cache_control`` of a part or a tool; None for no cache.

    Raises:
        ConfigurationError: *cache* has another value.
    """
    if cache is None:
        return None
    if cache is True:
        return CacheControl()
    if cache not in ("5m", "1h"):
        raise ConfigurationError(f'cache must be True, "5m" or "1h", not {cache!r}')
    return CacheControl(cache)


def text(content: str, *, cache: CacheOption = None) -> TextPart:
    """Return *content* as a part of a message, which may end a cached prefix.

    Args:
        content: The text.
        cache: True or ``"5m"``, or ``"1h"``: the service may cache the request up to the end of
            this part for that time, and read it at a lower price in later requests that begin with
            the same bytes. It depends on the channel that the service selects. None for no cache.

    Raises:
        ConfigurationError: *cache* has another value.

    Example:
        >>> text("The complete manual", cache="1h").cache_control.ttl
        '1h'
    """
    return TextPart(content, cache_control(cache))
