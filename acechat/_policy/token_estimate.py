"""Estimate the tokens of messages without a request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, cast

import msgspec

from acechat.types import MessageLike

__all__ = ["estimate_tokens", "media_tokens"]

_BYTES_PER_TOKEN = 3.2
"""UTF-8 bytes of one token: English has about 4, and Chinese, with 3 bytes per character, 3."""

_MESSAGE_TOKENS = 4
_IMAGE_TOKENS = 1600
"""Maximum of one image, which Claude scales down to it."""

_PDF_BYTES_PER_TOKEN = 25
"""Characters of base64: a page has about 2,000 tokens and 50 KB."""


def estimate_tokens(messages: Iterable[MessageLike]) -> int:
    """Return about the number of tokens of *messages*, rather too many than too few."""
    total = 0.0
    for message in messages:
        total += _MESSAGE_TOKENS
        for text in _strings(msgspec.to_builtins(message)):
            media = text.startswith(("data:", "https://", "http://")) and " " not in text
            size = len(text.encode(errors="replace"))
            total += media_tokens(text) if media else size / _BYTES_PER_TOKEN
    return int(total)


def media_tokens(url: str) -> float:
    """Return about the number of tokens of the image or document with the address *url*."""
    if url.startswith("data:application/pdf"):
        return max(len(url) / _PDF_BYTES_PER_TOKEN, _IMAGE_TOKENS)
    return _IMAGE_TOKENS


def _strings(value: Any) -> Iterator[str]:
    """Yield the strings in JSON values."""
    pending = [value]
    while pending:
        one = pending.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, dict):
            pending += cast("dict[str, Any]", one).values()
        elif isinstance(one, list | tuple):
            pending += cast("list[Any]", one)
