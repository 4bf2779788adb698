"""Encode request bodies as JSON bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any, cast

import msgspec

from acechat.errors import ConfigurationError
from acechat.types import ImagePart, UserMessage

__all__ = ["encode"]

_encoder = msgspec.json.Encoder()


_LARGE = 2**21
"""Characters of images from which on the buffer is allocated in advance."""


_MARKUP = 2**14
"""Bytes reserved for the rest of such a request; msgspec enlarges the buffer if needed."""


_SHORT = 2**16
"""Bytes up to which searching the JSON for "null" is faster than walking the body."""


_MAX_BODY = 32 * 2**20
"""Bytes of a request that the service's proxies accept (docs/api.md#transport)."""

_SHOWN = 5
"""Parts that the error message names."""


_PDF = "data:application/pdf"
_WITHOUT_PDF = ("claude-3-haiku", "claude-3-sonnet", "claude-3-opus")
"""Prefixes of models that have images only (docs/api.md#messages)."""


def encode(body: Mapping[str, Any]) -> bytes | bytearray:
    """Encode the body of a request.

    Returns:
        Bytes; for a request with large images a bytearray of the right size, so that the data is in
        memory once. msgspec alone enlarges its buffer by half whenever it is full.

    Raises:
        ConfigurationError: The body contains NaN, infinity or a lone surrogate, is nested too
            deeply, contains itself, or is larger than the service accepts.
        TypeError: The body contains an object that JSON cannot represent.
    """
    try:
        size = _size_of_images(body)
        if size < _LARGE:
            encoded: bytes | bytearray = _encoder.encode(body)
        else:
            encoded = buffer = bytearray(size + _MARKUP)
            _encoder.encode_into(body, buffer)
        # msgspec writes NaN and infinity as null. Searching large images for it takes too long.
        if len(encoded) > _SHORT or encoded.find(b"null") >= 0:
            _check_size(body, len(encoded))
            _check_numbers(body)
    except RecursionError:
        raise ConfigurationError("request is nested too deeply or contains itself") from None
    except UnicodeEncodeError as error:
        raise ConfigurationError(
            f"request contains the lone surrogate {error.object[error.start]!r}, "
            "which UTF-8 cannot encode"
        ) from None
    return encoded


def _check_numbers(value: object, path: str = "") -> None:
    """Raise `ConfigurationError` with the path of the first number that is not finite."""
    if isinstance(value, float):
        if not isfinite(value):
            raise ConfigurationError(f"{path[1:]} is {value}, which JSON cannot represent")
    elif isinstance(value, Mapping):
        for key, inner in cast("Mapping[Any, Any]", value).items():
            _check_numbers(inner, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(cast("list[Any]", value)):
            _check_numbers(inner, f"{path}[{number}]")


def _size_of_images(body: Mapping[str, Any]) -> int:
    """Return the number of characters of the images and PDFs in user messages.

    Raises:
        ConfigurationError: The model cannot read a PDF among them.
    """
    size = 0
    messages: list[object] | None = body.get("messages")
    if type(messages) is list:  # extra_body may make them anything
        for message in messages:
            if isinstance(message, UserMessage) and not isinstance(message.content, str):
                for part in message.content:
                    if isinstance(part, ImagePart):
                        url = part.image_url.url
                        size += len(url)
                        if url.startswith(_PDF):
                            _check_reads_pdf(str(body.get("model")))
    return size


def _check_reads_pdf(model: str) -> None:
    if model.startswith(_WITHOUT_PDF):
        raise ConfigurationError(
            f"{model} cannot read PDFs, which Claude 3.5 and newer models can: select another "
            "model, or send the text of the document"
        )


def _check_size(body: Mapping[str, Any], size: int) -> None:
    """Raise ConfigurationError with the largest parts of *body* if *size* exceeds the limit."""
    if size <= _MAX_BODY:
        return
    parts = sorted(_parts(body), key=lambda part: part[1], reverse=True)
    shown = [f"{name} {_mib(part)}" for name, part in parts[:_SHOWN]]
    rest = size - sum(part for _, part in parts[:_SHOWN])
    if len(parts) > _SHOWN:
        shown.append(f"the rest {_mib(rest)}")
    raise ConfigurationError(
        f"the request has {_mib(size)}, more than the {_mib(_MAX_BODY)} that the service accepts: "
        + ", ".join(shown)
    )


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"


def _parts(body: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Yield the name and the size of each field, message and content part."""
    for field, value in body.items():
        if field != "messages" or not isinstance(value, list):
            yield field, _length(value)
            continue
        messages = cast("list[Any]", value)
        for at, message in enumerate(messages):
            name = f"messages[{at}]"
            content = _content(message)
            if isinstance(content, list):
                parts = cast("list[Any]", content)
                yield from ((f"{name}.content[{n}]", _length(part)) for n, part in enumerate(parts))
            else:
                yield name, _length(message)


def _content(message: Any) -> Any:
    if isinstance(message, Mapping):
        return cast("Mapping[str, Any]", message).get("content")
    return getattr(message, "content", None)


def _length(value: object) -> int:
    return len(msgspec.json.encode(value))
