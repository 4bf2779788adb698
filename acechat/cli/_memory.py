"""The conversations that are kept for ``--continue``."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from acechat import AsyncConversation, ConfigurationError

__all__ = ["Memory", "folder", "resume"]

_KEPT = 50
"""Conversations; older ones are deleted."""


def folder() -> Path:
    """Return where they are: ``ACECHAT_STATE``, else the system's place for such files."""
    if given := os.environ.get("ACECHAT_STATE"):
        return Path(given)
    from platformdirs import user_state_path

    return user_state_path("acechat", appauthor=False)


def resume(talk: AsyncConversation) -> None:
    """Let *talk* go on with the newest conversation; one that cannot be read is passed over.

    Raises:
        ConfigurationError: There is none.
    """
    for path in reversed(_files()):
        with suppress(ConfigurationError, OSError):
            talk.load(path)
            return
    raise ConfigurationError("there is no conversation to continue yet: acechat chat")


def _files() -> list[Path]:
    """Return all, the one that was talked in last at the end; names tell when they began."""
    return sorted((folder() / "conversations").glob("*.json"), key=_changed)


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:  # another terminal has just deleted it
        return 0


class Memory:
    """Keeps one conversation, in a folder that only its owner can read.

    A conversation that is continued gets a file of its own: two terminals may continue one.
    """

    def __init__(self) -> None:
        stamp = time.strftime("%Y%m%d-%H%M%S")
        self._path = folder() / "conversations" / f"{stamp}-{os.getpid():07}.json"

    def keep(self, talk: AsyncConversation) -> None:
        """Write down how far *talk* is."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        talk.save(self._path)
        for old in _files()[:-_KEPT]:
            old.unlink(missing_ok=True)
