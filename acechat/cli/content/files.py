"""Files as content parts: text as context, images and documents as attachments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import click

from acechat import ImagePart, TextPart, document, image
from acechat.cli.content.paths import is_url, typed_path

__all__ = ["attachment", "attachments", "text_files"]

_MAGIC = ("*", "?", "[")
_STDIN = "-"
_IMAGES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a")


def text_files(patterns: Iterable[str]) -> list[TextPart]:
    """Return one part per text file, with its path; a pattern may name several files.

    Raises:
        UsageError: A file cannot be read, is not text, or a pattern has no match.
    """
    paths = dict.fromkeys(path for pattern in patterns for path in _matching(pattern))
    return [_text_part(str(path), _read(path)) for path in paths]


def _matching(pattern: str) -> Iterator[Path]:
    path = typed_path(pattern)
    if not any(character in str(path) for character in _MAGIC) or path.exists():
        yield path
        return
    import glob

    found = [
        Path(name)
        for name in sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207 - pathlib refuses absolute patterns
        if Path(name).is_file()
    ]
    if not found:
        raise click.UsageError(f"no file matches {pattern!r}")
    yield from found


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except IsADirectoryError:
        raise click.UsageError(
            f"{str(path)!r} is a folder. Next: its files with '{path}/*', all below with "
            f"'{path}/**/*'"
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise click.UsageError(f"cannot read {str(path)!r}: {reason}") from None


def _text(data: bytes) -> str | None:
    """Return *data* as text; None if it is binary."""
    encodings = ["utf-8-sig"]
    if data[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        encodings.insert(0, "utf-16")
    for encoding in encodings:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    return None


def _text_part(name: str, data: bytes) -> TextPart:
    text = _text(data)
    if text is None:
        raise click.UsageError(
            f"{name!r} is not text. Next: send images and documents with --attach"
        )
    quoted = name.replace('"', "&quot;")
    return TextPart(f'<file path="{quoted}">\n{text.rstrip()}\n</file>')


def attachments(sources: Sequence[str], piped: bytes) -> list[ImagePart | TextPart]:
    """Return one part per source: a path, a pattern, a URL, or ``-`` for standard input.

    Raises:
        UsageError: A source cannot be read or sent.
        ConfigurationError: An image is invalid.
    """
    parts: list[ImagePart | TextPart] = []
    for source in sources:
        if source == _STDIN:
            parts.append(_part("standard input", piped))
        elif is_url(source):
            parts.append(attachment(source))
        else:
            parts += [_part(str(path), _read(path)) for path in _matching(source)]
    return parts


def attachment(source: str) -> ImagePart | TextPart:
    """Return the part of one path or URL. Raises the errors of `attachments`."""
    if not is_url(source):
        path = typed_path(source)
        return _part(str(path), _read(path))
    if _is_document_url(source):
        return _pdf(source)
    return image(source)


def _is_document_url(url: str) -> bool:
    return url.startswith("data:application/pdf") or (
        not url.startswith("data:") and url.partition("?")[0].lower().endswith(".pdf")
    )


def _part(name: str, data: bytes) -> ImagePart | TextPart:
    """Choose the kind of a part by its bytes, not by the name of the file."""
    if data.startswith(b"%PDF-"):
        return _pdf(data)
    if data.startswith(_IMAGES) or (data[:4] == b"RIFF" and data[8:12] == b"WEBP"):
        return image(data)
    if not data:
        raise click.UsageError(f"{name} is empty")
    if _text(data) is None:
        raise click.UsageError(
            f"{name} is neither an image (PNG, JPEG, GIF, WebP), a PDF document nor text"
        )
    return _text_part(name, data)


def _pdf(source: str | bytes) -> ImagePart | TextPart:
    part = document(source)
    assert isinstance(part, ImagePart | TextPart)  # noqa: S101 - a document is one of them
    return part
