"""Settings, merged from the file < the environment < the command line."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from acechat import AsyncClient, ConfigurationError
from acechat._files import decode_text
from acechat.cli.errors import PLATFORM

__all__ = [
    "DEFAULT_URL",
    "NAMES",
    "Settings",
    "check",
    "expanded",
    "file_path",
    "in_home",
    "masked",
    "parse",
    "read",
    "read_file",
]


class Settings(Struct, frozen=True, kw_only=True):
    """Settings of one command."""

    token: str | None = None
    """None: no token is set, and every call fails."""
    base_url: str | None = None
    """None: `DEFAULT_URL`."""
    model: str | None = None
    system: str | None = None
    timeout: float | None = None
    """Seconds for one complete response; None: the client's default."""
    reasoning: bool = False
    usage: bool = False
    history: bool = True
    """Save conversations on a terminal for ``--continue``."""
    proxy: str | None = None
    """Proxy URL, '' for none; None: from the environment. Not a setting of the file."""
    sources: dict[str, str] = {}
    """Name of a setting -> origin: a path, a variable, "keyring" or "command line"."""

    def needed_token(self) -> str:
        """Return the token.

        Raises:
            ConfigurationError: No token is set.
        """
        if self.token is None:
            raise ConfigurationError(
                f"no API token. Next: copy one from {PLATFORM}, then: acechat config set token "
                "(or set ACEDATACLOUD_API_TOKEN; --emulator needs no token)"
            )
        return self.token


NAMES: dict[str, tuple[str, ...]] = {
    "token": ("ACEDATACLOUD_API_TOKEN", "ACEDATACLOUD_API_KEY", "ACEDATA_API_KEY"),
    "base_url": ("ACEDATACLOUD_API_BASE_URL",),
    "model": ("ACECHAT_MODEL",),
    "system": ("ACECHAT_SYSTEM",),
    "timeout": ("ACECHAT_TIMEOUT",),
    "reasoning": ("ACECHAT_REASONING",),
    "usage": ("ACECHAT_USAGE",),
    "history": ("ACECHAT_HISTORY",),
}
"""Name of a setting -> its environment variables; the first one that is set counts."""

DEFAULT_URL = "https://api.acedata.cloud"

_TYPES: dict[str, tuple[Any, str]] = {
    "timeout": (
        Annotated[float, Meta(gt=0, le=sys.float_info.max)],
        "a positive number of seconds",
    ),
    "reasoning": (bool, "true or false"),
    "usage": (bool, "true or false"),
    "history": (bool, "true or false"),
}
"""Types of the settings that are not text, with their names for error messages."""


def read(flags: Mapping[str, object] | None = None, *, emulator: bool = False) -> Settings:
    """Return the effective settings.

    Args:
        flags: Values of the command line by setting; None for a flag that was not given.
        emulator: Use the command line only. The emulator needs no token, and its output does not
            depend on the user's settings.

    Raises:
        ConfigurationError: A value is invalid, or other users can read a token in the file.
    """
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    layers: list[tuple[str, Mapping[str, object]]] = [("command line", flags or {})]
    if not emulator:
        layers[:0] = [(_file_name(), read_file()), ("environment", _read_environment())]
    for source, layer in layers:
        for name, value in layer.items():
            if value is not None:
                values[name] = value
                sources[name] = _variable(name) if source == "environment" else source
    if not emulator and "token" not in values:
        from acechat.cli.secrets import from_keyring

        if token := from_keyring():
            values["token"], sources["token"] = token, "keyring"
    return Settings(**values, sources=sources)


def parse(name: str, value: str) -> Any:
    """Convert the text *value* to the type of the setting *name*.

    Raises:
        ConfigurationError: The setting is unknown, or the value is invalid.
    """
    return _checked(name, value, name, strict=False)


def check(**arguments: Any) -> None:
    """Create a client with *arguments* and discard it.

    Raises:
        ConfigurationError: An argument is invalid.
    """
    valid: dict[str, Any] = {"api_token": "token", "base_url": "https://localhost", "proxy": ""}
    AsyncClient(**(valid | arguments))


def read_file() -> dict[str, Any]:
    """Return the settings of the file; empty if it does not exist.

    Raises:
        ConfigurationError: The file is unreadable or invalid, or other users can read its token.
    """
    if not _has_file():
        return {}
    path = file_path()
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        if "ACECHAT_CONFIG" not in os.environ and not os.access(path.parent, os.X_OK):
            return {}  # the home folder is that of another user
        raise ConfigurationError(f"cannot read {str(path)!r}: {error.strerror}") from None
    from acechat.cli.secrets import parse_toml

    values = parse_toml(decode_text(data, path), path)
    if "token" in values and os.name != "nt" and path.stat().st_mode & 0o077:
        raise ConfigurationError(
            f"{path} contains a token and other users can read it. Next: chmod 600 '{path}'"
        )
    return {name: _checked(name, value, f"{path}: {name}") for name, value in values.items()}


def _read_environment() -> dict[str, Any]:
    return {
        name: _checked(name, os.environ[variable], variable, strict=False)
        for name in NAMES
        if (variable := _variable(name)) in os.environ
    }


def _variable(name: str) -> str:
    """Return the first environment variable of the setting that is not empty; '' if none."""
    return next((known for known in NAMES[name] if os.environ.get(known)), "")


def _checked(name: str, value: object, where: str, *, strict: bool = True) -> Any:
    if name not in NAMES:
        from difflib import get_close_matches

        close = get_close_matches(name, NAMES, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"known settings: {', '.join(NAMES)}"
        raise ConfigurationError(f"{where}: unknown setting; {hint}")
    type_, expected = _TYPES.get(name, (str, "text"))
    try:
        converted: object = msgspec.convert(value, type=type_, strict=strict)
    except msgspec.ValidationError:
        shown = type(value).__name__ if name == "token" else repr(value)
        raise ConfigurationError(f"{where} must be {expected}, not {shown}") from None
    # Python decodes invalid bytes of arguments to lone surrogates, which cannot be encoded.
    if isinstance(converted, str) and any("\ud800" <= char <= "\udfff" for char in converted):
        raise ConfigurationError(f"{where} is not valid {sys.getfilesystemencoding()} text")
    return converted


def file_path() -> Path:
    """Return the path of the file: ``ACECHAT_CONFIG``, else in the system's config folder.

    Raises:
        FileNotFoundError: The home folder is not known.
    """
    if given := os.environ.get("ACECHAT_CONFIG"):
        return Path(given)
    from platformdirs import user_config_path

    return in_home(user_config_path, "ACECHAT_CONFIG") / "config.toml"


def in_home(find: Callable[..., Path], variable: str) -> Path:
    """Return the folder that *find*, a function of platformdirs, returns, if the home is known.

    Otherwise it may be a folder named ``~`` in the working directory, or one in the root.

    Raises:
        FileNotFoundError: There is no home folder; the message names the alternative *variable*.
    """
    path = Path()
    with suppress(RuntimeError):  # of newer versions of platformdirs
        path = find("acechat", appauthor=False)
    if not path.is_absolute() or os.environ.get("HOME") == "":
        raise FileNotFoundError(
            errno.ENOENT, f"No home folder is known. Next: set HOME, or {variable} to a path"
        )
    return path


def _has_file() -> bool:
    try:
        file_path()
    except FileNotFoundError:
        return False
    return True


def _file_name() -> str:
    return str(file_path()) if _has_file() else ""


def expanded(path: str) -> Path:
    """Return *path* with ``~`` replaced by the home folder.

    Raises:
        ConfigurationError: The home folder is not known.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ConfigurationError(
            f"cannot find the home folder of {path!r}. Next: write the full path"
        ) from None


def masked(token: str) -> str:
    """Return a printable form of *token*: its last four characters if it has 16 or more."""
    return f"***{token[-4:]}" if len(token) >= 16 else "***"  # noqa: PLR2004 - see Token.__repr__
