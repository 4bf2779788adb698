"""`Conversation`: several turns, for callers that wait."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, Unpack

from acechat._core.history import History
from acechat._core.meter import Meter
from acechat._policy.values import RetryPolicy, Timeout
from acechat._sync.stream import ChatStream
from acechat._wire.messages import Content
from acechat.types import ChatCompletion, ChatOptions, MessageLike

if TYPE_CHECKING:
    from acechat._tools.output import OutputT, OutputType

__all__ = ["Conversation"]


class _ClientCalls(Protocol):
    """The calls of `Client`, which stands above this module, that a conversation makes."""

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
    ) -> ChatCompletion[OutputT]: ...

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
    ) -> ChatStream[OutputT]: ...


class Conversation(History):
    """Several turns with one model: the blocking `AsyncConversation`.

    Example:
        >>> talk = client.conversation(system="Answer in one line.")
        >>> talk.send("My name is Ada.")
        >>> talk.send("What is my name?").text
    """

    def __init__(
        self,
        with_meter: Callable[[Meter], _ClientCalls],
        messages: Iterable[MessageLike] = (),
        system: str | None = None,
        model: str | None = None,
        options: ChatOptions | None = None,
    ) -> None:
        super().__init__(messages, system, model, options)
        self._with_meter = with_meter
        self._client = with_meter(self.meter)

    def send(
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

        Takes and raises what `Client.chat` does.

        Raises:
            RuntimeError: The turn before has not ended.
        """
        with self._taking_turn(content) as turn:
            turn.answer = answer = self._client.chat(
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
    ) -> ChatStream[OutputT]:
        """Say *content* and return the answer while it is being written.

        The turn counts when the stream was read to its end. Takes what `Client.stream` does.

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

    def fork(self) -> Conversation:
        """Return a copy that goes on alone."""
        return Conversation(self._with_meter, *self._copy())
