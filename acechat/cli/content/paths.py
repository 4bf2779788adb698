"""Paths as users type or drop them: escaped spaces, quotes, ``file://``, ``~``."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

__all__ = ["dropped_path", "is_url", "typed_path"]

_DRIVE = re.compile(r"/[A-Za-z]:")


def is_url(source: str) -> bool:
    """Return True for a web address or a data URL."""
    return source[:8].lower().startswith(("http://", "https://", "data:"))


def typed_path(text: str) -> Path:
    r"""Return the path in *text*, as a terminal inserts it for a dropped file.

    A path that exists as it is written is never changed: ``\`` and quotes may be parts of a name.
    """
    text = text.strip()
    if text[:7].lower() == "file://":
        path = unquote(urlsplit(text).path)
        return Path(path[1:] if os.name == "nt" and _DRIVE.match(path) else path)
    candidates = [text]
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        candidates.append(text[1:-1])
    if os.name != "nt":
        candidates.append(re.sub(r"\\(.)", r"\1", text))
    paths = [_expanded(candidate) for candidate in candidates]
    return next((path for path in paths if _exists(path)), paths[min(1, len(paths) - 1)])


def dropped_path(line: str) -> Path | None:
    """Return the path if *line* is nothing but the path of a file that exists, else None."""
    line = line.strip()
    if not line.startswith(("/", "~", "'/", '"/', "file://", "\\")) and not re.match(
        r"['\"]?[A-Za-z]:[\\/]", line
    ):
        return None
    path = typed_path(line)
    try:
        return path if path.is_file() else None
    except (OSError, ValueError):
        return None


def _expanded(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:  # the user after ~ is unknown: a file may have that name
        return Path(text)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # too long, or a NUL: not a path
        return False
