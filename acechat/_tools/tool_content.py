"""Convert the values and the exceptions of tools to text for the model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from typing import Any, cast

import msgspec

from acechat._credentials import Token
from acechat.types import ImagePart, TextPart

__all__ = ["ToolFailureError", "content_of", "reason_of"]

_MAX_REASON = 1000
"""Characters of an exception that the model receives: some contain a complete HTML page."""

_MAX_ERRORS = 10
"""Exceptions of a group that the model receives."""


class ToolFailureError(Exception):
    """A tool call failed; the message is the reason that the model receives."""


def reason_of(error: BaseException, token: Token) -> str:
    """Return the text of an exception that the model receives, without *token*."""
    if isinstance(error, ToolFailureError):
        return token.redact_text(str(error))
    lines = [_line(one) for one in islice(_errors_in(error), _MAX_ERRORS)]
    # Redacted before it is truncated, since half of a token would not be recognised.
    return token.redact_text("; ".join(lines), truncated=True)[:_MAX_REASON]


def _errors_in(error: BaseException) -> Iterator[BaseException]:
    """Yield *error*, or the exceptions inside of a group, whose own text has no reason."""
    pending = [error]
    while pending:
        one = pending.pop()
        if isinstance(one, BaseExceptionGroup):
            inner: tuple[BaseException, ...] = cast("BaseExceptionGroup", one).exceptions
            pending += reversed(inner)
        else:
            yield one


def _line(error: BaseException) -> str:
    name = type(error).__name__
    texts: list[str] = []
    with suppress(Exception):  # __str__ may be code of the tool
        texts.append(str(error))
    with suppress(Exception):
        texts += map(str, getattr(error, "__notes__", ()))
    text = "\n".join(filter(None, texts))
    return f"{name}: {text}" if text else name


def content_of(value: object) -> tuple[str, tuple[ImagePart, ...]]:
    """Convert the value of a tool to text, and to images, which a tool message cannot hold."""
    if isinstance(value, str):
        return value, ()
    parts: list[object] = [value]
    if isinstance(value, list | tuple):
        parts = list(cast("list[object]", value))
    if any(isinstance(part, TextPart | ImagePart) for part in parts):
        images = tuple(part for part in parts if isinstance(part, ImagePart))
        texts = [_to_text(part) for part in parts if not isinstance(part, ImagePart)]
        if images:
            texts.append(f"(images in the next message: {len(images)})")
        return "\n".join(texts), images
    return _to_text(cast("object", value)), ()


def _to_text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, TextPart):
        return value.text
    try:
        encoded = msgspec.json.encode(value, enc_hook=_to_json)
        if b"null" in encoded:  # msgspec writes NaN and infinity as null
            plain = msgspec.to_builtins(value, str_keys=True, enc_hook=_to_json)
            text = json.dumps(plain, ensure_ascii=False, separators=(",", ":"))
            if "NaN" in text or "Infinity" in text:
                return text
        return encoded.decode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ToolFailureError("the return value of the tool cannot be encoded as JSON") from error


def _to_json(value: Any) -> Any:
    if not hasattr(value, "model_dump"):
        raise TypeError
    return value.model_dump(mode="json")  # of a pydantic model
