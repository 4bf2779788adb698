"""Structs -> JSON bytes."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any, cast

import msgspec

from acechat.errors import ConfigurationError
from acechat.types import ImagePart, UserMessage

__all__ = ["encode"]

_encoder = msgspec.json.Encoder()


_LARGE = 2**20
"""Characters from which on a request holds a picture, most likely."""


_MARKUP = 2**14
"""Bytes of a request beside its pictures; where there are more, msgspec makes room."""


_SHORT = 2**16
"""Bytes up to which a request is searched sooner than walked."""


def encode(body: Mapping[str, Any]) -> bytes | bytearray:
    """Write a request.

    Returns:
        Bytes; of a request with large pictures a bytearray, so that nothing is ever there twice.
        msgspec makes room for half as much again where it is not told how much there will be.

    Raises:
        ConfigurationError: It holds what JSON cannot: NaN, infinity or a lone surrogate.
        TypeError: It holds an object that is no JSON.
    """
    try:
        size = _size_of_pictures(body.get("messages"))
        if size < _LARGE:
            written: bytes | bytearray = _encoder.encode(body)
        else:
            written = room = bytearray(size + _MARKUP)
            _encoder.encode_into(body, room)
        # msgspec makes null of NaN and infinity; to look for it in pictures takes too long.
        if len(written) > _SHORT or b"null" in written:
            _refuse_numbers(body)
    except RecursionError:
        raise ConfigurationError("the request is nested too deep, or holds itself") from None
    except UnicodeEncodeError as error:
        raise ConfigurationError(
            f"the request holds {error.object[error.start]!r}, half of a character, "
            "which cannot be sent"
        ) from None
    return written


def _refuse_numbers(value: object, path: str = "") -> None:
    """Raise for the first number that is not finite, and say where it is."""
    if isinstance(value, float):
        if not isfinite(value):
            raise ConfigurationError(f"{path[1:]} is {value}, which JSON cannot hold")
    elif isinstance(value, Mapping):
        for key, inner in cast("Mapping[Any, Any]", value).items():
            _refuse_numbers(inner, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(cast("list[Any]", value)):
            _refuse_numbers(inner, f"{path}[{number}]")


def _size_of_pictures(messages: list[object] | None) -> int:
    """Return how many characters the pictures have that users show."""
    size = 0
    if type(messages) is list:  # extra_body may make them anything
        for message in messages:
            if isinstance(message, UserMessage) and not isinstance(message.content, str):
                for part in message.content:
                    if isinstance(part, ImagePart):
                        size += len(part.image_url.url)
    return size
