"""Write and read files: conversations, cassettes, settings, input history.

All files that acechat writes are written here. A new file is readable for its owner only; an
existing one keeps its mode and owner. Symbolic links are followed and stay. A file is replaced
atomically by a temporary one in the same folder, so that concurrent writers leave the content of
one of them, and a full disk leaves the old content. A file with several hard links is instead
overwritten in place, under a lock and after its space was reserved, because replacing it would
leave the other names with the old content; a crash in the middle of that damages it.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import TypeAlias

from acechat.errors import ConfigurationError

__all__ = ["append", "decode_text", "file_error", "make_folder", "version_error", "write"]

StrPath: TypeAlias = "str | os.PathLike[str]"

_PRIVATE_FILE, _PRIVATE_FOLDER = 0o600, 0o700

_BINARY = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
# A FIFO without a reader would block open(); it is refused afterwards.
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_MAX_REASON = 200
"""Characters of a parser's message."""


def write(path: StrPath, data: bytes) -> None:
    """Replace the content of the file by *data*, or create it, as described above.

    Raises:
        OSError: The file cannot be written; also if it is no regular file, or if it is read-only.
    """
    target = os.path.realpath(path)
    try:
        before = os.stat(target)
    except FileNotFoundError:
        before = None
    if before is not None:
        _check_regular(before, path)
        if not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(path))
        if before.st_nlink > 1:
            _overwrite(target, data)
            return
    # Its name does not depend on that of the file, which may have the maximum length.
    draft = os.path.join(os.path.dirname(target), f".acechat-{os.urandom(8).hex()}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | _BINARY
    try:
        file = os.open(draft, flags, _PRIVATE_FILE)
    except OSError as error:  # its filename would be that of the draft
        raise type(error)(error.errno, error.strerror, os.fspath(path)) from None
    try:
        try:
            if before is not None:
                _copy_owner_and_mode(file, before)
            _write_all(file, data)
            os.fsync(file)
        finally:
            os.close(file)
        os.replace(draft, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(draft)
        raise
    _sync_folder(os.path.dirname(target))


def append(path: StrPath, data: bytes, *, first: bytes = b"") -> None:
    """Append *data* to the file in one piece; create the file if it does not exist.

    Args:
        path: The file.
        data: May be empty, to create the file only.
        first: Written before *data* if the file is empty.

    Raises:
        OSError: The file cannot be written, in which case it is unchanged, or is no regular file.
    """
    file = _open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    try:
        with _locked(file):
            size = os.fstat(file).st_size
            try:
                _write_all(file, data if size else first + data)
            except OSError:
                with suppress(OSError):
                    os.ftruncate(file, size)
                raise
    finally:
        os.close(file)


def make_folder(path: StrPath) -> None:
    """Create a folder, and those above it, for the owner only. No effect if it exists."""
    missing: list[str] = []
    folder = os.path.abspath(path)
    while not os.path.isdir(folder):
        missing.append(folder)
        above = os.path.dirname(folder)
        if above == folder:
            break
        folder = above
    for each in reversed(missing):
        with suppress(FileExistsError):  # created by another process, or a file: the next one fails
            os.mkdir(each, _PRIVATE_FOLDER)
    if not os.path.isdir(path):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), os.fspath(path))


def decode_text(data: bytes, path: StrPath) -> str:
    """Decode UTF-8 with or without a byte order mark; line ends stay.

    Raises:
        ConfigurationError: It is not UTF-8. The message names *path* and the line.
    """
    data = data.removeprefix(_BYTE_ORDER_MARK)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
    raise ConfigurationError(f"{os.fspath(path)!r} is not UTF-8 text: invalid byte in line {line}")


def file_error(kind: str, path: StrPath, data: bytes, error: Exception) -> ConfigurationError:
    """Return the error for a file that a parser rejects, in one line.

    Args:
        kind: The expected kind: ``"a cassette"``.
        path: The file.
        data: Its content. A ``(byte 12)`` in the parser's message becomes a line and a column.
        error: The exception of the parser; RecursionError for data that is nested too deeply.
    """
    reason = " ".join(str(error).split())[:_MAX_REASON]
    if isinstance(error, RecursionError):
        reason = "it is nested too deeply"
    elif found := re.search(r"\(byte (\d+)\)$", reason):
        at = min(int(found[1]), len(data))
        line, start = data.count(b"\n", 0, at) + 1, data.rfind(b"\n", 0, at) + 1
        column = len(data[start:at].decode(errors="replace")) + 1
        reason = f"{reason[: found.start()]}(at line {line}, column {column})"
    return ConfigurationError(f"{os.fspath(path)!r} is not {kind}: {reason}")


def version_error(kind: str, path: StrPath, version: int, known: int) -> ConfigurationError:
    """Return the error for a file whose format has another *version* than the *known* one."""
    name = f"{os.fspath(path)!r} is not {kind}"
    if version < known:
        return ConfigurationError(f"{name}: its format has the version {version}")
    return ConfigurationError(
        f"{name} of this version of acechat: its format is {version}, not {known}; upgrade with "
        "python -m pip install --upgrade acechat"
    )


def _check_regular(info: os.stat_result, path: StrPath) -> None:
    if stat.S_ISDIR(info.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if not stat.S_ISREG(info.st_mode):
        raise OSError(errno.EINVAL, "Not a regular file", os.fspath(path))


def _open(path: StrPath, flags: int) -> int:
    """Open a regular file, a new one for the owner only."""
    try:
        file = os.open(path, flags | _BINARY | _NO_WAIT, _PRIVATE_FILE)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a FIFO without a reader, or a socket
            raise OSError(errno.EINVAL, "Not a regular file", os.fspath(path)) from None
        raise
    try:
        _check_regular(os.fstat(file), path)
    except OSError:
        os.close(file)
        raise
    return file


def _overwrite(target: str, data: bytes) -> None:
    """Replace the content of the file in place, so that all its names show it."""
    file = _open(target, os.O_RDWR)
    try:
        with _locked(file):
            size = os.fstat(file).st_size
            try:
                if data and hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file, 0, len(data))
            except OSError as error:
                with suppress(OSError):
                    os.ftruncate(file, size)
                if error.errno not in {errno.EOPNOTSUPP, errno.EINVAL}:  # of the file system
                    raise
            _write_all(file, data)
            os.ftruncate(file, len(data))
            os.fsync(file)
    finally:
        os.close(file)


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _copy_owner_and_mode(file: int, info: os.stat_result) -> None:
    """Give *file* the owner and mode of the file that it replaces, as far as the system allows."""
    if not hasattr(os, "fchmod"):  # Windows
        return
    new = os.fstat(file)
    if (new.st_uid, new.st_gid) != (info.st_uid, info.st_gid):
        with suppress(OSError):
            os.fchown(file, info.st_uid, info.st_gid)
    os.fchmod(file, stat.S_IMODE(info.st_mode))


@contextmanager
def _locked(file: int) -> Generator[None]:
    """Lock *file* against other writers of this module, until it is closed."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    with suppress(OSError):  # a file system without locks
        fcntl.flock(file, fcntl.LOCK_EX)
    yield


def _sync_folder(folder: str) -> None:
    """Write the folder's entry to the disk, where the system can."""
    with suppress(OSError):
        opened = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
