"""`Conversation`: a chat with a history, blocking."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Protocol, Unpack

from acechat._core.history import History
from acechat._core.meter import Meter
from acechat._policy.values import RetryPolicy, Timeout
from acechat._sync.stream import ChatStream
from acechat._wire.messages import Content
from acechat.errors import ConfigurationError
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

    def count_tokens(
        self,
        *,
        messages: Iterable[MessageLike],
        system: str | None,
        model: str | None,
        tools: Sequence[Mapping[str, Any] | Callable[..., Any]] | None,
    ) -> int: ...

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

    def trim(
        self,
        max_tokens: int,
        *,
        keep: int = 1,
        count: Literal["service", "estimate"] = "service",
    ) -> list[MessageLike]:
        """Remove the oldest turns until the history has at most *max_tokens* prompt tokens.

        A turn is removed as a whole: a tool call is never separated from its result. The history
        may still be larger if the turns to keep are.

        Args:
            max_tokens: Maximum of tokens of the system prompt, the messages and the tools.
            keep: Number of the latest turns that are kept in any case, 0 or more; default 1.
            count: ``"service"``, the default, asks the service for the number, which is free and
                takes a few requests; ``"estimate"`` estimates it from the length, and sends
                nothing.

        Returns:
            The messages that were removed, oldest first; for a summary, for example.

        Raises:
            ConfigurationError: An argument is invalid.
            RuntimeError: The previous turn has not ended.
            AceChatError: The service could not count; nothing was removed.

        Example:
            >>> conversation.trim(100_000, keep=3)
        """
        if count not in ("service", "estimate"):
            raise ConfigurationError(f'count must be "service" or "estimate", not {count!r}')
        trimming = self._trimming(max_tokens, keep)
        try:
            messages = next(trimming)
            while True:
                if count == "estimate":
                    tokens = self._estimate(messages)
                else:
                    tokens = self._client.count_tokens(
                        messages=messages,
                        system=self.system,
                        model=self.model,
                        tools=self._options.get("tools"),
                    )
                messages = trimming.send(tokens)
        except StopIteration as end:
            removed: list[MessageLike] = end.value
        return removed

    def fork(self) -> Conversation:
        """Return an independent copy, with a meter that begins at zero."""
        return Conversation(self._with_meter, *self._copy())
