"""What has arrived of an answer, kept while it comes: a process that is killed is not told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self, TypeAlias

from acechat import AssistantMessage, AsyncConversation, Delta, UserMessage

__all__ = ["Draft", "Keep"]

_OFTEN = 1.0
"""Seconds."""

Keep: TypeAlias = Callable[[AsyncConversation], None]
"""Writes down how far a conversation is."""


class Draft:
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
