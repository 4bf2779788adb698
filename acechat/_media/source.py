"""Read the bytes of files, paths and uploads."""

from __future__ import annotations

import os
from inspect import iscoroutinefunction
from typing import Any, Protocol, cast

from acechat.errors import ConfigurationError

__all__ = ["ReadableFile", "read_bytes", "read_path", "readable"]


class ReadableFile(Protocol):
    """A binary file."""

    def read(self) -> bytes:
        """Return the bytes up to the end of the file."""
        ...


def read_path(path: str | os.PathLike[str], kind: str) -> tuple[bytes, str]:
    """Read a file; return its bytes, and its path for messages.

    Raises:
        ConfigurationError: The file, described as *kind*, cannot be read.
    """
    name: str = os.path.expanduser(os.fspath(path))  # noqa: PTH111 - pathlib takes 4 ms to import
    try:
        with open(name, "rb") as file:  # noqa: PTH123 - as above
            return file.read(), repr(name)
    except OSError as error:
        reason = error.strerror or str(error)
    except ValueError as error:  # a NUL in the name
        reason = str(error)
    raise ConfigurationError(f"cannot read the {kind} {name[:200]!r}: {reason}")


def readable(source: Any) -> ReadableFile | None:
    """Return *source* if it is a binary file, or the file of an upload; None if it has none.

    Frameworks call it ``file`` or ``stream`` where the upload itself is read with ``await``.
    """
    if isinstance(source, type):
        return None
    for one in (source, getattr(source, "file", None), getattr(source, "stream", None)):
        read: Any = getattr(one, "read", None)
        if callable(read) and not iscoroutinefunction(read):
            return cast("ReadableFile", one)
    return None


def read_bytes(file: ReadableFile, kind: str) -> bytes:
    """Read *file* from its position to its end.

    Raises:
        TypeError: It is a text file, or its ``read`` does not return bytes.
    """
    data = cast("object", file.read())
    if isinstance(data, str):
        raise TypeError(f"the {kind} file must be opened in binary mode ('rb')")
    if not isinstance(data, bytes | bytearray):
        raise TypeError(f"read() of the {kind} file must return bytes, not {type(data).__name__}")
    return bytes(data)
