"""Short names of models, and the check of a model's name."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import cast

from acechat import ConfigurationError
from acechat.cli.library.files import library_path, write

__all__ = ["BUILT_IN", "aliases", "own_aliases", "resolved", "store"]

BUILT_IN = {
    "opus": "claude-opus-5",
    "sonnet": "claude-sonnet-5",
    "haiku": "claude-haiku-4-5-20251001",
}
"""The newest model of each family in acechat's list (`acechat.cli.options`)."""

_FILE = "aliases.json"


def own_aliases() -> dict[str, str]:
    """Return the aliases that the user stored.

    Raises:
        ConfigurationError: Their file is invalid.
    """
    path = library_path(_FILE)
    try:
        value = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"cannot read {str(path)!r}: {error}") from None
    pairs = cast("dict[object, object]", value).items() if isinstance(value, dict) else ()
    if not isinstance(value, dict) or not all(
        isinstance(text, str) for pair in pairs for text in pair
    ):
        raise ConfigurationError(f"{str(path)!r} is not a list of model aliases")
    return cast("dict[str, str]", value)


def aliases() -> dict[str, str]:
    """Return all aliases; those of the user replace the built-in ones."""
    return {**BUILT_IN, **own_aliases()}


def store(name: str, model: str | None) -> None:
    """Store an alias, or remove it for None.

    Raises:
        ConfigurationError: There is no such alias to remove.
        OSError: The file cannot be written.
    """
    known = own_aliases()
    if model is None:
        if name not in known:
            raise ConfigurationError(f"there is no alias {name!r} of yours")
        del known[name]
    else:
        known[name] = model
    write(library_path(_FILE), json.dumps(known, indent=1, ensure_ascii=False) + "\n")


def resolved(name: str, *, own: bool = True) -> str:
    """Return the model that *name* stands for; other names are returned unchanged.

    Args:
        name: A model or an alias.
        own: Consider the user's aliases, too.
    """
    if name.startswith("claude-"):  # the name of a model: no file is read
        return name
    known = aliases() if own else BUILT_IN
    seen: set[str] = set()
    while name in known and name not in seen:
        seen.add(name)
        name = known[name]
    return name


def close_names(name: str, known: Iterable[str]) -> list[str]:
    """Return up to three of *known* that resemble *name*."""
    from difflib import get_close_matches

    return get_close_matches(name, list(known), 3, 0.5)
