"""Where the token is kept: in the system's keyring, else in a file that is private."""

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

__all__ = ["forget", "from_keyring", "keep", "to_keyring"]

_SERVICE, _NAME = "acechat", "token"


def _keyring() -> Any:
    """Return the package, None where it is not installed; it is no dependency."""
    return import_module("keyring") if find_spec("keyring") else None


def from_keyring() -> str | None:
    """Return the token that the keyring has; None without one, or without a keyring."""
    keyring = _keyring()
    if keyring is None:
        return None
    try:
        token: str | None = keyring.get_password(_SERVICE, _NAME)
    except keyring.errors.KeyringError:  # none on this machine, or it stays locked
        return None
    return token


def to_keyring(token: str | None) -> bool:
    """Put *token* there, or take it away; return whether that could be done."""
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


def keep(path: Path, name: str, value: object) -> None:
    """Write one setting into the file, and leave the rest of it as it is.

    Raises:
        ConfigurationError: The file is written in a way that this cannot change.
    """
    _edit(path, name, value)


def forget(path: Path, name: str) -> None:
    """Take one setting out of the file; raises what `keep` does."""
    _edit(path, name, None)


def _edit(path: Path, name: str, value: object) -> None:
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        text = ""
    wanted = {key: kept for key, kept in tomllib.loads(text).items() if key != name}
    edited = re.sub(rf"(?m)^{name}\s*=.*\n?", "", text)
    if value is not None:
        wanted[name] = value
        # A TOML string of one line is written as JSON writes it, but for DEL.
        written = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        edited = f"{name} = {written}\n{edited}"
    try:
        done = tomllib.loads(edited)
    except tomllib.TOMLDecodeError:
        done = None
    if done != wanted:
        raise ConfigurationError(f"{path} has a form of its own: change {name} there by hand")
    if edited != text:
        _write_private(path, edited)


def _write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read; a crash leaves the old one or the new one."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with os.fdopen(
            os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
        ) as file:
            file.write(text)
        draft.replace(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()
