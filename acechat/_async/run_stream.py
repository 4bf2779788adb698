"""`AsyncRunStream`: a run while it happens."""

from __future__ import annotations

import asyncio
import warnings
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, TypeAlias

from acechat._async.stream import AsyncChatStream
from acechat._tools.run_state import RunState
from acechat._wire.deltas import END, events_of
from acechat._wire.request import RequestTemplate
from acechat.errors import AceChatError
from acechat.types import (
    ChatCompletion,
    Finished,
    MessageLike,
    RunEvent,
    RunResult,
    TextDelta,
    ToolFinished,
    ToolStarted,
    Turn,
    TurnFinished,
)

__all__ = ["AsyncRunStream"]

_Ask: TypeAlias = Callable[[RequestTemplate, list[MessageLike]], AsyncChatStream[Any]]
"""Asks for an answer that is told while it is being written."""

_Queue: TypeAlias = asyncio.Queue[ToolStarted | ToolFinished | None]


class _Calls:
    """The tools of one answer, at work in a task of their own while others wait for events.

    The task knows nothing of the stream, so a stream that nobody keeps can be collected.
    """

    def __init__(self, state: RunState, answer: ChatCompletion) -> None:
        queue = self._events = _Queue()
        self._task = asyncio.create_task(
            state.executor.call_all(answer, state.results, queue.put_nowait)
        )
        self._task.add_done_callback(lambda _: queue.put_nowait(None))

    async def receive(self) -> list[RunEvent]:
        """Wait for something to happen; return all that did. An empty list is the end.

        Raises:
            ToolError: See `ToolExecutor.call_all`.
        """
        events: list[RunEvent] = []
        while not events or not self._events.empty():
            event = await self._events.get()
            if event is None:
                self._events.put_nowait(None)  # for the next read
                break
            events.append(event)
        if not events:
            await self._task
        return events

    async def stop(self) -> None:
        """Cancel what still runs, and wait for its end."""
        self._task.cancel()
        await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.exception()  # it has been raised, or nobody wants to know any more

    def drop(self) -> bool:
        """Cancel what still runs, from wherever the garbage collector is; return whether any."""
        if self._task.done():
            return False
        with suppress(RuntimeError):  # the loop is closed, and took its tasks along
            self._task.get_loop().call_soon_threadsafe(self._task.cancel)
        return True


class AsyncRunStream:
    """A run while it happens: deltas and tools of all turns, as events for ``match``.

    Nothing is sent before the first read. ``async with`` stops everything however the block ends;
    without it, a loop that breaks leaves that to the garbage collector, which warns.

    Example:
        >>> async with client.run_stream("Umbrella in Paris?", tools=[weather]) as stream:
        ...     async for event in stream:
        ...         match event:
        ...             case TextDelta(text):
        ...                 print(text, end="")
        ...             case ToolStarted(call):
        ...                 print("calling", call.function.name)
        >>> stream.result.usage.total_tokens
    """

    def __init__(self, ask: _Ask, state: RunState) -> None:
        self._ask = ask
        self._state = state
        self._answer: AsyncChatStream | None = None
        self._calls: _Calls | None = None
        self._ready: deque[RunEvent] = deque()
        self._failure: Exception | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> RunEvent:
        ready = self._ready
        if not ready:
            ready.extend(await self.receive())
            if not ready:
                raise StopAsyncIteration
        return ready.popleft()

    async def receive(self) -> list[RunEvent]:
        """Wait until something happens; return all that did. An empty list is the end.

        A read that is cancelled ends the run.

        Raises:
            AceChatError: What `AsyncChatStream.receive` raises; `ToolError`; `MaxTurnsError`.
        """
        if self._ready:
            ready = list(self._ready)
            self._ready.clear()
            return ready
        if self._failure is not None:
            raise self._failure
        if self._state.ended:
            return []
        try:
            return await self._receive()
        except AceChatError as error:
            self._state.attach_to(error)
            self._failure = error
            await self.aclose()
            raise
        except BaseException:
            await self.aclose()
            raise

    async def _receive(self) -> list[RunEvent]:
        if self._calls is not None:
            if events := await self._calls.receive():
                return events
            return self._end_turn()
        if self._answer is None:
            self._answer = self._ask(*self._state.next_request())
        while (batch := await self._answer.receive_batch()) is not END:
            if events := list[RunEvent](events_of(batch)):
                return events
        answer = self._state.take(self._answer.completion)
        self._answer = None
        if not answer.tool_calls:
            return self._end_turn()
        self._calls = _Calls(self._state, answer)
        return await self._receive()

    def _end_turn(self) -> list[RunEvent]:
        self._calls = None
        turn = self._state.end_turn()
        events: list[RunEvent] = [TurnFinished(turn)]
        if self._state.ended:
            events.append(Finished(turn.completion.finish_reason, self._state.result().usage))
        return events

    async def aclose(self) -> None:
        """Stop everything: the answer that is being written, and the tools at work."""
        if self._failure is None and not self._state.ended:
            self._failure = RuntimeError("the run was closed before its end")
        if self._answer is not None:
            await self._answer.aclose()
        if self._calls is not None:
            await self._calls.stop()

    def __del__(self) -> None:
        calls: _Calls | None = getattr(self, "_calls", None)
        if calls is not None and calls.drop():
            warnings.warn(
                "a run was dropped before its end; use `async with client.run_stream(...)`",
                ResourceWarning,
                stacklevel=1,
                source=self,
            )

    async def collect(self) -> RunResult:
        """Read to the end and return what happened."""
        while await self.receive():
            pass
        return self.result

    async def text(self) -> AsyncIterator[str]:
        """Iterate over the text alone, of all turns."""
        async for event in self:
            if isinstance(event, TextDelta) and not event.index:
                yield event.text

    async def turns(self) -> AsyncIterator[Turn]:
        """Iterate over the turns as they end."""
        async for event in self:
            if isinstance(event, TurnFinished):
                yield event.turn

    @property
    def result(self) -> RunResult:
        """All turns and messages.

        Raises:
            AceChatError: The run failed; its *run* is what had happened.
            RuntimeError: It has not been read to its end.
        """
        if self._failure is not None:
            raise self._failure
        if not self._state.ended:
            raise RuntimeError("the run has not been read to its end; collect() does that")
        return self._state.result()
