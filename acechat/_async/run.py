"""`AsyncRun`: calls and tool calls in turns until the model is done."""

from __future__ import annotations

import warnings
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Self, TypeAlias

from acechat._tools.run_state import RunState
from acechat._wire.request import RequestTemplate
from acechat.errors import AceChatError
from acechat.types import ChatCompletion, MessageLike, RunResult, Turn

__all__ = ["AsyncRun"]

_Ask: TypeAlias = Callable[[RequestTemplate, list[MessageLike]], Awaitable[ChatCompletion[Any]]]
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

    def __init__(self, ask: _Ask, state: RunState) -> None:
        self._ask = ask
        self._state = state
        self._begun = False

    def __await__(self) -> Generator[Any, None, RunResult]:
        return self.collect().__await__()

    async def collect(self) -> RunResult:
        """Run to the end and return what happened; what ``await run`` does."""
        state = self._state
        while not state.ended:
            await self._turn()
        return state.result()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Turn:
        if self._state.ended:
            raise StopAsyncIteration
        return await self._turn()

    async def _turn(self) -> Turn:
        self._begun = True
        state = self._state
        try:
            answer = state.completion or state.take(await self._ask(*state.next_request()))
            if answer.tool_calls:
                await state.executor.call_all(answer, state.results)
        except AceChatError as error:
            state.attach_to(error)
            raise
        return state.end_turn()

    @property
    def turns(self) -> tuple[Turn, ...]:
        """The turns that have ended."""
        return tuple(self._state.turns)

    @property
    def messages(self) -> tuple[MessageLike, ...]:
        """What has been said so far, but for the system's word."""
        return tuple(self._state.messages)

    def __del__(self) -> None:
        if not getattr(self, "_begun", True):
            warnings.warn(
                "client.run(...) was never awaited, so nothing was asked",
                RuntimeWarning,
                stacklevel=1,
                source=self,
            )
