"""`document()`: convert a PDF or a text file to a part of a message."""

from __future__ import annotations

import os
from binascii import a2b_base64
from pathlib import PurePath
from urllib.parse import unquote_to_bytes

from acechat._media.cache import CacheOption, cache_control
from acechat._media.image import ImageSource, as_data_url
from acechat._media.source import read_bytes, read_path, readable
from acechat.errors import ConfigurationError
from acechat.types import ContentPart, ImagePart, ImageURL, TextPart

__all__ = ["document"]

_PDF = b"%PDF-"
_PDF_WITHIN = 1024
"""Bytes in which readers of PDF search for its signature."""

_ENCODINGS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
"""Byte order marks; other text is UTF-8."""


def document(
    source: ImageSource, *, name: str | None = None, cache: CacheOption = None
) -> ContentPart:
    r"""Convert a PDF or a text file (Markdown, CSV, JSON, source code, …) to a part of a message.

    A PDF is sent as a data URL, which the service converts to a document of the model; a text as
    text, with its name. An ``http:`` or ``https:`` URL must be that of a PDF: the service downloads
    it.

    Args:
        source: A path (``~`` is the home directory), bytes, a binary file, an uploaded file of a
            web framework, or an ``https:``, ``http:`` or ``data:`` URL.
        name: Name of a text, for the model; None for the file's name.
        cache: True, ``"5m"`` or ``"1h"``, see `acechat.text`; None for no cache.

    Raises:
        ConfigurationError: The file cannot be read, or is neither a PDF nor text. A request with a
            PDF to a model that cannot read one raises it, too.
        TypeError: *source* has another type.

    Example:
        >>> document("report.pdf")
        >>> document(b"a,b", name="table.csv").text
        '<document name="table.csv">\na,b\n</document>'
    """
    control = cache_control(cache)
    if isinstance(source, str) and source[:8].lower().startswith(("https://", "http://")):
        return ImagePart(ImageURL(source), control)
    data, found = _read(source)
    name = found if name is None else name
    text = None if data.startswith(_PDF) else _decoded(data)
    if text is None and _PDF in data[:_PDF_WITHIN]:
        return ImagePart(ImageURL(as_data_url("application/pdf", data)), control)
    if not text:
        problem = "is empty" if text == "" else "is neither a PDF nor text in UTF-8 or UTF-16"
        raise ConfigurationError(f"{repr(name) if name else 'the document'} {problem}")
    shown = f" name={_quoted(name)}" if name else ""
    return TextPart(f"<document{shown}>\n{text}\n</document>", control)


def _quoted(name: str) -> str:
    return '"{}"'.format(name.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;"))


def _read(source: ImageSource) -> tuple[bytes, str | None]:
    """Return the bytes of *source*, and its name if it has one."""
    if isinstance(source, str) and source[:5].lower() == "data:":
        return _data_of(source), None
    if isinstance(source, str | os.PathLike):
        data, _ = read_path(source, "document")
        return data, PurePath(os.fsdecode(source)).name
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source), None
    names = (getattr(source, one, None) for one in ("filename", "name"))
    name = next((PurePath(one).name for one in names if isinstance(one, str)), None)
    file = readable(source)
    if file is not None:
        return read_bytes(file, "document"), name
    body = getattr(source, "body", None)
    if isinstance(body, bytes):
        return body, name
    raise TypeError(
        "document() accepts a path, bytes, a binary file, an upload or a URL, "
        f"not {type(source).__name__}"
    )


def _data_of(url: str) -> bytes:
    head, comma, data = url.partition(",")
    if comma:
        try:
            if head.lower().endswith(";base64"):
                return a2b_base64(unquote_to_bytes(data), strict_mode=True)
            return unquote_to_bytes(data)
        except ValueError:
            pass
    raise ConfigurationError(f"invalid data URL {url[:40]!r}")


def _decoded(data: bytes) -> str | None:
    """Return the text of *data*; None if it is not text."""
    encoding = next((one for mark, one in _ENCODINGS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text.strip("\r\n")
