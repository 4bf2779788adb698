"""Storage of the token: the system keyring, else a file that only its owner can read."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tomllib
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from acechat import ConfigurationError

__all__ = ["from_keyring", "remove", "store", "to_keyring", "write_private"]

_SERVICE, _NAME = "acechat", "token"


def _keyring() -> Any:
    """Return the module keyring; None if it is not installed (it is optional)."""
    return import_module("keyring") if find_spec("keyring") else None


def from_keyring() -> str | None:
    """Return the stored token; None if there is no token or no usable keyring."""
    keyring = _keyring()
    if keyring is None:
        return None
    try:
        token: str | None = keyring.get_password(_SERVICE, _NAME)
    except keyring.errors.KeyringError:  # no backend, or it stays locked
        return None
    return token


def to_keyring(token: str | None) -> bool:
    """Store *token*, or delete the stored one for None; return False without a usable keyring."""
    keyring = _keyring()
    if keyring is None:
        return False
    try:
        if token is not None:
            keyring.set_password(_SERVICE, _NAME, token)
        elif keyring.get_password(_SERVICE, _NAME) is not None:
            keyring.delete_password(_SERVICE, _NAME)
    except keyring.errors.KeyringError:
        return False
    return True


def store(path: Path, name: str, value: object) -> None:
    """Write one setting into the TOML file; the rest of the file, with its comments, is unchanged.

    Raises:
        ConfigurationError: The file's syntax is too complex to be edited by line.
        OSError: The file cannot be written.
    """
    _edit(path, name, value)


def remove(path: Path, name: str) -> None:
    """Remove one setting from the file. Raises the same errors as `store`."""
    _edit(path, name, None)


def _edit(path: Path, name: str, value: object) -> None:
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        text = ""
    wanted = {key: old for key, old in tomllib.loads(text).items() if key != name}
    edited = re.sub(rf"(?m)^{name}\s*=.*\n?", "", text)
    if value is not None:
        wanted[name] = value
        # A TOML basic string has the syntax of a JSON string; only DEL must be escaped, too.
        written = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        edited = f"{name} = {written}\n{edited}"
    try:
        result = tomllib.loads(edited)
    except tomllib.TOMLDecodeError:
        result = None
    if result != wanted:
        raise ConfigurationError(
            f"cannot edit {path} automatically. Next: change {name} there by hand"
        )
    if edited != text:
        write_private(path, edited)


def write_private(path: Path, text: str) -> None:
    """Replace a file atomically; only its owner can read the new one."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with os.fdopen(
            os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
        ) as file:
            file.write(text)
        temporary.replace(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
