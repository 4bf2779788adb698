"""`AsyncRun`: requests and tool calls in turns, until the model calls no tool."""

from __future__ import annotations

import warnings
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Self, TypeAlias

from acechat._tools.executor import call_hook
from acechat._tools.run_state import RunState
from acechat._wire.request import RequestTemplate
from acechat.errors import AceChatError
from acechat.types import ChatCompletion, MessageLike, RunResult, Turn

__all__ = ["AsyncRun"]

_Request: TypeAlias = Callable[[RequestTemplate, list[MessageLike]], Awaitable[ChatCompletion[Any]]]
"""Sends a request with messages and returns the completion."""


class AsyncRun:
    """A run of requests and tool calls: await its result, or iterate over its turns as they end.

    `AsyncClient.run` creates one. Nothing is sent before it is awaited or iterated over. A failed
    run can be awaited again and resumes: no completed request is sent again, and no tool call that
    has ended is repeated.

    Example:
        >>> result = await client.run("Umbrella in Paris?", tools=[weather])
        >>> async for turn in client.run("Umbrella in Paris?", tools=[weather]):
        ...     print(turn.results)
    """

    def __init__(self, request: _Request, state: RunState) -> None:
        self._request = request
        self._state = state
        self._begun = False

    def __await__(self) -> Generator[Any, None, RunResult]:
        return self.collect().__await__()

    async def collect(self) -> RunResult:
        """Run to the end and return the result. Same as ``await run``.

        Raises:
            AceChatError: A request failed; its *run* holds the turns so far.
            ToolError: A tool failed, and *raise_tool_errors* is true.
            MaxTurnsError: The model still calls tools after *max_turns* turns.
        """
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
            completion = state.completion
            if completion is None:
                template, messages = state.next_request()
                if state.before_turn is not None:
                    messages = state.replace_messages(
                        await call_hook(state.before_turn, [*state.messages])
                    )
                completion = state.take(await self._request(template, messages))
            if completion.tool_calls:
                await state.executor.call_all(completion, state.results)
        except AceChatError as error:
            state.attach_to(error)
            raise
        return state.end_turn()

    @property
    def turns(self) -> tuple[Turn, ...]:
        """The turns that have ended, oldest first."""
        return tuple(self._state.turns)

    @property
    def messages(self) -> tuple[MessageLike, ...]:
        """All messages so far, without the system prompt."""
        return tuple(self._state.messages)

    def __del__(self) -> None:
        if not getattr(self, "_begun", True):
            warnings.warn(
                "client.run(...) was never awaited, so nothing was sent",
                RuntimeWarning,
                stacklevel=1,
                source=self,
            )
