"""Conversations on disk: the latest ones, and autosave during a response."""

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
from acechat._files import make_folder
from acechat.cli.settings import in_home

__all__ = ["Autosave", "HistoryFile", "SaveCallback", "folder", "prompts_file", "resume"]

_MAX_FILES = 50
"""Number of conversations on disk; older ones are deleted."""


def folder() -> Path:
    """Return the folder of saved state: ``ACECHAT_STATE``, else the system's state folder.

    Raises:
        FileNotFoundError: The home folder is not known.
    """
    if given := os.environ.get("ACECHAT_STATE"):
        return Path(given)
    from platformdirs import user_state_path

    return in_home(user_state_path, "ACECHAT_STATE")


def prompts_file() -> Path | None:
    """Return the file of the input history; None if the home folder is not known."""
    try:
        return folder() / "prompts"
    except FileNotFoundError:
        return None


def resume(conversation: AsyncConversation) -> None:
    """Load the most recently used conversation into *conversation*; skip unreadable files.

    Raises:
        ConfigurationError: No conversation can be read.
    """
    paths: list[Path] = []
    with suppress(OSError):  # no home folder, or an unreadable one
        paths = _files()
    for path in reversed(paths):
        with suppress(ConfigurationError, OSError):
            conversation.load(path)
            return
    raise ConfigurationError("there is no conversation to continue. Next: start one: acechat chat")


def _files() -> list[Path]:
    """Return all conversations, the most recently changed last; a name holds its start time."""
    return sorted((folder() / "conversations").glob("*.json"), key=_modified)


def _modified(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:  # deleted by another process
        return 0


class HistoryFile:
    """File of one conversation, in a folder that only its owner can read.

    A continued conversation gets a new file, because two terminals may continue the same one.
    """

    def __init__(self) -> None:
        stamp = time.strftime("%Y%m%d-%H%M%S")
        self._name = f"{stamp}-{os.getpid():07}.json"

    def save(self, conversation: AsyncConversation) -> None:
        """Write *conversation*, then delete the oldest files.

        Raises:
            OSError: The file cannot be written.
        """
        conversations = folder() / "conversations"
        make_folder(conversations)
        conversation.save(conversations / self._name)
        for old in _files()[:-_MAX_FILES]:
            old.unlink(missing_ok=True)


_INTERVAL = 1.0
"""Seconds between two automatic saves."""

SaveCallback: TypeAlias = Callable[[AsyncConversation], None]
"""Saves the conversation that it is called with."""


class Autosave:
    """Save a conversation with its partial response once a second.

    Args:
        conversation: Without *prompt*.
        prompt: The message whose response is being received.
        save: Called with a copy of the conversation; None disables it.
    """

    def __init__(
        self, conversation: AsyncConversation, prompt: UserMessage, save: SaveCallback | None
    ) -> None:
        self._conversation = conversation
        self._prompt = prompt
        self._save = save
        self._texts: list[str] = []
        self._saved = 0  # number of texts
        self._timer: asyncio.TimerHandle | None = None

    def add(self, deltas: Sequence[Delta]) -> None:
        """Add received deltas to the partial response."""
        self._texts += [delta.content for delta in deltas if delta.content and delta.index == 0]

    def __enter__(self) -> Self:
        if self._save is not None:
            self._timer = asyncio.get_running_loop().call_later(_INTERVAL, self._tick, self._save)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self, save: SaveCallback) -> None:
        self._timer = asyncio.get_running_loop().call_later(_INTERVAL, self._tick, save)
        if len(self._texts) > self._saved:
            self._saved = len(self._texts)
            partial = self._conversation.fork()
            response = AssistantMessage(content="".join(self._texts))
            partial.messages += [self._prompt, response]
            save(partial)
