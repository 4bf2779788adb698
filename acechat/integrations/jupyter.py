"""Jupyter: display a stream in the cell while it arrives; needs ``acechat[jupyter]``.

Completions, conversations, results of runs and images display themselves, without this module.
"""

from __future__ import annotations

from collections.abc import Coroutine
from time import monotonic
from typing import Any, TypeVar, cast, overload

from IPython.display import HTML, DisplayHandle

from acechat import (
    AssistantMessage,
    AsyncChatStream,
    AsyncRunStream,
    ChatCompletion,
    ChatStream,
    Choice,
    Delta,
    Finished,
    ReasoningDelta,
    RunResult,
    RunStream,
    TextDelta,
    Turn,
    TurnFinished,
)

__all__ = ["show"]

_T = TypeVar("_T")

_INTERVAL = 0.1
"""Minimum seconds between two updates of the display."""

_SHARE, _LONGEST = 10, 2.0
"""The time between two updates is so many times that of an update, but no longer than 2 s, because
each one displays the complete text."""


@overload
def show(stream: ChatStream[_T]) -> ChatCompletion[_T]: ...
@overload
def show(stream: RunStream) -> RunResult: ...
@overload
def show(stream: AsyncChatStream[_T]) -> Coroutine[Any, Any, ChatCompletion[_T]]: ...
@overload
def show(stream: AsyncRunStream) -> Coroutine[Any, Any, RunResult]: ...
def show(stream: Any) -> Any:
    """Display *stream* in the output of the cell while it arrives, and return its result.

    For an async stream, the result must be awaited. If the stream breaks, the part that had arrived
    stays displayed.

    Args:
        stream: A stream of `stream` or `run_stream`, of a client or a conversation.

    Raises:
        AceChatError: The stream failed.

    Example:
        >>> reply = show(client.stream("Tell me a story"))
        >>> reply = await show(async_client.stream("Tell me a story"))
    """
    if isinstance(stream, AsyncChatStream | AsyncRunStream):
        return _show_async(cast("AsyncChatStream[Any] | AsyncRunStream", stream))
    return _show(cast("ChatStream[Any] | RunStream", stream))


def _show(stream: ChatStream[Any] | RunStream) -> ChatCompletion[Any] | RunResult:
    live = _Live()
    try:
        with stream:
            for event in stream:
                live.add(event)
        result = stream.completion if isinstance(stream, ChatStream) else stream.result
        live.result = result
    finally:
        live.update()
    return result


async def _show_async(
    stream: AsyncChatStream[Any] | AsyncRunStream,
) -> ChatCompletion[Any] | RunResult:
    live = _Live()
    try:
        async with stream:
            async for event in stream:
                live.add(event)
        result = stream.completion if isinstance(stream, AsyncChatStream) else stream.result
        live.result = result
    finally:
        live.update()
    return result


class _Live:
    """The display of one stream."""

    def __init__(self) -> None:
        self.result: ChatCompletion[Any] | RunResult | None = None
        self._handle = DisplayHandle()
        self._turns: list[Turn] = []
        self._texts: list[str] = []
        self._reasoning: list[str] = []
        self._due = 0.0
        self._handle.display(HTML(self._html()))

    def add(self, event: object) -> None:
        """Add *event*, and update the display if an update is due."""
        if isinstance(event, Delta):
            if event.index:
                return  # one choice is displayed while it arrives; all of them at the end
            self._texts.append(event.content or "")
            self._reasoning.append(event.reasoning_content or event.reasoning or "")
        elif isinstance(event, TextDelta):
            self._texts.append(event.text)
        elif isinstance(event, ReasoningDelta):
            self._reasoning.append(event.text)
        elif isinstance(event, TurnFinished):
            self._turns.append(event.turn)
            self._texts.clear()
            self._reasoning.clear()
        elif isinstance(event, Finished):
            return  # the result is displayed next
        if (now := monotonic()) >= self._due:
            self.update()
            took = monotonic() - now
            self._due = now + took + min(max(_INTERVAL, _SHARE * took), _LONGEST)

    def update(self) -> None:
        """Display the result; the part that has arrived if there is none yet."""
        self._handle.update(HTML(self._html()))

    def _html(self) -> str:
        shown = self.result
        if shown is None:
            text = "".join(self._texts) or " "  # so that the first display imports the parser
            message = AssistantMessage(
                content=text, reasoning_content="".join(self._reasoning) or None
            )
            shown = partial = ChatCompletion(choices=[Choice(message=message)])
            if self._turns:
                shown = RunResult((*self._turns, Turn(partial)), ())
        return shown._repr_html_()
