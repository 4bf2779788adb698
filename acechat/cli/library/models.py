"""The list of models as the service last reported it, and the check of a name against it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from typing import Any, cast

from acechat import ConfigurationError
from acechat._files import make_folder, write
from acechat.cli.history import folder
from acechat.cli.library.aliases import aliases
from acechat.cli.settings import DEFAULT_URL

__all__ = ["check_model", "known_models", "remember"]

_MAX_AGE = 7 * 24 * 3600
"""Seconds after which a list no longer counts: the service adds models."""

_REASONING = "-thinking"
"""Suffix of a model that reasons; the service does not list all of them."""


def remember(names: Iterable[str], base_url: str | None) -> None:
    """Keep the list for `check_model`; failures are ignored."""
    value = {"base_url": base_url or DEFAULT_URL, "time": time.time(), "models": sorted(names)}
    try:
        make_folder(folder())
        write(folder() / "models.json", json.dumps(value).encode())
    except OSError:
        return


def known_models(base_url: str | None) -> list[str]:
    """Return the names that the service at *base_url* reported; [] if not known."""
    try:
        value = cast("dict[str, Any]", json.loads((folder() / "models.json").read_bytes()))
        current = value["base_url"] == (base_url or DEFAULT_URL)
        recent = 0 <= time.time() - value["time"] < _MAX_AGE
        return [str(name) for name in value["models"]] if current and recent else []
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return []


def check_model(name: str, base_url: str | None) -> None:
    """Check *name* against the list of the service, if that is known.

    Raises:
        ConfigurationError: The service does not offer it; the message has similar names.
    """
    known = known_models(base_url)
    if not known or name in known or name.removesuffix(_REASONING) in known:
        return
    from difflib import get_close_matches

    close = get_close_matches(name, [*known, *aliases()], 3, 0.5)
    hint = f"did you mean {' or '.join(map(repr, close))}?" if close else "see acechat models."
    raise ConfigurationError(
        f"the service does not offer the model {name!r}: {hint} Next: acechat models reads the "
        "list anew; --any-model sends the name unchecked"
    )
