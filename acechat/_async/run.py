"""`AsyncRun`: calls and tool calls in turns until the model is done."""

from __future__ import annotations

import warnings
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Self, TypeAlias

from acechat._tools.run_state import Story
from acechat._wire.request import Draft
from acechat.errors import AceChatError
from acechat.types import ChatCompletion, MessageLike, RunResult, Turn

__all__ = ["AsyncRun"]

_Ask: TypeAlias = Callable[[Draft, list[MessageLike]], Awaitable[ChatCompletion[Any]]]
"""Asks for an answer."""


class AsyncRun:
    """A run: await it for its result, or iterate over its turns as they end.

    Nothing is sent before that. A run that failed goes on where it was when it is awaited again:
    what was answered is not asked again, and a tool that has ended is not called again.

    Example:
        >>> result = await client.run("Umbrella in Paris?", tools=[weather])
        >>> async for turn in client.run("Umbrella in Paris?", tools=[weather]):
        ...     print(turn.results)
    """

    def __init__(self, ask: _Ask, story: Story) -> None:
        self._ask = ask
        self._story = story
        self._begun = False

    def __await__(self) -> Generator[Any, None, RunResult]:
        return self.collect().__await__()

    async def collect(self) -> RunResult:
        """Run to the end and return what happened; what ``await run`` does."""
        story = self._story
        while not story.ended:
            await self._turn()
        return story.result()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Turn:
        if self._story.ended:
            raise StopAsyncIteration
        return await self._turn()

    async def _turn(self) -> Turn:
        self._begun = True
        story = self._story
        try:
            answer = story.answer or story.take(await self._ask(*story.next_request()))
            if answer.tool_calls:
                await story.toolbox.call_all(answer, story.results)
        except AceChatError as error:
            story.note(error)
            raise
        return story.end_turn()

    @property
    def turns(self) -> tuple[Turn, ...]:
        """The turns that have ended."""
        return tuple(self._story.turns)

    @property
    def messages(self) -> tuple[MessageLike, ...]:
        """What has been said so far, but for the system's word."""
        return tuple(self._story.messages)

    def __del__(self) -> None:
        if not getattr(self, "_begun", True):
            warnings.warn(
                "client.run(...) was never awaited, so nothing was asked",
                RuntimeWarning,
                stacklevel=1,
                source=self,
            )
