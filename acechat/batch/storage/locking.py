"""An exclusive lock of a file, which ends with the process."""

from __future__ import annotations

import os
from io import FileIO
from pathlib import Path
from typing import Any

from acechat.errors import JournalError

__all__ = ["LockedError", "lock"]


class LockedError(JournalError):
    """Another process uses the file."""


def lock(file: FileIO, path: Path) -> None:
    """Lock *file*, which was opened as *path*.

    Raises:
        LockedError: Another process has locked it, or has just replaced it.
    """
    try:
        _lock(file.fileno())
    except (BlockingIOError, PermissionError):
        pass  # raised below, without this one as its context
    else:
        opened, named = os.fstat(file.fileno()), path.stat()
        if (opened.st_dev, opened.st_ino) == (named.st_dev, named.st_ino):
            return
    raise LockedError(f"another process runs this batch: it has locked {path}")


def _lock(descriptor: int) -> None:
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        windows: Any = msvcrt
        windows.locking(descriptor, windows.LK_NBLCK, 1)
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
