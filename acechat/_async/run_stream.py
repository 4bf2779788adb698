"""`AsyncRunStream`: the events of a run of tools."""

from __future__ import annotations

import asyncio
import warnings
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from acechat._async.stream import AsyncChatStream
from acechat._hints import not_awaitable
from acechat._tools.executor import call_hook
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

_Request: TypeAlias = Callable[[RequestTemplate, list[MessageLike]], AsyncChatStream[Any]]
"""Sends a request with messages and returns the response as a stream."""

_Queue: TypeAlias = asyncio.Queue[ToolStarted | ToolFinished | None]


class _Calls:
    """The tool calls of one completion, which run in a task while readers wait for events.

    The task does not refer to the stream, so the garbage collector can collect a dropped stream.
    """

    def __init__(self, state: RunState, completion: ChatCompletion) -> None:
        queue = self._events = _Queue()
        self._task = asyncio.create_task(
            state.executor.call_all(completion, state.results, queue.put_nowait)
        )
        self._task.add_done_callback(lambda _: queue.put_nowait(None))

    async def receive(self) -> list[RunEvent]:
        """Wait for events and return all that are ready. An empty list marks the end.

        Raises:
            ToolError: See `ToolExecutor.call_all`.
        """
        events: list[RunEvent] = []
        while not events or not self._events.empty():
            event = await self._events.get()
            if event is None:
                self._events.put_nowait(None)  # for the next reader
                break
            events.append(event)
        if not events:
            await self._task
        return events

    async def stop(self) -> None:
        """Cancel the calls that are running, and wait for their end."""
        self._task.cancel()
        await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.exception()  # marks it as retrieved: it was raised, or has no reader left

    def drop(self) -> bool:
        """Cancel the calls that are running, from any thread. Return whether there were any."""
        if self._task.done():
            return False
        with suppress(RuntimeError):  # the loop is closed, and its tasks with it
            self._task.get_loop().call_soon_threadsafe(self._task.cancel)
        return True


class AsyncRunStream:
    """The deltas and tool calls of a run, while it takes place, as events for ``match``.

    `AsyncClient.run_stream` creates one. Nothing is sent before the first read. ``async with``
    closes the connection and cancels the tools however the block ends. Without it, a loop that
    breaks leaves that to the garbage collector, which emits a ResourceWarning.

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

    # States and transitions; `receive` is the only method that advances them:
    #
    #   requesting  no stream, no calls   -> streaming
    #   streaming   `_stream` is set      -> calling (the completion has tool calls), else ended
    #   calling     `_calls` is set       -> requesting, when all calls have ended
    #   ended       `_state.ended`        final
    #   failed      `_failure` is set     final; from any state, by an exception or aclose()

    def __init__(self, request: _Request, state: RunState) -> None:
        self._request = request
        self._state = state
        self._stream: AsyncChatStream | None = None
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

    if not TYPE_CHECKING:
        __await__ = not_awaitable(
            "iterate over it, `async for event in client.run_stream(...)`, or await client.run(...)"
        )

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
        """Wait for the next events and return all that are ready. An empty list marks the end.

        Cancelling a read ends the run.

        Raises:
            AceChatError: A request failed, see `AsyncChatStream.receive`; its *run* holds the turns
                so far.
            ToolError: A tool failed, and *raise_tool_errors* is true.
            MaxTurnsError: The model still calls tools after *max_turns* turns.
            RuntimeError: The run was closed before its end.
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
        if self._stream is None:
            state = self._state
            template, messages = state.next_request()
            if state.before_turn is not None:
                messages = state.replace_messages(
                    await call_hook(state.before_turn, [*state.messages])
                )
            self._stream = self._request(template, messages)
        while (batch := await self._stream.receive_batch()) is not END:
            if events := list[RunEvent](events_of(batch)):
                return events
        completion = self._state.take(self._stream.completion)
        self._stream = None
        if not completion.tool_calls:
            return self._end_turn()
        self._calls = _Calls(self._state, completion)
        return await self._receive()

    def _end_turn(self) -> list[RunEvent]:
        self._calls = None
        turn = self._state.end_turn()
        events: list[RunEvent] = [TurnFinished(turn)]
        if self._state.ended:
            events.append(Finished(turn.completion.finish_reason, self._state.result().usage))
        return events

    async def aclose(self) -> None:
        """Close the response that is being read, and cancel the tools that are running."""
        if self._failure is None and not self._state.ended:
            self._failure = RuntimeError("the run was closed before its end")
        if self._stream is not None:
            await self._stream.aclose()
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
        """Read to the end and return the result. Raises the exceptions of `receive`."""
        while await self.receive():
            pass
        return self.result

    async def text(self) -> AsyncIterator[str]:
        """Iterate over the text of the first choice, in all turns."""
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
        """All turns and messages of the run.

        Raises:
            AceChatError: The run failed; its *run* holds the turns so far.
            RuntimeError: The run has not been read to its end.
        """
        if self._failure is not None:
            raise self._failure
        if not self._state.ended:
            raise RuntimeError("the run has not been read to its end; call collect() first")
        return self._state.result()
