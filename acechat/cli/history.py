"""The history of conversations, and autosave during a response."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import msgspec

from acechat import (
    AssistantMessage,
    AsyncConversation,
    ConfigurationError,
    Delta,
    Message,
    UserMessage,
)
from acechat.cli.settings import in_home
from acechat.types import MessageLike

if TYPE_CHECKING:  # SQLite is imported when a conversation is saved
    from acechat.cli.library.store import Entry, Store

__all__ = [
    "Autosave",
    "Log",
    "SaveCallback",
    "adopt",
    "find",
    "folder",
    "number_of",
    "prompts_file",
    "store",
]


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


def store() -> Store:
    """Return the database of conversations.

    Raises:
        FileNotFoundError: The home folder is not known.
    """
    from acechat.cli.library.store import Store

    return Store(folder())


def number_of(name: str) -> int | None:
    """Return the number in the *name* of a conversation, ``c12`` or ``12``; None if it is none."""
    match = re.fullmatch(r"c?([0-9]{1,15})", name.strip().lower())
    return int(match[1]) if match else None


def find(name: str) -> Entry:
    """Return a conversation; '' names the last one of a person at a terminal.

    Raises:
        ConfigurationError: There is no such conversation, or the database cannot be used.
    """
    number = number_of(name)
    try:
        if not name:
            found = next(iter(store().latest(interactive=True)), None)
        else:
            found = None if number is None else store().get(number)
    except FileNotFoundError:
        found = None
    except OSError as error:
        raise ConfigurationError(str(error)) from None
    if found is None and not name:
        raise ConfigurationError(
            "there is no conversation to continue. Next: start one: acechat chat"
        )
    if found is None:
        raise ConfigurationError(f"there is no conversation {name!r}. Next: acechat history")
    return found


def adopt(conversation: AsyncConversation, entry: Entry) -> None:
    """Replace messages, model and system prompt by those of *entry*."""
    conversation.messages[:] = [_as_struct(message) for message in entry.messages]
    conversation.model, conversation.system = entry.model, entry.system


def _as_struct(message: dict[str, Any]) -> MessageLike:
    try:
        struct: Message = msgspec.convert(message, Message)
    except msgspec.ValidationError:  # of a service that adds to the format
        return message
    return struct


class Log:
    """Keeps one conversation in the database.

    Args:
        interactive: A person is at the terminal; ``--continue`` then finds the conversation.
        entry: The conversation that is continued; None for a new one.
    """

    def __init__(self, *, interactive: bool, entry: Entry | None = None) -> None:
        self._interactive = interactive
        self._known = (entry.id, entry.revision) if entry else None

    def save(self, conversation: AsyncConversation) -> None:
        """Write *conversation*, as a new one if another process has changed it meanwhile.

        Raises:
            OSError: The database cannot be written; its text is one line.
        """
        from acechat.cli.library.store import Conflict

        if not conversation.messages:
            return
        messages = msgspec.to_builtins(conversation.messages)
        more: dict[str, Any] = {
            "model": conversation.model,
            "system": conversation.system,
            "interactive": self._interactive,
        }
        try:
            self._known = store().save(messages, known=self._known, **more)
        except Conflict:
            self._known = store().save(messages, **more)


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
