"""Settings: the file's, the environment's, the command line's; the later win."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from acechat import AsyncClient, ConfigurationError
from acechat.cli.errors import PLATFORM

__all__ = [
    "DEFAULT_URL",
    "NAMES",
    "Settings",
    "check",
    "file_path",
    "masked",
    "parse",
    "read",
    "read_file",
]


class Settings(Struct, frozen=True, kw_only=True):
    """What holds for one command; *sources* tells where each value comes from."""

    token: str | None = None
    base_url: str | None = None
    model: str | None = None
    system: str | None = None
    timeout: float | None = None
    """Seconds for a whole answer."""
    reasoning: bool = False
    usage: bool = False
    history: bool = True
    """Whether what is said on a terminal is kept for ``--continue``."""
    proxy: str | None = None
    """None: the environment's. It is no setting of its own."""
    sources: dict[str, str] = {}

    def needed_token(self) -> str:
        """Return the token.

        Raises:
            ConfigurationError: There is none.
        """
        if self.token is None:
            raise ConfigurationError(
                f"no API token. Next: copy one from {PLATFORM}, then: acechat config set token "
                "(or set ACEDATACLOUD_API_TOKEN; or try without: --emulator)"
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
"""The settings, and the variables that each is read from, the first one first."""

DEFAULT_URL = "https://api.acedata.cloud"

_KINDS: dict[str, tuple[Any, str]] = {
    "timeout": (
        Annotated[float, Meta(gt=0, le=sys.float_info.max)],
        "a positive number of seconds",
    ),
    "reasoning": (bool, "true or false"),
    "usage": (bool, "true or false"),
    "history": (bool, "true or false"),
}
"""What is no text, and how that is called."""


def read(flags: Mapping[str, object] | None = None, *, emulator: bool = False) -> Settings:
    """Return what holds now; a flag that is None was not given.

    Args:
        flags: What the command line says, by the names of the settings.
        emulator: Whether the answers come from acechat's own service, which takes nobody's token:
            then the command line alone counts, so that a demonstration is the same everywhere.

    Raises:
        ConfigurationError: A value cannot be used, or others may read a token in the file.
    """
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    layers: list[tuple[str, Mapping[str, object]]] = [("command line", flags or {})]
    if not emulator:
        layers[:0] = [(str(file_path()), read_file()), ("environment", _read_environment())]
    for source, found in layers:
        for name, value in found.items():
            if value is not None:
                values[name] = value
                named = source == "environment"
                sources[name] = _variable(name) if named else source
    if not emulator and "token" not in values:
        from acechat.cli.secrets import from_keyring

        if token := from_keyring():
            values["token"], sources["token"] = token, "keyring"
    return Settings(**values, sources=sources)


def parse(name: str, value: str) -> Any:
    """Read the text *value* of a setting.

    Raises:
        ConfigurationError: The setting cannot have it.
    """
    return _checked(name, value, name, strict=False)


def check(**given: Any) -> None:
    """Make a client with the arguments that were *given*, and throw it away.

    Raises:
        ConfigurationError: One of them cannot work.
    """
    harmless: dict[str, Any] = {"api_token": "token", "base_url": "https://localhost", "proxy": ""}
    AsyncClient(**(harmless | given))


def read_file() -> dict[str, Any]:
    """Return what the file says; nothing where there is none.

    Raises:
        ConfigurationError: It cannot be read, or it holds a token that others may read.
    """
    path = file_path()
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(f"cannot read {str(path)!r}: {reason}") from None
    import tomllib

    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path} is no TOML: {error}") from None
    if "token" in found and os.name != "nt" and path.stat().st_mode & 0o077:
        raise ConfigurationError(
            f"{path} holds a token and others may read it. Next: chmod 600 '{path}'"
        )
    return {name: _checked(name, value, f"{path}: {name}") for name, value in found.items()}


def _read_environment() -> dict[str, Any]:
    return {
        name: _checked(name, os.environ[variable], variable, strict=False)
        for name in NAMES
        if (variable := _variable(name)) in os.environ
    }


def _variable(name: str) -> str:
    """Return the variable that tells of a setting: of several, the first that says something."""
    return next((known for known in NAMES[name] if os.environ.get(known)), "")


def _checked(name: str, value: object, where: str, *, strict: bool = True) -> Any:
    if name not in NAMES:
        from difflib import get_close_matches

        close = get_close_matches(name, NAMES, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(NAMES)}"
        raise ConfigurationError(f"{where}: there is no such setting; {hint}")
    kind, wanted = _KINDS.get(name, (str, "text"))
    try:
        found: object = msgspec.convert(value, type=kind, strict=strict)
    except msgspec.ValidationError:
        shown = "something else" if name == "token" else repr(value)
        raise ConfigurationError(f"{where} must be {wanted}, not {shown}") from None
    # Python hands on bytes that are no text as halves of letters, which nothing can write.
    if isinstance(found, str) and any("\ud800" <= letter <= "\udfff" for letter in found):
        raise ConfigurationError(f"{where} is no text in {sys.getfilesystemencoding()}")
    return found


def file_path() -> Path:
    """Return where the file is: ``ACECHAT_CONFIG``, else the system's place for such files."""
    if given := os.environ.get("ACECHAT_CONFIG"):
        return Path(given)
    from platformdirs import user_config_path

    return user_config_path("acechat", appauthor=False) / "config.toml"


def masked(token: str) -> str:
    """Return *token* as it may be shown: its last four characters, if they tell little."""
    return f"***{token[-4:]}" if len(token) >= 16 else "***"  # noqa: PLR2004 - see Token.__repr__
