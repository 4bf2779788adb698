"""Storage of the token: the system keyring, else a file that only its owner can read."""

from __future__ import annotations

import json
import re
import tomllib
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from acechat import ConfigurationError
from acechat._files import decode_text, file_error, make_folder, write

__all__ = ["from_keyring", "parse_toml", "remove", "store", "to_keyring"]

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


def parse_toml(text: str, path: Path) -> dict[str, Any]:
    """Parse the settings file.

    Raises:
        ConfigurationError: It is not TOML; the message has the line and the column.
    """
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        failure = file_error("valid TOML", path, b"", error)
    raise failure


def _edit(path: Path, name: str, value: object) -> None:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        data = b""
    text = decode_text(data, path)
    wanted = {key: old for key, old in parse_toml(text, path).items() if key != name}
    line_end = "\r\n" if "\r\n" in text else "\n"
    edited = re.sub(rf"(?m)^{name}\s*=.*\n?", "", text)
    if value is not None:
        wanted[name] = value
        # A TOML basic string has the syntax of a JSON string; only DEL must be escaped, too.
        written = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        edited = f"{name} = {written}{line_end}{edited}"
    try:
        result = tomllib.loads(edited)
    except (ValueError, RecursionError):
        result = None
    if result != wanted:
        raise ConfigurationError(
            f"cannot edit {path} automatically. Next: change {name} there by hand"
        )
    if edited != text:
        make_folder(path.parent)
        write(path, edited.encode())
