"""`image`: a picture from wherever it is → a part of a message."""

from __future__ import annotations

import os
from binascii import b2a_base64
from io import BytesIO
from typing import Protocol, TypeAlias, cast, runtime_checkable

from acechat.errors import ConfigurationError
from acechat.types import ImagePart, ImageURL

__all__ = ["ImageSource", "image"]

_PNG, _JPEG, _WEBP = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"WEBP"
_GIFS = (b"GIF87a", b"GIF89a")
_PIECE = 3 * 2**14
"""Bytes; of three, base64 makes four characters."""

_SUPPORTED = "the service takes PNG, JPEG, GIF and WebP"


@runtime_checkable
class _ReadableFile(Protocol):
    def read(self) -> bytes: ...


@runtime_checkable
class _Drawing(Protocol):
    """What Pillow's images can do."""

    def save(self, fp: BytesIO, format: str) -> object: ...  # noqa: A002 - Pillow's name


ImageSource: TypeAlias = str | os.PathLike[str] | bytes | bytearray | _ReadableFile | _Drawing


def image(source: ImageSource, *, detail: str | None = None) -> ImagePart:
    """Make a part of a message from an image.

    The type is read from the bytes, not from a name. The service downloads what an ``https:`` URL
    names; anything else is read here, now, and travels inside the request.

    Args:
        source: A path, bytes, a binary file, a Pillow image, an ``https:`` or ``data:`` URL.
        detail: ``"auto"``, ``"low"`` or ``"high"``; None leaves it to the service.

    Raises:
        ConfigurationError: There is no such file, or it is no image that the service takes
            (PNG, JPEG, GIF, WebP: contract, 1.3).
        TypeError: *source* is something else.

    Example:
        >>> image("https://cdn.acedata.cloud/ueugot.png").image_url.url
        'https://cdn.acedata.cloud/ueugot.png'
    """
    if isinstance(source, str):
        scheme = source[:8].lower()
        if scheme.startswith(("https://", "http://")):
            return ImagePart(ImageURL(source, detail))
        if scheme.startswith("data:"):
            return ImagePart(ImageURL(_checked_data_url(source), detail))
    data, name = _read(source)
    return ImagePart(ImageURL(_as_data_url(_sniff(data, name), data), detail))


def _as_data_url(kind: str, data: bytes) -> str:
    url = bytearray(f"data:{kind};base64,", "ascii")
    view = memoryview(data)
    for at in range(0, len(view), _PIECE):  # whole, it takes twice as long: memory that is new
        url += b2a_base64(view[at : at + _PIECE], newline=False)
    return url.decode("ascii")


def _read(source: ImageSource) -> tuple[bytes, str]:
    match source:
        case bytes() | bytearray():
            return bytes(source), "the image"
        case str() | os.PathLike():
            path = os.fspath(source)
            try:
                with open(path, "rb") as file:  # noqa: PTH123 - pathlib takes 4 ms to import
                    return file.read(), repr(path)
            except OSError as error:
                reason = error.strerror or str(error)
            except ValueError as error:  # a NUL in the name
                reason = str(error)
            raise ConfigurationError(f"cannot read the image {path[:200]!r}: {reason}")
        case _Drawing():
            drawn = BytesIO()
            source.save(drawn, format="PNG")
            return drawn.getvalue(), "the image"
        case _ReadableFile():
            data = cast("bytes | str", source.read())
            if isinstance(data, str):
                raise TypeError("the image's file must be opened in binary mode ('rb')")
            if not isinstance(data, bytes | bytearray):
                raise TypeError(f"the image's file gave {type(data).__name__}, not bytes")
            return bytes(data), "the image"
    raise TypeError(
        "image() takes a path, bytes, a binary file, a Pillow image or a URL, "
        f"not {type(source).__name__}"
    )


def _sniff(data: bytes, name: str) -> str:
    if data.startswith(_PNG):
        return "image/png"
    if data.startswith(_JPEG):
        return "image/jpeg"
    if data.startswith(_GIFS):
        return "image/gif"
    if data.startswith(b"RIFF") and data[8:12] == _WEBP:
        return "image/webp"
    problem = "is no image of a known type" if data else "is empty"
    raise ConfigurationError(f"{name} {problem}: {_SUPPORTED}")


def _checked_data_url(url: str) -> str:
    head, comma, data = url.partition(",")
    if not comma or not data or not head.lower().endswith(";base64"):
        raise ConfigurationError("a data URL must look like data:image/png;base64,iVBOR…")
    return url
