"""`Conversation`: a chat with a history, blocking."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, Unpack

from acechat._core.history import History
from acechat._core.meter import Meter
from acechat._policy.values import RetryPolicy, Timeout
from acechat._sync.stream import ChatStream
from acechat._wire.messages import Content
from acechat.types import ChatCompletion, ChatOptions, KnownModel, MessageLike

if TYPE_CHECKING:
    from acechat._tools.output import OutputT, OutputType

__all__ = ["Conversation"]


class _ClientCalls(Protocol):
    """The methods of `Client` that a conversation calls. `Client` imports this module."""

    def chat(
        self,
        *,
        messages: Iterable[MessageLike],
        system: str | None,
        model: KnownModel | str | None,
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
        model: KnownModel | str | None,
        output_type: OutputType[OutputT] | None,
        timeout: Timeout | float | None,
        retries: RetryPolicy | int | None,
        extra_body: Mapping[str, Any] | None,
        extra_headers: Mapping[str, str] | None,
        **options: Unpack[ChatOptions],
    ) -> ChatStream[OutputT]: ...


class Conversation(History):
    """A chat that sends its history with each message: the blocking `AsyncConversation`.

    `Client.conversation` creates one.

    Example:
        >>> conversation = client.conversation(system="Be brief.")
        >>> conversation.send("My name is Ada.")
        >>> conversation.send("What is my name?").text
    """

    def __init__(
        self,
        with_meter: Callable[[Meter], _ClientCalls],
        messages: Iterable[MessageLike] = (),
        system: str | None = None,
        model: KnownModel | str | None = None,
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
        """Send *content* with the history and return the completion.

        Without *content*, the history is sent as it is. Parameters and further exceptions are those
        of `Client.chat`.

        Raises:
            RuntimeError: The previous turn has not ended.
        """
        with self._taking_turn(content) as turn:
            turn.answer = completion = self._client.chat(
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
        return completion

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
        """Send *content* with the history and return the response as a stream.

        The turn is added to the history when the stream has been read to its end. Parameters are
        those of `Client.stream`.

        Raises:
            RuntimeError: The previous turn has not ended.
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
        """Return an independent copy, with a meter that begins at zero."""
        return Conversation(self._with_meter, *self._copy())
