"""Conversations on disk: the latest ones, and autosave while one goes on."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias

from acechat import AssistantMessage, AsyncConversation, ConfigurationError, Delta, UserMessage

__all__ = ["Autosave", "HistoryFile", "Keep", "folder", "resume"]

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


class HistoryFile:
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


_OFTEN = 1.0
"""Seconds."""


Keep: TypeAlias = Callable[[AsyncConversation], None]
"""Writes down how far a conversation is."""


class Autosave:
    """Keeps *talk* with *question* and what has arrived of its answer, once a second."""

    def __init__(self, talk: AsyncConversation, question: UserMessage, keep: Keep | None) -> None:
        self._talk = talk
        self._question = question
        self._keep = keep
        self._texts: list[str] = []
        self._kept = 0
        self._timer: asyncio.TimerHandle | None = None

    def add(self, deltas: Sequence[Delta]) -> None:
        """Note what has arrived."""
        self._texts += [delta.content for delta in deltas if delta.content and delta.index == 0]

    def __enter__(self) -> Self:
        if self._keep is not None:
            self._timer = asyncio.get_running_loop().call_later(_OFTEN, self._tick, self._keep)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self, keep: Keep) -> None:
        self._timer = asyncio.get_running_loop().call_later(_OFTEN, self._tick, keep)
        if len(self._texts) > self._kept:
            self._kept = len(self._texts)
            so_far = self._talk.fork()
            answer = AssistantMessage(content="".join(self._texts))
            so_far.messages += [self._question, answer]
            keep(so_far)
