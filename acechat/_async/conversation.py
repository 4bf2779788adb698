"""`AsyncConversation`: a chat with a history."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, Unpack

from acechat._core.history import History
from acechat._core.meter import Meter
from acechat._policy.values import RetryPolicy, Timeout
from acechat._wire.messages import Content
from acechat.types import ChatCompletion, ChatOptions, MessageLike

if TYPE_CHECKING:
    from acechat._async.stream import AsyncChatStream
    from acechat._tools.output import OutputT, OutputType

__all__ = ["AsyncConversation"]


class _AsyncClientCalls(Protocol):
    """The calls of `AsyncClient`, which stands above this module, that a conversation makes."""

    def chat(
        self,
        *,
        messages: Iterable[MessageLike],
        system: str | None,
        model: str | None,
        output_type: OutputType[OutputT] | None,
        timeout: Timeout | float | None,
        retries: RetryPolicy | int | None,
        extra_body: Mapping[str, Any] | None,
        extra_headers: Mapping[str, str] | None,
        **options: Unpack[ChatOptions],
    ) -> Awaitable[ChatCompletion[OutputT]]: ...

    def stream(
        self,
        *,
        messages: Iterable[MessageLike],
        system: str | None,
        model: str | None,
        output_type: OutputType[OutputT] | None,
        timeout: Timeout | float | None,
        retries: RetryPolicy | int | None,
        extra_body: Mapping[str, Any] | None,
        extra_headers: Mapping[str, str] | None,
        **options: Unpack[ChatOptions],
    ) -> AsyncChatStream[OutputT]: ...


class AsyncConversation(History):
    """Several turns with one model; `AsyncClient.conversation` makes one.

    A turn becomes part of *messages* when its answer is whole. One that failed, was cancelled or
    left before its end changes nothing; what had arrived is *pending*.

    Example:
        >>> talk = client.conversation(system="Answer in one line.")
        >>> await talk.send("My name is Ada.")
        >>> (await talk.send("What is my name?")).text
    """

    def __init__(
        self,
        with_meter: Callable[[Meter], _AsyncClientCalls],
        messages: Iterable[MessageLike] = (),
        system: str | None = None,
        model: str | None = None,
        options: ChatOptions | None = None,
    ) -> None:
        super().__init__(messages, system, model, options)
        self._with_meter = with_meter
        self._client = with_meter(self.meter)

    async def send(
        self,
        *content: Content,
        output_type: OutputType[OutputT] | None = None,
        timeout: Timeout | float | None = None,
        retries: RetryPolicy | int | None = None,
        extra_body: Mapping[str, Any] | None = None,
        extra_headers: Mapping[str, str] | None = None,
        **options: Unpack[ChatOptions],
    ) -> ChatCompletion[OutputT]:
        """Say *content* and return the answer; without it, send what *messages* hold.

        Takes and raises what `AsyncClient.chat` does.

        Raises:
            RuntimeError: The turn before has not ended.
        """
        with self._taking_turn(content) as turn:
            turn.answer = answer = await self._client.chat(
                messages=turn.messages,
                system=self.system,
                model=self.model,
                output_type=output_type,
                timeout=timeout,
                retries=retries,
                extra_body=extra_body,
                extra_headers=extra_headers,
                **(self._options | options),
            )
        return answer

    def stream(
        self,
        *content: Content,
        output_type: OutputType[OutputT] | None = None,
        timeout: Timeout | float | None = None,
        retries: RetryPolicy | int | None = None,
        extra_body: Mapping[str, Any] | None = None,
        extra_headers: Mapping[str, str] | None = None,
        **options: Unpack[ChatOptions],
    ) -> AsyncChatStream[OutputT]:
        """Say *content* and return the answer while it is being written.

        The turn counts when the stream was read to its end. Takes what `AsyncClient.stream` does.

        Raises:
            RuntimeError: The turn before has not ended.
        """
        with self._beginning_turn(content) as turn:
            stream = self._client.stream(
                messages=turn.messages,
                system=self.system,
                model=self.model,
                output_type=output_type,
                timeout=timeout,
                retries=retries,
                extra_body=extra_body,
                extra_headers=extra_headers,
                **(self._options | options),
            )
        stream.add_done_callback(partial(self._end, turn))
        return stream

    def fork(self) -> AsyncConversation:
        """Return a copy that goes on alone."""
        return AsyncConversation(self._with_meter, *self._copy())
