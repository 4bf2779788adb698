"""Files of the library: in the folder of the settings, readable for their owner only."""

from __future__ import annotations

from pathlib import Path

from acechat._files import make_folder
from acechat._files import write as write_bytes
from acechat.cli.settings import file_path

__all__ = ["library_path", "write"]


def library_path(*names: str) -> Path:
    """Return a path in the folder of the settings file."""
    return file_path().parent.joinpath(*names)


def write(path: Path, text: str) -> None:
    """Replace the file, or create it with its folder.

    Raises:
        OSError: It cannot be written.
    """
    make_folder(path.parent)
    write_bytes(path, text.encode())
