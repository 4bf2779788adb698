"""`image()`: convert a file, bytes, a Pillow image or a URL to a part of a message."""

from __future__ import annotations

import os
from binascii import a2b_base64, b2a_base64
from contextlib import suppress
from io import BytesIO
from typing import Any, Protocol, TypeAlias

from acechat._media.cache import CacheOption, cache_control
from acechat._media.pillow import encoded, is_pillow_image, scaled
from acechat._media.source import ReadableFile, read_bytes, read_path, readable
from acechat.errors import ConfigurationError
from acechat.types import ImagePart, ImageURL

__all__ = ["ImageSource", "as_data_url", "image"]

_PNG, _JPEG, _WEBP = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"WEBP"
_GIFS = (b"GIF87a", b"GIF89a")
_BLOCK = 3 * 2**14
"""Bytes encoded at once; a multiple of 3, so that base64 needs no padding between blocks."""

_SUPPORTED = "expected PNG, JPEG, GIF or WebP"
_TYPES = {"image/gif", "image/jpeg", "image/png", "image/webp"}
_JPEG_NAMES = {"image/jpg", "image/pjpeg"}

_HEAD = 32
"""Characters of base64 that hold the signature of an image."""


class _HasFile(Protocol):
    """An upload of Starlette, FastAPI, aiohttp, Litestar or Bottle."""

    @property
    def file(self) -> Any: ...


class _HasStream(Protocol):
    """An upload of Flask or Quart (werkzeug), or of Falcon."""

    @property
    def stream(self) -> Any: ...


class _HasBody(Protocol):
    """An upload of Sanic or Tornado."""

    @property
    def body(self) -> bytes: ...


class _SavableImage(Protocol):
    """The method of Pillow's images that `image` calls."""

    def save(self, fp: BytesIO, format: str) -> object: ...  # noqa: A002 - Pillow's name


ImageSource: TypeAlias = (
    str
    | os.PathLike[str]
    | bytes
    | bytearray
    | memoryview
    | ReadableFile
    | _HasFile
    | _HasStream
    | _HasBody
    | _SavableImage
)


def image(
    source: ImageSource,
    *,
    detail: str | None = None,
    max_pixels: int | None = None,
    cache: CacheOption = None,
) -> ImagePart:
    """Convert an image to a part of a message.

    An ``http:`` or ``https:`` URL is sent as it is, and downloaded by the service. Any other source
    is read at once and sent inside the request, as base64; the media type is detected from the
    bytes, not from the file name.

    Args:
        source: A path (``~`` is the home directory), bytes, a binary file, an uploaded file of a
            web framework, a Pillow image, or an ``https:``, ``http:`` or ``data:`` URL. A Pillow
            image is sent upright as its EXIF data requires; a photo as JPEG, others as PNG.
        detail: ``"auto"``, ``"low"`` or ``"high"``; None for the service's default, ``"auto"``.
        max_pixels: Maximum of width times height; a larger image is scaled down, with Pillow (the
            extra ``images``). None sends the image as it is.
        cache: True, ``"5m"`` or ``"1h"``, see `acechat.text`; None for no cache.

    Raises:
        ConfigurationError: The file cannot be read, or is not an image that the service supports
            (PNG, JPEG, GIF, WebP); *max_pixels* or *cache* is invalid, *max_pixels* is given
            for a URL, or Pillow is not installed.
        TypeError: *source* has another type.

    Example:
        >>> image("https://cdn.acedata.cloud/ueugot.png").image_url.url
        'https://cdn.acedata.cloud/ueugot.png'
    """
    if max_pixels is not None and (type(max_pixels) is not int or max_pixels < 1):
        raise ConfigurationError(f"max_pixels must be an integer of 1 or more, not {max_pixels!r}")
    control = cache_control(cache)
    return ImagePart(ImageURL(_url_of(source, max_pixels), detail), control)


def _url_of(source: ImageSource, max_pixels: int | None) -> str:
    if isinstance(source, str):
        scheme = source[:8].lower()
        if scheme.startswith(("https://", "http://")):
            if max_pixels is not None:
                raise ConfigurationError(
                    "max_pixels= cannot scale the image of a URL, which the service downloads"
                )
            return source
        if scheme.startswith("data:"):
            url = _checked_data_url(source)
            if max_pixels is None:
                return url
            data = scaled(_data_of(url), max_pixels)
            return as_data_url(_media_type(data, "the image"), data)
    if is_pillow_image(source):
        data, name = encoded(source, max_pixels), "the image"
    else:
        data, name = _read(source)
        if max_pixels is not None:
            _media_type(data, name)  # raises for other data
            data = scaled(data, max_pixels)
    return as_data_url(_media_type(data, name), data)


def as_data_url(media_type: str, data: bytes) -> str:
    """Return *data* as a ``data:`` URL."""
    url = bytearray(f"data:{media_type};base64,", "ascii")
    view = memoryview(data)
    for start in range(0, len(view), _BLOCK):  # twice as fast as all at once: less new memory
        url += b2a_base64(view[start : start + _BLOCK], newline=False)
    return url.decode("ascii")


def _read(source: ImageSource) -> tuple[bytes, str]:
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source), "the image"
    if isinstance(source, str | os.PathLike):
        return read_path(source, "image")
    file = readable(source)
    if file is not None:
        return _read_file(file), "the image"
    body = getattr(source, "body", None)
    if isinstance(body, bytes):
        return body, "the image"
    save: Any = getattr(source, "save", None)
    if callable(save) and not isinstance(source, type):
        buffer = BytesIO()
        save(buffer, format="PNG")
        return buffer.getvalue(), "the image"
    raise TypeError(
        "image() accepts a path, bytes, a binary file, an upload, a Pillow image or a URL, "
        f"not {type(source).__name__}"
    )


def _read_file(file: ReadableFile) -> bytes:
    """Read an image from a file, from its beginning if there is none at its position."""
    data = read_bytes(file, "image")
    seek: Any = getattr(file, "seek", None)
    if _signature(data) is None and callable(seek):
        # Whatever validated the file has read it, or a part of it.
        with suppress(OSError, ValueError):
            seek(0)
            again = read_bytes(file, "image")
            return again if _signature(again) else data
    return data


def _media_type(data: bytes, name: str) -> str:
    found = _signature(data)
    if found is None:
        problem = "has no supported format" if data else "is empty"
        raise ConfigurationError(f"{name} {problem}: {_SUPPORTED}")
    return found


def _signature(data: bytes) -> str | None:
    if data.startswith(_PNG):
        return "image/png"
    if data.startswith(_JPEG):
        return "image/jpeg"
    if data.startswith(_GIFS):
        return "image/gif"
    if data.startswith(b"RIFF") and data[8:12] == _WEBP:
        return "image/webp"
    return None


def _checked_data_url(url: str) -> str:
    """Return *url* with the media type of its bytes, because the service rejects another."""
    head, comma, data = url.partition(",")
    if not comma or not data or not head.lower().endswith(";base64"):
        raise ConfigurationError(
            f"invalid data URL {url[:40]!r}: must look like data:image/png;base64,iVBOR…"
        )
    declared = head[len("data:") :].partition(";")[0].strip().lower()
    found = None
    with suppress(ValueError):
        found = _signature(a2b_base64(data[:_HEAD]))
    if found is None:
        if declared in _JPEG_NAMES:
            found = "image/jpeg"
        elif declared.startswith("image/") and declared not in _TYPES:
            raise ConfigurationError(f"{declared[:40]} has no supported format: {_SUPPORTED}")
    if found is None or found == declared:
        return url
    return f"data:{found};base64,{data}"


def _data_of(url: str) -> bytes:
    try:
        return a2b_base64(url.partition(",")[2], strict_mode=True)
    except ValueError:
        raise ConfigurationError(f"invalid base64 in the data URL {url[:40]!r}") from None
